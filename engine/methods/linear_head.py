"""A regularised linear decision layer on fixed features, its strength chosen on validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import DatasetError

STRENGTHS: Final = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Inverse regularisation strengths, weakest decision layer first."""
_MAX_ITERATIONS: Final = 500


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
        return _softmax(((features - self.mean) * self.scale) @ self.weight.T + self.bias)


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
    values = features.astype(np.float64)
    deviation = values.std(axis=0)
    floor = 1e-3 * max(float(deviation.mean()), 1e-12)
    block = np.repeat(np.asarray(widths, dtype=np.float64), widths)
    return values.mean(axis=0), 1.0 / ((deviation + floor) * np.sqrt(block * len(widths)))


def fit_linear_head(
    train: tuple[NDArray[np.floating], NDArray[np.int64]],
    val: tuple[NDArray[np.floating], NDArray[np.int64]],
    *,
    widths: Sequence[int],
    class_weights: NDArray[np.float64] | None,
    score: Callable[[NDArray[np.float64], NDArray[np.int64]], float],
    on_strength: Callable[[int, int], None] | None = None,
) -> LinearHead:
    """Fit multinomial logistic regression at several strengths and keep the best on validation.

    The fit runs in the space that the training images span: with an L2 penalty the solution lies
    there, and it is far smaller than the feature space when images are few.

    Args:
        train: Features ``(N, F)`` and labels ``(N,)`` of the training images.
        val: The same of the validation images.
        widths: Widths of the feature blocks, summing to F.
        class_weights: Weight of each class, shape ``(K,)``, or None.
        score: Takes probabilities and labels; higher is better. Ties go to the lower log loss.
        on_strength: Called after each strength with those done and in total.

    Raises:
        DatasetError: If the features of all training images are the same.

    References:
        Hastie and Tibshirani, "Efficient quadratic regularization for expression arrays",
        Biostatistics 2004 (the reduction to N dimensions).
    """
    mean, scale = standardisation(train[0], widths)
    x = (train[0] - mean) * scale
    _, singular, rows = np.linalg.svd(x, full_matrices=False)
    kept = singular > singular.max(initial=0.0) * 1e-7
    if not kept.any():
        raise DatasetError(
            "All training images look the same, so nothing tells the classes apart.",
            remedy="Check that the files hold different images, and that the right ones were "
            "imported.",
        )
    basis = rows[kept].T  # (F, R)
    x_small, val_small = x @ basis, ((val[0] - mean) * scale) @ basis
    best: tuple[float, float] | None = None
    chosen: tuple[NDArray[np.float64], NDArray[np.float64], float] | None = None
    for done, (strength, weight, bias) in enumerate(_path(x_small, train[1], class_weights), 1):
        probabilities = _softmax(val_small @ weight.T + bias)
        loss = -np.log(np.clip(probabilities[np.arange(len(val[1])), val[1]], 1e-12, 1)).mean()
        merit = (score(probabilities, val[1]), -float(loss))
        if best is None or merit > best:
            best, chosen = merit, (weight, bias, strength)
        if on_strength is not None:
            on_strength(done, len(STRENGTHS))
    assert chosen is not None
    weight, bias, strength = chosen
    return LinearHead(mean=mean, scale=scale, weight=weight @ basis.T, bias=bias, strength=strength)


def _path(
    x: NDArray[np.float64], labels: NDArray[np.int64], class_weights: NDArray[np.float64] | None
) -> Sequence[tuple[float, NDArray[np.float64], NDArray[np.float64]]]:
    """Fit from the strongest penalty to the weakest, each beginning where the last one ended."""
    from sklearn.linear_model import LogisticRegression

    sample_weight = None if class_weights is None else class_weights[labels]
    model = LogisticRegression(warm_start=True, max_iter=_MAX_ITERATIONS)
    fitted = []
    for strength in STRENGTHS:
        model.set_params(C=strength)
        model.fit(x, labels, sample_weight=sample_weight)
        fitted.append((strength, *_one_row_per_class(model.coef_, model.intercept_)))
    return fitted


def _one_row_per_class(
    coefficients: NDArray[np.float64], intercept: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn the single row of a two-class fit into two rows whose softmax is the same."""
    if len(intercept) > 1:
        return coefficients.copy(), intercept.copy()
    return (
        np.concatenate([-coefficients / 2, coefficients / 2]),
        np.concatenate([-intercept / 2, intercept / 2]),
    )


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float64)
