"""Checks shared by the measures: wrong shapes and NaNs are refused, never averaged over."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def as_binary_cases(
    scores: ArrayLike, is_positive: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return scores as float64 and the reference as booleans, both of shape ``(N,)``.

    Args:
        scores: Any real scores, higher meaning more positive; infinities rank like numbers.
        is_positive: Reference, booleans or 0/1.

    Raises:
        ValueError: If the shapes differ or aren't one-dimensional, if a score is NaN (it would
            sort as the largest value), or if the reference holds anything but 0 and 1.
    """
    values = np.asarray(scores, dtype=np.float64)
    reference = np.asarray(is_positive)
    if values.ndim != 1 or values.shape != reference.shape:
        raise ValueError(
            f"scores and is_positive must be 1-D and equally long, "
            f"not {values.shape} and {reference.shape}"
        )
    if np.isnan(values).any():
        raise ValueError("scores must not contain NaN")
    if reference.dtype != np.bool_ and not np.isin(reference, (0, 1)).all():
        raise ValueError("is_positive must hold only 0 and 1")
    return values, reference.astype(np.bool_)


def as_labels(labels: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """Return class indices as int64, shape ``(N,)``.

    Raises:
        ValueError: If they aren't one-dimensional whole numbers in ``[0, n_classes)``.
    """
    indices = np.asarray(labels)
    if indices.ndim != 1:
        raise ValueError(f"labels must be 1-D, not {indices.shape}")
    if indices.size == 0:
        return np.zeros(0, dtype=np.int64)
    if not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(f"labels must be whole numbers, not {indices.dtype}")
    if indices.min() < 0 or indices.max() >= n_classes:
        raise ValueError(f"labels must lie in [0, {n_classes})")
    return indices.astype(np.int64)


def as_class_cases(
    probs: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return class scores, shape ``(N, K)``, and class indices, shape ``(N,)``.

    Raises:
        ValueError: If ``probs`` isn't ``(N, K)`` with K of at least 2, holds NaN, or differs from
            ``labels`` in N; or if a label lies outside ``[0, K)``.
    """
    values = np.asarray(probs, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f"probs must be (N, K) with K >= 2, not {values.shape}")
    indices = as_labels(labels, values.shape[1])
    if len(indices) != len(values):
        raise ValueError(f"probs has {len(values)} rows but labels has {len(indices)}")
    if np.isnan(values).any():
        raise ValueError("probs must not contain NaN")
    return values, indices


def as_probabilities(values: ArrayLike) -> NDArray[np.float64]:
    """Return the values as float64 after checking that all lie in ``[0, 1]``.

    Raises:
        ValueError: If a value lies outside by more than rounding, or is NaN.
    """
    probabilities = np.asarray(values, dtype=np.float64)
    # A float32 softmax may exceed 1 by a few units in the last place.
    if not ((probabilities >= -1e-6) & (probabilities <= 1 + 1e-6)).all():
        raise ValueError("probabilities must lie in [0, 1]")
    return np.clip(probabilities, 0.0, 1.0)
