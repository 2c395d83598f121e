"""Whether training fares well: numbers that go wrong, and what a user should be told once.

Everything is a function of what is kept in :class:`Health`, which is part of the saved state, so a
resumed run decides and tells as the uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.metrics.findings import findings_aurocs

MOST_ROLLBACKS: Final = 3
RATE_AFTER_ROLLBACK: Final = 0.3
_MOST_WRONG: Final = 3
_MOST_WRONG_SCALED: Final = 20  # a scale of 65536, halved as often, is below 1
_WINDOW: Final = 50
_LATEST: Final = 5
_FEWEST_LOSSES: Final = 25
_EXPLODED: Final = 3.0  # times the running median
_NEVER_PREDICTED: Final = 3  # epochs in a row
_EPOCHS_TO_LEARN: Final = 2
_STEPS_TO_LEARN: Final = 30
_LEARNED: Final = 0.99  # of the loss of guessing
_AUROC_OF_GUESSING: Final = 0.6

EXPLODING: Final = "exploding"
DEAD: Final = "dead"
NOT_LEARNING: Final = "not_learning"


@dataclass(slots=True, kw_only=True)
class Health:
    """What is remembered of how training fares.

    Attributes:
        n_wrong: Updates skipped in a row, up to now.
        n_skipped: Updates skipped in the present epoch.
        n_rollbacks: How often training went back to a saved state because numbers went wrong.
        rate: Factor on the learning rate since then.
        stuck_at: Update of the state that training went back to last, until one succeeds.
        losses: Losses of the latest batches.
        unpredicted: For each class, epochs in a row in which no validation image was taken for it;
            for each finding, as :func:`count_undecided` counts them.
        told: What the user has been told, each once a run.
    """

    n_wrong: int = 0
    n_skipped: int = 0
    n_rollbacks: int = 0
    rate: float = 1.0
    stuck_at: int | None = None
    losses: list[float] = field(default_factory=list)
    unpredicted: list[int] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def took_step(self, loss: float) -> None:
        """Remember an update that was made."""
        self.n_wrong, self.stuck_at = 0, None
        self.losses = [*self.losses[1 - _WINDOW :], loss]

    def skipped_step(self) -> None:
        """Remember an update that was skipped."""
        self.n_wrong += 1
        self.n_skipped += 1

    def went_back(self, before: Health, step: int) -> None:
        """Be the health of a restored state.

        Args:
            before: The health when numbers had gone wrong.
            step: Updates of the restored state.
        """
        self.n_wrong, self.stuck_at = 0, step
        self.n_rollbacks = before.n_rollbacks + 1
        self.rate = before.rate * RATE_AFTER_ROLLBACK
        self.told = before.told

    def tells_first(self, what: str) -> bool:
        """Return whether this is told for the first time, and remember that it is told now."""
        is_first = what not in self.told
        if is_first:
            self.told = [*self.told, what]
        return is_first


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One sentence on what is going on, and what could be done."""

    message: str
    remedy: str


def must_go_back(n_wrong: int, *, is_scaled: bool) -> bool:
    """Return whether so many skipped updates in a row mean that the weights are past saving.

    Args:
        n_wrong: Updates skipped in a row.
        is_scaled: Whether gradients are scaled: then a few are skipped until the scale fits.
    """
    return n_wrong >= (_MOST_WRONG_SCALED if is_scaled else _MOST_WRONG)


def is_exploding(losses: Sequence[float], guessing: float) -> bool:
    """Return whether the loss has left what it was: far above its median, and worse than guessing.

    Args:
        losses: Of the latest batches, oldest first.
        guessing: Loss of always predicting how common the classes are.
    """
    if len(losses) < _FEWEST_LOSSES:
        return False
    median = float(np.median(losses[:-_LATEST]))
    return min(losses[-_LATEST:]) > max(_EXPLODED * median, guessing)


