"""Keeps the strip at the bottom of the window in step with what runs."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from engine.contract.events import (
    BatchFinished,
    EpochFinished,
    Event,
    JobFinished,
    JobProgressed,
    RunPaused,
    RunProgressed,
    RunStarted,
)
from gui.messages import device_text, job_text, run_text
from gui.run_state import RunState
from gui.session import Session
from gui.stages import Stage
from gui.widgets.status_strip import StatusStrip

__all__ = ["StatusPresenter"]

_STAGE_OF_JOB = {
    "sample": Stage.DATA,
    "scan": Stage.DATA,
    "relabel": Stage.DATA,
    "export_labels": Stage.DATA,
    "deidentify": Stage.DATA,
    "audit": Stage.AUDIT,
    "split": Stage.SPLIT,
    "evaluate": Stage.EVALUATE,
    "export": Stage.APPLY,
    "predict": Stage.APPLY,
    "add_weights": Stage.MODEL,
    "prepare_images": Stage.MODEL,
    "search": Stage.SEARCH,
    "crossval": Stage.SEARCH,
    "lr_range": Stage.SEARCH,
    "ensemble": Stage.SEARCH,
}


class StatusPresenter(QObject):
    """Shows the run, else the newest other job, else that nothing runs.

    Signals:
        stage_requested: The text was clicked: the :class:`Stage` of what runs.
    """

    stage_requested = Signal(object)

    def __init__(self, session: Session, strip: StatusStrip, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._strip = strip
        self._job = ""
        self._max_epochs = 0
        self._run_fraction: float | None = None
        self._run_text = ""
        runs, jobs = session.runs, session.jobs
        runs.state_changed.connect(self._on_run_state)
        runs.event_received.connect(self._on_run_event)
        jobs.started.connect(self._on_job_started)
        jobs.progressed.connect(self._on_job_progressed)
        jobs.ended.connect(self._on_job_ended)
        session.device_changed.connect(self._show_idle_if_idle)
        session.snapshot_changed.connect(self._show_idle_if_idle)
        strip.pause_requested.connect(runs.pause)
        strip.resume_requested.connect(runs.proceed)
        strip.stop_requested.connect(self._stop)
        strip.job_activated.connect(self._go)
        self._show_idle_if_idle()

    def _on_run_state(self, state: RunState) -> None:
        if not state.is_busy:
            self._show_idle_if_idle()
            return
        if state is RunState.STARTING:
            self._run_fraction, self._run_text = None, self.tr("Starting…")
        pending = {
            RunState.PAUSING: self.tr("Pausing…"),
            RunState.PROCEEDING: self.tr("Going on…"),
            RunState.STOPPING: self.tr("Stopping; the best epoch is kept…"),
            RunState.CANCELING: self.tr("Canceling…"),
            RunState.HUNG: self.tr("The training makes no progress"),
            RunState.RESTARTING: self.tr("Going on from the last saved state…"),
        }
        if state in pending:
            self._strip.set_pending(pending[state])
            return
        self._show_run()
        self._strip.set_paused(state is RunState.PAUSED)

    def _on_run_event(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._max_epochs = event.max_epochs
        if isinstance(event, RunPaused) and event.reason:
            self._run_text = self.tr("Paused: %s") % event.reason
            self._show_run()
            self._strip.set_paused(True)
        if isinstance(event, BatchFinished):
            done = event.epoch - 1 + event.batch / max(1, event.n_batches)
            self._run_fraction = done / self._max_epochs if self._max_epochs else None
        elif isinstance(event, RunProgressed):
            self._run_fraction = event.done / event.total if event.total else None
        if isinstance(event, BatchFinished | EpochFinished | RunProgressed):
            self._run_text = run_text(event, self._max_epochs)
            if self._session.runs.state is RunState.RUNNING:
                self._show_run()

    def _show_run(self) -> None:
        text = self._run_text
        if self._session.runs.state is RunState.PAUSED and not text.startswith(self.tr("Paused")):
            text = self.tr("Paused · %s") % text
        self._strip.set_job(
            text,
            self._run_fraction,
            can_pause=self._session.runs.state is not RunState.STARTING,
            stop_text=self.tr("Stop and keep best"),
        )

    def _on_job_started(self, kind: str) -> None:
        self._job = kind
        if not self._session.runs.state.is_busy:
            self._strip.set_job(self.tr("Working…"), None, can_pause=False, can_stop=True)

    def _on_job_progressed(self, event: JobProgressed) -> None:
        if self._session.runs.state.is_busy:
            return
        self._job = event.kind
        fraction = event.done / event.total if event.total else None
        self._strip.set_job(job_text(event), fraction, can_pause=False)

    def _on_job_ended(self, finished: JobFinished) -> None:
        if finished.kind == self._job:
            self._job = ""
        self._show_idle_if_idle()

    def _show_idle_if_idle(self) -> None:
        if self._session.runs.state.is_busy or self._job:
            return
        device = device_text(self._session.device)
        parts = [self.tr("%s · ready") % device] if device else [self.tr("Ready")]
        if self._session.folder is not None:
            parts.append(self.tr("every change is saved at once"))
        self._strip.set_idle(" · ".join(parts))

    def _stop(self) -> None:
        if self._session.runs.state.is_busy:
            self._session.runs.stop()
        elif self._job:
            self._session.jobs.cancel(self._job)
            self._strip.set_pending(self.tr("Canceling…"))

    def _go(self) -> None:
        if self._session.runs.state.is_busy:
            self.stage_requested.emit(Stage.TRAIN)
        elif self._job in _STAGE_OF_JOB:
            self.stage_requested.emit(_STAGE_OF_JOB[self._job])
