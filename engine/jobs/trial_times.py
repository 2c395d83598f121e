"""How long a run still takes while its method tries settings before the training itself."""

from __future__ import annotations

from engine.contract.config import ExperimentConfig
from engine.methods.anchored import AnchoredMethod
from engine.methods.method import FineTuneMethod


def n_trials(method: FineTuneMethod, config: ExperimentConfig) -> int:
    """Return how many trials a method makes before it trains; 0 if none, or if that is unknown."""
    if isinstance(method, AnchoredMethod) and config.anchor.strength == 0:
        return len(method.strengths)
    return 0


class TrialTimes:
    """Estimates from the trial in hand: the others and the training go at its pace.

    There is no clock here: times are given, without pauses.

    Args:
        n_trials: How many trials there will be; 0 if unknown.
    """

    def __init__(self, n_trials: int) -> None:
        self._n_trials = n_trials
        self._n_begun = 0
        self._began = 0.0

    def begin(self, now: float) -> None:
        """Say that a trial begins."""
        self._n_begun += 1
        self._began = now

    def skip(self) -> None:
        """Say that what a trial would find out is known already."""
        self._n_begun += 1

    def seconds_left(
        self, now: float, trial_left: float | None, *, n_epochs: int, epochs_after: int
    ) -> float | None:
        """Return the time to the end of the run; None while it is unknown.

        Args:
            now: In the clock of :meth:`begin`.
            trial_left: Time to the end of the trial in hand.
            n_epochs: Epochs of a trial.
            epochs_after: Epochs of the training that follows.
        """
        if trial_left is None or self._n_begun > self._n_trials:
            return None
        whole = now - self._began + trial_left
        n_after = self._n_trials - self._n_begun
        return trial_left + n_after * whole + epochs_after * whole / n_epochs
