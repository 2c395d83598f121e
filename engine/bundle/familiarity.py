"""How like the images that a classifier learned from a new image is.

A probability says nothing of that: a hand shown to a classifier of chests gets one too. The
network's own description of its training images is summed up as a Gaussian in its main directions
(probabilistic PCA), and a new image is as unusual as it is far from there, told as the share of the
classifier's own validation images that are nearer.

References:
    Tipping and Bishop, "Probabilistic Principal Component Analysis", J. R. Stat. Soc. B 1999.
    Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
    Adversarial Attacks", NeurIPS 2018 (distances in a trained classifier's features).
    Bates et al., "Testing for outliers with conformal p-values", Annals of Statistics 2023.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.bundle.format import BundleFacts
from engine.models.ensemble import EnsembleNetwork
from engine.models.network import Network

_N_DIRECTIONS: Final = 32
_FAR: Final = 0.95
_SUITING: Final = 0.15
_PARTLY: Final = 0.5
_LEAST_TRAIN: Final = 20
_LEAST_VAL: Final = 20  # one of them further than a new image is a p-value under 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Familiarity:
    """What a classifier's training images look like to it.

    Attributes:
        mean: Of what the head sees, float32 ``(F,)``.
        scale: Its standard deviations, float32 ``(F,)``.
        directions: Main directions of the scaled description, orthonormal, float32 ``(R, F)``.
        variances: Variance along each, float32 ``(R,)``.
        noise: Variance in each of the other directions, float32 ``(1,)``.
        distances: Those of validation images, increasing, float32 ``(V,)``.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    directions: NDArray[np.float32]
    variances: NDArray[np.float32]
    noise: NDArray[np.float32]
    distances: NDArray[np.float32]

    @classmethod
    def fit(cls, train: NDArray[Any], val: NDArray[Any]) -> Familiarity | None:
        """Return the description of images, or None if there are too few to tell.

        Args:
            train: What the head sees of training images, shape ``(N, F)``.
            val: The same of validation images, which measure how far is far.
        """
        from sklearn.decomposition import PCA

        if len(train) < _LEAST_TRAIN or len(val) < _LEAST_VAL:
            return None
        mean, deviation = train.mean(axis=0), train.std(axis=0)
        scale = deviation + 1e-3 * max(float(deviation.mean()), 1e-12)
        n_directions = min(_N_DIRECTIONS, len(train) // 4, train.shape[1] - 1)
        pca = PCA(n_directions, svd_solver="randomized", random_state=0)
        pca.fit((train - mean) / scale)
        found = cls(
            mean=_f32(mean),
            scale=_f32(scale),
            directions=_f32(pca.components_),
            variances=_f32(pca.explained_variance_),
            noise=_f32([max(float(pca.noise_variance_), 1e-6)]),
            distances=_f32([0.0]),
        )
        distances = _f32(np.sort(found.distance(val)))
        return cls(**(found._arrays() | {"distances": distances}))

    def distance(self, seen: NDArray[Any]) -> NDArray[np.float64]:
        """Return squared Mahalanobis distances, shape ``(N,)``.

        Args:
            seen: What the head sees of images, shape ``(N, F)``.
        """
        z = (seen.astype(np.float64) - self.mean) / self.scale
        along = z @ self.directions.T.astype(np.float64)
        rest = np.maximum((z**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
        return np.asarray((along**2 / self.variances).sum(axis=1) + rest / self.noise[0])

    def unusual(self, seen: NDArray[Any]) -> NDArray[np.float64]:
        """Return the share of validation images that are nearer, in [0, 1), shape ``(N,)``.

        It is 1 less a conformal p-value: of images like those of the training, a twentieth at most
        is above 0.95, however few validation images there were.
        """
        nearer = np.searchsorted(self.distances, self.distance(seen).astype(np.float32))
        return np.asarray(nearer / (len(self.distances) + 1), dtype=np.float64)

    def tensors(self) -> dict[str, Tensor]:
        """Return the arrays as named tensors."""
        return {name: torch.from_numpy(array) for name, array in self._arrays().items()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], n_features: int) -> Familiarity:
        """Return what :meth:`tensors` gave.

        Raises:
            ValueError: If they don't belong together or to a head of ``n_features``.
        """
        names = {field.name for field in fields(cls)}
        if tensors.keys() != names:
            raise ValueError("other tensors than those of a familiarity")
        found = cls(**{name: _f32(tensor.numpy()) for name, tensor in tensors.items()})
        n_directions = len(found.variances)
        shapes = (found.mean.shape, found.scale.shape, found.directions.shape, found.noise.shape)
        if shapes != ((n_features,), (n_features,), (n_directions, n_features), (1,)):
            raise ValueError(f"shapes {shapes} with {n_features} features")
        return found

    def _arrays(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@contextmanager
def watch_head(network: Network | EnsembleNetwork) -> Iterator[list[NDArray[np.float32]]]:
    """Collect what the head sees of every batch that the network is applied to meanwhile."""
    seen: list[NDArray[np.float32]] = []

    def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].detach().float().cpu().numpy())

    handle = network.head.register_forward_pre_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


def suits(shares: NDArray[np.float64]) -> bool:
    """Return whether images are enough like the training images for the classifier.

    Args:
        shares: As :meth:`Familiarity.unusual` gives them, shape ``(N,)``, at least one.
    """
    return float((shares > _FAR).mean()) <= _SUITING


def unusual_note(shares: NDArray[np.float64]) -> str:
    """Return one sentence on how like the training images a set of images is.

    Args:
        shares: As :meth:`Familiarity.unusual` gives them, shape ``(N,)``, at least one.
    """
    n, n_far = len(shares), int((shares > _FAR).sum())
    share = n_far / n
    begin = f"{n_far:,} of {n:,} images are unlike those that the classifier learned from"
    if n == 1:
        if share:
            return (
                "The image is unlike those that the classifier learned from, so its answer is "
                "not to be relied on."
            )
        return "The image looks like those that the classifier learned from."
    if suits(shares):
        return f"{begin} (about {round((1 - _FAR) * n):,} would be expected): they suit it."
    if share <= _PARTLY:
        return (
            f"{begin}, more than the 5 % that would be expected: another device, site or group of "
            "patients may be among them. Check the results on some of them."
        )
    return (
        f"{begin}: they come from elsewhere or show something else. Its test results don't hold "
        "for them; measure it on labelled images of this kind before using it."
    )


def likeness_unknown(facts: BundleFacts) -> str:
    """Return that nobody knows how like the training images others are, and why.

    Args:
        facts: Of a bundle without a description of its images.
    """
    counts = facts.data.get("images", {})
    n_train, n_val = (sum(counts.get(part, {}).values()) for part in ("train", "val"))
    # Findings are counted each, which tells no number of images.
    if not facts.is_multi and (n_train < _LEAST_TRAIN or n_val < _LEAST_VAL):
        why = (
            f"it was made with {n_train} training and {n_val} validation images, and it takes "
            f"{_LEAST_TRAIN} and {_LEAST_VAL} to tell"
        )
    elif facts.members:
        why = "its networks learned from each other's validation images"
    else:
        why = "an earlier version of RadTune exported it"
    return (
        "Whether your images are like those that the classifier learned from is not known, since "
        f"its bundle doesn't say how these look: {why}. Measure it on labelled images before using "
        "it."
    )


def _f32(values: Any) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, dtype=np.float32)
