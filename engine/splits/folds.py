"""Folds of a cross-validation: every patient in one of them, the classes in proportion in each.

References:
    Kohavi, "A Study of Cross-Validation and Bootstrap for Accuracy Estimation and Model
    Selection", IJCAI 1995 (stratified folds).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.contract.errors import DatasetError
from engine.splits.stratify import divide_groups

_INNER_VALIDATION: Final = 0.15


def make_folds(
    labels: ArrayLike,
    groups: ArrayLike,
    n_folds: int,
    *,
    seed: int,
    class_names: Sequence[str] | None = None,
    unit: str = "patient",
) -> NDArray[np.int8]:
    """Return the fold of every image, shape ``(N,)``, from 0.

    Groups stay whole, each fold has every class, and about the same share of each. The same input
    and seed give the same folds.

    Args:
        labels: Class indices, shape ``(N,)``.
        groups: Group of every image, shape ``(N,)``.
        n_folds: At least 2.
        seed: Which of the equally good divisions.
        class_names: Names by index, for messages.
        unit: What a group is, for messages.

    Raises:
        DatasetError: If a class has fewer groups than there are folds.
        ValueError: If there are fewer than two folds, or the shapes differ.
    """
    if n_folds < 2:
        raise ValueError(f"at least 2 folds, not {n_folds}")
    shares = np.full(n_folds, 1 / n_folds)
    try:
        return divide_groups(labels, groups, shares, seed=seed, class_names=class_names, unit=unit)
    except DatasetError as error:
        raise DatasetError(error.message, remedy=f"Choose fewer folds. {error.remedy}") from error


def carve_validation(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    rest: NDArray[np.int64],
    *,
    seed: int,
    class_names: Sequence[str] | None = None,
    unit: str = "patient",
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide the images outside a fold into those to learn from and those to choose by.

    Early stopping and every other choice needs images of its own: were the fold used for them, its
    result would be too good.

    Args:
        labels: Of all images, shape ``(N,)``.
        groups: Of all images, shape ``(N,)``.
        rest: Indices of the images outside the fold.
        seed: Of the division.
        class_names: Names by index, for messages.
        unit: What a group is, for messages.

    Returns:
        Indices to learn from, and indices to choose by.

    Raises:
        DatasetError: If a class has a single group outside the fold.
    """
    shares = np.array([1 - _INNER_VALIDATION, _INNER_VALIDATION])
    part = divide_groups(
        labels[rest], groups[rest], shares, seed=seed, class_names=class_names, unit=unit
    )
    return rest[part == 0], rest[part == 1]
