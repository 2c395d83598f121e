"""Settings that a run's method tries before the run trains."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.contract.config import ExperimentConfig
from engine.contract.control import Control
from engine.contract.events import BatchFinished, Event, RunPaused, RunProgressed, RunResumed
from engine.hardware import Runtime
from engine.jobs.kept_trials import KeptTrials
from engine.jobs.trial_times import TrialTimes
from engine.jobs.trials import TrialBench
from engine.project.store import Project
from engine.project.table import TrainingTable
from engine.seeding import untouched_generators


class RunTrials:
    """Trains with other settings without a trace in the run.

    Args:
        project: Holds the run.
        run: Its id.
        table: The images.
        n_trials: How many trials there will be; 0 if unknown.
        emit: Receives the run's progress, and that a trial waits.
        control: Requests to honour.
        patiently: Writes; waits while the disk refuses.
    """

    def __init__(
        self,
        project: Project,
        run: str,
        table: TrainingTable,
        n_trials: int,
        emit: Callable[[Event], None],
        control: Control,
        patiently: Callable[[Callable[[], None]], None],
    ) -> None:
        self._project, self._run, self._table = project, run, table
        self._emit, self._control, self._patiently = emit, control, patiently
        self._times = TrialTimes(n_trials)
        self._kept = KeptTrials(
            project.run_folder(run) / "trials",
            data_digest=project.data_digest(),
            split_digest=project.split_digest(),
        )

    def try_out(
        self, config: ExperimentConfig, stage: str, epochs: int, runtime: Runtime
    ) -> NDArray[np.float64]:
        """Train with other settings, and return what validation gave, as a method's ``Trial``.

        What was tried before the run was interrupted isn't tried again.
        """
        n_epochs = min(epochs, config.method.max_epochs)
        if (kept := self._kept.find(config, n_epochs)) is not None:
            self._times.skip()
            return kept
        self._times.begin(self._clock())
        bench = TrialBench(
            project=self._project,
            table=self._table,
            image=config.image,
            runtime=runtime,
            control=self._control,
            on_event=lambda event: self._show(event, stage, n_epochs, config.method.max_epochs),
        )
        with untouched_generators():
            result = bench.train(config, epochs=epochs, is_nested=True)
        if result.is_complete:  # one that was stopped early is of no use to another start
            self._patiently(lambda: self._kept.keep(config, n_epochs, result.probabilities))
        return result.probabilities

    def drop(self) -> None:
        """Forget what was tried: the run has come to its end."""
        self._kept.drop()

    def _show(self, event: Event, stage: str, n_epochs: int, epochs_after: int) -> None:
        if isinstance(event, RunPaused | RunResumed):
            self._emit(event)
        if not isinstance(event, BatchFinished):
            return
        left = self._times.seconds_left(
            self._clock(), event.seconds_left, n_epochs=n_epochs, epochs_after=epochs_after
        )
        total = event.n_batches * n_epochs
        self._emit(
            RunProgressed(
                run=self._run, stage=stage, done=event.step, total=total, seconds_left=left
            )
        )

    def _clock(self) -> float:
        """Return seconds that don't pass while the run waits."""
        return time.perf_counter() - self._control.waited_s
