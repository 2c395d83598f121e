"""What is told of an epoch that has ended."""

from __future__ import annotations

from dataclasses import replace

from engine.contract.events import EpochFinished
from engine.methods.method import TrainingData
from engine.trainer.checkpoint import TrainingState
from engine.trainer.history import comment_on
from engine.trainer.samples import sample_predictions
from engine.trainer.steps import Validation


def epoch_event(
    run: str, state: TrainingState, data: TrainingData, result: Validation | None
) -> EpochFinished:
    """Return the event of the newest epoch in a state's history.

    Args:
        run: The run's id.
        state: Where the run stands after that epoch.
        data: Whose validation images ``result`` speaks of.
        result: What validation says of the epoch; None where that isn't known any more:
            then neither samples nor a comment are part of it.
    """
    row = state.history[-1]
    event = EpochFinished(
        run=run,
        epoch=row.epoch,
        train_loss=row.train_loss,
        val_loss=row.val_loss,
        val_auroc=row.val_auroc,
        best_epoch=state.best_epoch,
        is_best=row.epoch == state.best_epoch,
        seconds=row.seconds,
    )
    if result is None:
        return event
    return replace(
        event,
        comment=comment_on(state.history, state.best_epoch),
        samples=sample_predictions(data.table, data.val, result.probabilities),
    )