def exploding_advice() -> Advice:
    """Return what to say of an exploding loss."""
    return Advice(
        message="The training loss has risen far above what it was: the updates are too large.",
        remedy="If it doesn't fall again, stop, and train with a lower learning rate.",
    )


def count_unpredicted(before: Sequence[int], probabilities: NDArray[np.float64]) -> list[int]:
    """Return for each class the epochs in a row in which no image was taken for it.

    Args:
        before: The counts up to the epoch before; empty at first.
        probabilities: Of the validation images after this epoch, shape ``(N, K)``.
    """
    n_classes = probabilities.shape[1]
    found = np.bincount(probabilities.argmax(axis=1), minlength=n_classes)
    return _counted_on(before, found == 0)


def count_undecided(
    before: Sequence[int], probabilities: NDArray[np.float64], labels: NDArray[np.int64]
) -> list[int]:
    """Return for each finding the epochs in a row in which the network said nothing of it.

    That is, the same answer of every image, and an order of the images no better than chance: a
    rare finding that is told apart well may still never reach one half.

    Args:
        before: The counts up to the epoch before; empty at first.
        probabilities: Of the validation images after this epoch, shape ``(N, K)``.
        labels: Theirs, ``(N, K)``, -1 where unknown.
    """
    n_present = (probabilities >= 0.5).sum(axis=0)
    is_one_answer = (n_present == 0) | (n_present == len(probabilities))
    return _counted_on(
        before, is_one_answer & (findings_aurocs(probabilities, labels) < _AUROC_OF_GUESSING)
    )


def _counted_on(before: Sequence[int], is_dead: NDArray[np.bool_]) -> list[int]:
    counts = before if len(before) == len(is_dead) else [0] * len(is_dead)
    return [count + 1 if dead else 0 for dead, count in zip(is_dead, counts, strict=True)]


def dead_class_advice(unpredicted: Sequence[int], names: Sequence[str]) -> Advice | None:
    """Return what to say of classes that are never predicted, if there are any by now."""
    listed, n = _dead(unpredicted, names)
    if not n:
        return None
    return Advice(
        message=f"For {_NEVER_PREDICTED} passes no validation image was taken for the "
        f"{'class' if n == 1 else 'classes'} {listed}.",
        remedy="Choose balanced sampling or class weights, add images, or merge classes.",
    )


def dead_finding_advice(undecided: Sequence[int], names: Sequence[str]) -> Advice | None:
    """Return what to say of findings that aren't learned, if there are any by now."""
    listed, n = _dead(undecided, names)
    if not n:
        return None
    return Advice(
        message=f"For {_NEVER_PREDICTED} passes all validation images got the same answer for the "
        f"{'finding' if n == 1 else 'findings'} {listed}, in an order no better than chance.",
        remedy="Check a few of its labels, choose balanced sampling or class weights, add images "
        "that show it, or leave it out.",
    )


def _dead(counts: Sequence[int], names: Sequence[str]) -> tuple[str, int]:
    dead = [name for name, n in zip(names, counts, strict=True) if n >= _NEVER_PREDICTED]
    return ", ".join(f"“{name}”" for name in dead), len(dead)


def learning_advice(
    *, epoch: int, step: int, train_loss: float, guessing: float, val_auroc: float
) -> Advice | None:
    """Return what to say when nothing has been learned by now, else None.

    Args:
        epoch: Epochs done.
        step: Updates done.
        train_loss: Mean of the latest epoch.
        guessing: What :func:`engine.methods.guessing.guessing_loss` says of the training images.
        val_auroc: Of the latest epoch.
    """
    is_early = epoch < _EPOCHS_TO_LEARN or step < _STEPS_TO_LEARN
    if is_early or train_loss < _LEARNED * guessing or val_auroc >= _AUROC_OF_GUESSING:
        return None
    return Advice(
        message="Nothing has been learned so far: always saying how common each class is would "
        "do as well.",
        remedy="Check a few labels, then try a higher learning rate or another backbone.",
    )
