"""The images by which robustness is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.contract.targets import UNKNOWN
from engine.data.transforms import pixels_to_batch
from engine.evaluate.score import FinishedRun


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The images that are changed.

    Attributes:
        images: Values in [0, 1], float32, ``(N, C, H, W)``, where the network is.
        labels: Class indices, ``(N,)``; of findings ``(N, K)``, -1 where unknown.
        patients: What the intervals resample, ``(N,)``.
    """

    images: Tensor
    labels: NDArray[np.int64]
    patients: NDArray[np.int64]


def load_sample(
    loaded: FinishedRun,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    patients: NDArray[np.int64],
) -> Sample:
    """Return the images of pixel rows with their labels and patients."""
    pixels = loaded.pixels.read(rows)
    return Sample(
        images=pixels_to_batch(pixels, loaded.runtime.device), labels=labels, patients=patients
    )


def choose_images(
    labels: NDArray[np.int64], n_images: int, *, n_classes: int, seed: int
) -> NDArray[np.int64]:
    """Return indices of at most so many images, ascending, with the classes in their proportions.

    Every class keeps at least one image, if there is room.

    Args:
        labels: Class indices, shape ``(N,)``.
        n_images: How many to choose; all, if there are no more.
        n_classes: K.
        seed: Of the choice.
    """
    if len(labels) <= n_images:
        return np.arange(len(labels))
    counts = np.bincount(labels, minlength=n_classes)
    wanted = counts * n_images / len(labels)
    quota = np.floor(wanted).astype(np.int64)
    quota[(counts > 0) & (quota == 0)] = 1
    for k in np.argsort(quota - wanted, kind="stable")[: max(0, n_images - int(quota.sum()))]:
        quota[k] += 1
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(labels == k))[: quota[k]] for k in range(n_classes)]
    return np.sort(np.concatenate(chosen))


def choose_findings_images(
    labels: NDArray[np.int64], n_images: int, *, seed: int
) -> NDArray[np.int64]:
    """Return indices of at most so many images, ascending, with each finding in its proportion.

    The rarest state of a finding, present or absent, is served first and keeps at least its share
    of the images, rounded up; what is then left is chosen at random.

    Args:
        labels: 1 present, 0 absent, -1 unknown, shape ``(N, K)``.
        n_images: How many to choose; all, if there are no more.
        seed: Of the choice.
    """
    known = np.flatnonzero((labels != UNKNOWN).any(axis=1))
    if len(known) <= n_images:
        return known
    order = np.random.default_rng(seed).permutation(known)
    is_chosen = np.zeros(len(labels), dtype=np.bool_)
    states = [labels[:, k] == state for k in range(labels.shape[1]) for state in (0, 1)]
    for has_state in sorted(states, key=np.count_nonzero):
        quota = int(np.ceil(np.count_nonzero(has_state) * n_images / len(known)))
        n_wanted = quota - np.count_nonzero(has_state & is_chosen)
        n_free = n_images - np.count_nonzero(is_chosen)
        further = order[has_state[order] & ~is_chosen[order]]
        is_chosen[further[: max(0, min(n_wanted, n_free))]] = True
    rest = order[~is_chosen[order]]
    is_chosen[rest[: n_images - np.count_nonzero(is_chosen)]] = True
    return np.flatnonzero(is_chosen)
