"""Watches training, and tells each thing that a user should know once a run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engine.contract.events import Event, Warned
from engine.methods.guessing import guesses, guessing_loss
from engine.methods.method import TrainingData
from engine.trainer.checkpoint import TrainingState
from engine.trainer.going_back import count_update
from engine.trainer.health import (
    DEAD,
    EXPLODING,
    NOT_LEARNING,
    Advice,
    Health,
    count_undecided,
    count_unpredicted,
    dead_class_advice,
    dead_finding_advice,
    exploding_advice,
    is_exploding,
    learning_advice,
)
from engine.trainer.update import BatchLoss


class Watcher:
    """Takes in what each batch and epoch gave."""

    def __init__(
        self,
        data: TrainingData,
        criterion: nn.Module,
        *,
        is_scaled: bool,
        run: str,
        emit: Callable[[Event], None],
    ) -> None:
        """Prepare.

        Args:
            data: What is learned.
            criterion: The training loss.
            is_scaled: Whether gradients are scaled, so that a few updates are always skipped.
            run: Id of the run, for the events.
            emit: Receives the warnings.
        """
        self._data, self._criterion, self._is_scaled = data, criterion, is_scaled
        self._run, self._emit = run, emit

    def batch(self, health: Health, found: BatchLoss) -> None:
        """Take in a batch.

        Raises:
            GoBackError: If numbers have been wrong too often in a row.
        """
        count_update(health, found, is_scaled=self._is_scaled)
        if not found.is_finite:
            return
        if EXPLODING not in health.told and is_exploding(health.losses, self._guessing):
            self._advise(health, EXPLODING, exploding_advice())

    def epoch(self, state: TrainingState, probabilities: NDArray[np.float64]) -> None:
        """Take in an epoch, which is the last of the state's history.

        Args:
            state: After the epoch.
            probabilities: Of the validation images, shape ``(N, K)``.
        """
        health, row, table = state.health, state.history[-1], self._data.table
        health.n_skipped = 0
        if table.is_multi:
            labels = table.labels[self._data.val]
            health.unpredicted = count_undecided(health.unpredicted, probabilities, labels)
            dead = dead_finding_advice(health.unpredicted, table.class_names)
        else:
            health.unpredicted = count_unpredicted(health.unpredicted, probabilities)
            dead = dead_class_advice(health.unpredicted, table.class_names)
        self._advise(health, DEAD, dead)
        advice = learning_advice(
            epoch=row.epoch,
            step=state.step,
            train_loss=row.train_loss,
            guessing=self._guessing,
            val_auroc=row.val_auroc,
        )
        self._advise(health, NOT_LEARNING, advice)

    def _advise(self, health: Health, what: str, advice: Advice | None) -> None:
        if advice is not None and health.tells_first(what):
            self._emit(Warned(run=self._run, message=advice.message, remedy=advice.remedy))

    @cached_property
    def _guessing(self) -> float:
        """The training loss of saying the same of every image."""
        device = str(next((t.device for t in self._criterion.buffers()), "cpu"))
        labels = torch.from_numpy(self._data.table.labels[self._data.train]).to(device)
        answers = guesses(self._data.class_counts(), device)
        return float(guessing_loss(self._criterion, labels, answers))
