"""A regularised linear decision layer on fixed features, its strength chosen on validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from engine.contract.errors import DatasetError
from engine.methods.head_loss import HeadLoss, log_softmax
from engine.methods.head_solver import FINE, ROUGH, HeadSolver, Layer, ahead, one_blas_thread

STRENGTHS: Final = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Inverse regularisation strengths, weakest decision layer first."""
_PATIENCE: Final = 2
_ROWS_AT_ONCE: Final = 64
_MIRRORED: Final = np.array([[-0.5], [0.5]])


@dataclass(frozen=True, kw_only=True)
class LinearHead:
    """A fitted decision layer: ``weight @ ((features - mean) * scale) + bias``.

    Attributes:
        mean: Shape ``(F,)``.
        scale: Shape ``(F,)``.
        weight: Shape ``(K, F)``.
        bias: Shape ``(K,)``.
        strength: The chosen inverse regularisation strength.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    strength: float

    def probabilities(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return class probabilities, shape ``(N, K)``."""
        x = standardised(features, self.mean, self.scale)
        return np.exp(log_softmax(x @ self.weight.T.astype(np.float32) + self.bias))


def standardisation(
    features: NDArray[np.floating], widths: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and scale that give each block of features the same total variance.

    Without the division by its width a block of many features would drown one of few. Features
    that hardly vary are not blown up.

    Args:
        features: Shape ``(N, F)``.
        widths: Widths of the blocks, summing to F.
    """
    mean, variance = _moments(features)
    deviation = np.sqrt(variance)
    floor = 1e-3 * max(float(deviation.mean()), 1e-12)
    block = np.repeat(np.asarray(widths, dtype=np.float64), widths)
    return mean, 1.0 / ((deviation + floor) * np.sqrt(block * len(widths)))


def _moments(
    features: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and variance of each feature, without a copy of them all in float64."""
    n, width = features.shape
    mean, squares = features.mean(axis=0, dtype=np.float64), np.zeros(width)
    for start in range(0, n, _ROWS_AT_ONCE):
        away = features[start : start + _ROWS_AT_ONCE] - mean
        squares += np.einsum("nf,nf->f", away, away)
    return mean, squares / n


@one_blas_thread()
def fit_linear_head(
    train: tuple[NDArray[np.floating], NDArray[np.int64]],
    val: tuple[NDArray[np.floating], NDArray[np.int64]],
    *,
    widths: Sequence[int],
    class_weights: NDArray[np.float64] | None,
    score: Callable[[NDArray[np.float64], NDArray[np.int64]], float],
    loss: HeadLoss | None = None,
    strengths: Sequence[float] = STRENGTHS,
    start: LinearHead | None = None,
    on_strength: Callable[[int, int], None] | None = None,
) -> LinearHead:
    """Fit multinomial logistic regression at several strengths and keep the best on validation.

    Each fit begins where those of the strengths before lead, and is a rough one; that of the chosen
    strength is then refined. A strength alone is fitted finely at once. The path ends when two
    strengths in a row were worse than the best: what is left is slower to fit and further from it.

    Args:
        train: Features ``(N, F)`` and labels ``(N,)`` of the training images.
        val: The same of the validation images.
        widths: Widths of the feature blocks, summing to F.
        class_weights: Weight of each class, shape ``(K,)``, or None.
        score: Takes probabilities and labels; higher is better. Ties go to the lower log loss.
        loss: What is minimised, if not cross-entropy with these weights.
        strengths: Inverse regularisation strengths, weakest decision layer first.
        start: A head fitted on similar images at the first strength, which spares steps; the
            result is the same.
        on_strength: Called with strengths done and in total.

    Raises:
        DatasetError: If all training images have the same features.
    """
    mean, scale = standardisation(train[0], widths)
    x = standardised(train[0], mean, scale)
    require_difference(x)
    loss = loss or HeadLoss(class_weights=class_weights)
    val_x, solver = standardised(val[0], mean, scale), HeadSolver(torch.from_numpy(x))
    n_classes = int(max(train[1].max(), val[1].max(initial=0))) + 1
    # Of two classes a single row is fitted, which the two share as mirror images.
    share = _MIRRORED if n_classes == 2 else np.eye(n_classes)
    first = np.zeros((share.shape[1], x.shape[1])), np.zeros(share.shape[1])
    if start is not None:
        first = _restandardised(start, mean, scale, share)

    def to_lower(logits: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, gradient = loss(logits @ share.T, train[1])
        return value, gradient @ share

    best: tuple[float, float] | None = None
    fits: list[tuple[float, Layer]] = []
    chosen, n_worse = (strengths[0], first), 0
    slope = ROUGH if len(strengths) > 1 else FINE
    for done, strength in enumerate(strengths, 1):
        begin = ahead(fits, strength) if fits else first
        weight, bias = solver.fit(to_lower, 1.0 / strength, begin, slope=slope)
        fits.append((strength, (weight, bias)))
        log_p = log_softmax((val_x @ weight.T + bias) @ share.T)
        merit = (score(np.exp(log_p), val[1]), float(_right(log_p, val[1]).mean()))
        if best is None or merit > best:
            best, chosen, n_worse = merit, fits[-1], 0
        else:
            n_worse += 1
        is_over = n_worse == _PATIENCE
        if on_strength is not None:
            on_strength(len(strengths) if is_over else done, len(strengths))
        if is_over:
            break
    strength, (weight, bias) = chosen
    if slope != FINE:
        weight, bias = solver.fit(to_lower, 1.0 / strength, (weight, bias), slope=FINE)
    return LinearHead(
        mean=mean, scale=scale, weight=share @ weight, bias=share @ bias, strength=strength
    )


def _restandardised(
    head: LinearHead,
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
    share: NDArray[np.float64],
) -> Layer:
    """Return the rows that a fit finds and that, with another standardisation, say as a head does.

    Args:
        head: Of K classes.
        mean: Of the fit, shape ``(F,)``.
        scale: Of the fit, shape ``(F,)``.
        share: How the classes share the rows, shape ``(K, R)``.
    """
    rows = np.linalg.pinv(share)
    plain = head.weight * head.scale
    bias = head.bias + plain @ (mean - head.mean)
    return rows @ (plain / scale), rows @ bias


def require_difference(standardised_features: NDArray[np.float32]) -> None:
    """Refuse images that all have the same features.

    Raises:
        DatasetError: If nothing tells the classes apart.
    """
    if not standardised_features.any():
        raise DatasetError(
            "All training images look the same, so nothing tells the classes apart.",
            remedy="Check that the files hold different images, and that the right ones were "
            "imported.",
        )


def standardised(
    features: NDArray[np.floating], mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return ``(features - mean) * scale``, shape ``(N, F)``."""
    x: NDArray[np.float32] = np.subtract(features, mean, dtype=np.float32, casting="same_kind")
    np.multiply(x, scale, out=x, casting="same_kind")
    return x


def _right(log_p: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each image's log-probability of its own class, no less than that of 1e-12."""
    return np.maximum(log_p[np.arange(len(labels)), labels], np.log(1e-12))
