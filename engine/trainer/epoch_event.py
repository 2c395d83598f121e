"""What is told of an epoch that has ended."""

from __future__ import annotations

from engine.contract.events import EpochFinished
from engine.methods.method import TrainingData
from engine.trainer.checkpoint import TrainingState
from engine.trainer.history import comment_on
from engine.trainer.samples import sample_predictions
from engine.trainer.steps import Validation


def epoch_event(
    run: str, state: TrainingState, data: TrainingData, result: Validation, *, is_best: bool
) -> EpochFinished:
    """Return the event of the newest epoch in a state's history.

    Args:
        run: The run's id.
        state: Where the run stands after that epoch.
        data: Whose validation images ``result`` speaks of.
        result: What validation says of the epoch.
        is_best: Whether it is the best so far.
    """
    row = state.history[-1]
    return EpochFinished(
        run=run,
        epoch=row.epoch,
        train_loss=row.train_loss,
        val_loss=row.val_loss,
        val_auroc=row.val_auroc,
        best_epoch=state.best_epoch,
        is_best=is_best,
        seconds=row.seconds,
        comment=comment_on(state.history, state.best_epoch),
        samples=sample_predictions(data.table, data.val, result.probabilities),
    )
