"""Folds of a project's training and validation images, and whether there are patients enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import DatasetError
from engine.contract.units import PLURALS, units
from engine.project.table import TrainingTable
from engine.seeding import step_seed
from engine.splits.folds import carve_validation, make_folds
from engine.splits.stratify import TEST, TRAIN, UNASSIGNED, VAL

_LEAST: Final = 3  # patients: one to hold out, one to learn from, one to choose the best pass by
_NOT_TEST: Final = "The test images never take part."


@dataclass(frozen=True, kw_only=True, eq=False)
class Folds:
    """The folds of a project's training and validation images.

    Attributes:
        of_image: Fold of every image of the table from 0; -1 for those that take no part.
    """

    of_image: NDArray[np.int8]
    n_folds: int
    table: TrainingTable
    seed: int

    @classmethod
    def of(cls, table: TrainingTable, n_folds: int, seed: int) -> Folds:
        """Divide the images that are in training or validation; the test images stay outside.

        Raises:
            DatasetError: If there are too few patients for that.
        """
        inside = np.flatnonzero(np.isin(table.split, (TRAIN, VAL)))
        of_image = np.full(len(table.split), UNASSIGNED, dtype=np.int8)
        of_image[inside] = make_folds(
            table.strata[inside],
            table.groups[inside],
            n_folds,
            seed=seed,
            class_names=table.class_names,
            unit=table.unit,
        )
        return cls(of_image=of_image, n_folds=n_folds, table=table, seed=seed)

    def held_out(self, fold: int) -> NDArray[np.int64]:
        """Return indices of the images of a fold."""
        return np.flatnonzero(self.of_image == fold)

    def parts(self, fold: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return indices to learn from, to choose by, and those of the fold itself.

        Raises:
            DatasetError: If a class has a single patient outside the fold.
        """
        rest = np.flatnonzero((self.of_image >= 0) & (self.of_image != fold))
        learned, chosen_by = carve_validation(
            self.table.strata,
            self.table.groups,
            rest,
            seed=step_seed(self.seed, "inner", fold),
            class_names=self.table.class_names,
            unit=self.table.unit,
        )
        return learned, chosen_by, self.held_out(fold)


def checked_folds(table: TrainingTable, n_folds: int, seed: int) -> Folds:
    """Return folds of which every one can be held out.

    Raises:
        DatasetError: If there are too few patients; it counts those that can take part, and says
            with how many folds it would go.
    """
    try:
        return _tried(table, n_folds, seed)
    except DatasetError as error:
        raise _refusal(table, n_folds, seed, error) from error


def _tried(table: TrainingTable, n_folds: int, seed: int) -> Folds:
    folds = Folds.of(table, n_folds, seed)
    for fold in range(n_folds):
        folds.parts(fold)
    return folds


def _refusal(table: TrainingTable, n_folds: int, seed: int, error: DatasetError) -> DatasetError:
    """Return why there can't be so many folds, in numbers that the user knows from the project."""
    other = _other_number(table, n_folds, seed)
    if table.is_multi:
        remedy = other or error.remedy
        return DatasetError(error.message, remedy=f"{remedy} {_NOT_TEST}")
    n_inside = [_n_groups(table, k, (TRAIN, VAL)) for k in range(len(table.class_names))]
    scarcest = int(np.argmin(n_inside))
    n, n_test = n_inside[scarcest], _n_groups(table, scarcest, (TEST,))
    if n >= _n_needed(n_folds):  # enough, but some have images of several classes
        return DatasetError(error.message, remedy=other or error.remedy)
    message = (
        f"Class '{table.class_names[scarcest]}' has {units(table.unit, n)} in "
        f"training and validation; {n_folds} folds need at least {_n_needed(n_folds)}: one in "
        "each fold, and two outside it, to learn from and to choose the best pass by."
    )
    if n_test:
        verb = "is" if n_test == 1 else "are"
        message += f" {n_test} more {verb} among the test images, which never take part."
    return DatasetError(message, remedy=other or _more(n, n_test, table.unit))


def _n_needed(n_folds: int) -> int:
    """Return how many patients each class needs, so that two are left outside the fullest fold."""
    return 4 if n_folds == 2 else n_folds


def _n_groups(table: TrainingTable, k: int, splits: tuple[int, ...]) -> int:
    return len(np.unique(table.groups[(table.labels == k) & np.isin(table.split, splits)]))


def _other_number(table: TrainingTable, n_folds: int, seed: int) -> str:
    """Return the advice to choose another number of folds, after trying it; else nothing."""
    for other in (*range(n_folds - 1, 1, -1), _LEAST):
        try:
            _tried(table, other, seed)
        except DatasetError:
            continue
        return f"Choose {other} folds."
    return ""


def _more(n: int, n_test: int, unit: str) -> str:
    """Return what helps a class that has too few patients for any number of folds."""
    n_more = _LEAST - n
    counted = f"{n_more} more {unit if n_more == 1 else PLURALS[unit]}"
    if n_test > n_more:  # one of them has to stay
        return (
            f"Divide the images anew, with a smaller share for testing, then choose {_LEAST} folds."
        )
    return (
        f"Add at least {counted} with this class and divide the images anew, then choose "
        f"{_LEAST} folds; or merge the class with another, or leave it out."
    )
