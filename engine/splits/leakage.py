"""Proof that no patient is on two sides, for splits made here and splits that were given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.contract.records import SPLITS
from engine.splits.stratify import UNASSIGNED


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """A group with images in more than one split.

    Attributes:
        group: Its number.
        splits: Names of the splits, in the order train, val, test.
    """

    group: int
    splits: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakageProof:
    """Every group was looked up in every split.

    Attributes:
        n_groups: Groups by split name.
        overlaps: Groups found in more than one split, by number; empty when the split is sound.
    """

    n_groups: dict[str, int]
    overlaps: tuple[Overlap, ...]

    @property
    def n_overlapping(self) -> int:
        """How many groups are in more than one split; a usable split has 0."""
        return len(self.overlaps)


def check_no_overlap(groups: ArrayLike, split: ArrayLike) -> LeakageProof:
    """Look every group up in every split.

    The check shares nothing with the code that makes splits, so that it can prove it wrong.

    Args:
        groups: Group of every image, shape ``(N,)``, whole numbers.
        split: 0 train, 1 val, 2 test, shape ``(N,)``; -1 is in no split and isn't looked at.

    Raises:
        ValueError: If the shapes differ or a code is none of these.
    """
    ids, codes = _checked_split(groups, split)
    used = codes != UNASSIGNED
    unique, index = np.unique(ids[used], return_inverse=True)
    is_in = np.zeros((len(unique), len(SPLITS)), dtype=np.bool_)
    is_in[index, codes[used]] = True
    overlaps = tuple(
        Overlap(
            group=int(unique[row]),
            splits=tuple(name for name, found in zip(SPLITS, is_in[row], strict=True) if found),
        )
        for row in np.flatnonzero(is_in.sum(axis=1) > 1)
    )
    n_groups = {name: int(n) for name, n in zip(SPLITS, is_in.sum(axis=0), strict=True)}
    return LeakageProof(n_groups=n_groups, overlaps=overlaps)


def keep_groups_whole(groups: ArrayLike, split: ArrayLike) -> NDArray[np.int8]:
    """Return the split with every group moved to where most of its images are, shape ``(N,)``.

    Equal numbers go to the earlier of train, val and test. Unassigned images stay unassigned.

    Args:
        groups: Group of every image, shape ``(N,)``, whole numbers.
        split: Codes as in :func:`check_no_overlap`.

    Raises:
        ValueError: If the shapes differ or a code is unknown.
    """
    ids, codes = _checked_split(groups, split)
    used = codes != UNASSIGNED
    unique, index = np.unique(ids, return_inverse=True)
    cells = index[used] * len(SPLITS) + codes[used]
    votes = np.bincount(cells, minlength=len(unique) * len(SPLITS))
    homes = votes.reshape(len(unique), len(SPLITS)).argmax(axis=1)
    return np.where(used, homes[index], UNASSIGNED).astype(np.int8)


def _checked_split(
    groups: ArrayLike, split: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ids, codes = np.asarray(groups), np.asarray(split)
    if ids.ndim != 1 or ids.shape != codes.shape:
        raise ValueError(f"groups and split differ: {ids.shape} and {codes.shape}")
    if not np.isin(codes, (UNASSIGNED, *range(len(SPLITS)))).all():
        raise ValueError(f"split codes must lie in [-1, {len(SPLITS)})")
    return ids.astype(np.int64), codes.astype(np.int64)
