"""Starts runs and other jobs, one thread each, and tells the window what they report."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from engine.contract.commands import KIND_OF, RESUMABLE_KINDS, Command, Resume, Train
from engine.contract.events import (
    Event,
    JobFinished,
    JobProgressed,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
)
from gui.run_state import RunInput, RunState, next_state
from gui.worker.engine_client import EngineClient
from gui.worker.engine_thread import EngineThread

_INPUT_OF_EVENT: dict[type[Event], RunInput] = {
    RunStarted: RunInput.STARTED,
    RunPaused: RunInput.PAUSED,
    RunResumed: RunInput.RESUMED,
    RunFinished: RunInput.FINISHED,
}


class RunController(QObject):
    """The one run at a time: starts it, asks it to pause or end, and keeps its state.

    Signals:
        state_changed: A :class:`RunState`.
        event_received: Every event of the run, in order.
        finished: The run's :class:`RunFinished`, after its thread has ended.
    """

    state_changed = Signal(object)
    event_received = Signal(object)
    finished = Signal(object)

    def __init__(self, client: EngineClient, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._thread: EngineThread | None = None
        self._state = RunState.IDLE
        self._finished: RunFinished | None = None

    @property
    def state(self) -> RunState:
        """Where the run stands."""
        return self._state

    def start(self, command: Train | Resume) -> None:
        """Start or resume a run.

        Raises:
            ValueError: If one is under way.
        """
        if self._state.is_busy:
            raise ValueError("a run is under way")
        self._finished = None
        self._move(RunInput.START)
        self._thread = EngineThread(self._client, command, self)
        self._thread.event_received.connect(self._on_event)
        self._thread.finished.connect(self._on_thread_finished)
        self._thread.start()

    def pause(self) -> None:
        """Ask the run to wait; shows as pending until the engine confirms."""
        self._request("pause", RunInput.PAUSE)

    def proceed(self) -> None:
        """Ask a paused run to go on."""
        self._request("proceed", RunInput.PROCEED)

    def stop(self) -> None:
        """Ask the run to end and keep its best epoch."""
        self._request("stop", RunInput.STOP)

    def cancel(self) -> None:
        """Ask the run to end and keep nothing."""
        self._request("cancel", RunInput.CANCEL)

    def interrupt(self, timeout_ms: int = 15_000) -> None:
        """End the run so that it can be resumed next time, and wait for it (window closing).

        A run that is being canceled is only waited for: nothing of it is to be kept.
        """
        if self._thread is not None:
            if self._state is not RunState.CANCELING:
                self._thread.request("interrupt")
            self._thread.wait(timeout_ms)

    def _request(self, name: str, moved_by: RunInput) -> None:
        if self._thread is not None and next_state(self._state, moved_by) is not self._state:
            self._thread.request(name)
            self._move(moved_by)

    def _move(self, moved_by: RunInput) -> None:
        state = next_state(self._state, moved_by)
        if state is not self._state:
            self._state = state
            self.state_changed.emit(state)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, RunFinished):
            self._finished = event  # told when the thread has ended, so that a new run can start
            self.event_received.emit(event)
            return
        if (moved_by := _INPUT_OF_EVENT.get(type(event))) is not None:
            self._move(moved_by)
        self.event_received.emit(event)

    def _on_thread_finished(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.deleteLater()
        self._move(RunInput.FINISHED)
        if self._finished is not None:
            self.finished.emit(self._finished)


class _Job(QObject):
    """One job's thread and callbacks; a QObject, so that slots run in the window's thread."""

    progressed = Signal(object)
    ended = Signal(object)
    thread_ended = Signal(object)

    def __init__(
        self,
        thread: EngineThread,
        on_finished: Callable[[JobFinished], None],
        on_event: Callable[[Event], None] | None,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.engine_thread = thread  # not "thread": every QObject has a method of that name
        self._on_finished = on_finished
        self._on_event = on_event
        self._last: JobFinished | None = None
        thread.setParent(self)
        thread.event_received.connect(self._receive)
        thread.finished.connect(self._end)

    def _receive(self, event: Event) -> None:
        if isinstance(event, JobFinished):
            self._last = event  # told when the thread has ended, so that the next job can start
            return
        if isinstance(event, JobProgressed):
            self.progressed.emit(event)
        if self._on_event is not None:
            self._on_event(event)

    def _end(self) -> None:
        self.thread_ended.emit(self)
        if self._last is not None:
            self.ended.emit(self._last)
            self._on_finished(self._last)


class JobController(QObject):
    """Jobs other than runs; one at a time per worker role, others wait their turn.

    Signals:
        progressed: A :class:`JobProgressed` of whichever job runs.
        started: The kind of the job that began.
        ended: The :class:`JobFinished` of the job that ended.
    """

    progressed = Signal(object)
    started = Signal(str)
    ended = Signal(object)

    def __init__(self, client: EngineClient, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._jobs: list[_Job] = []

    @property
    def is_busy(self) -> bool:
        """Whether any job runs."""
        return bool(self._jobs)

    def is_busy_with(self, kind: str) -> bool:
        """Whether a job of this kind runs."""
        return any(KIND_OF[type(job.engine_thread.command)] == kind for job in self._jobs)

    def start(
        self,
        command: Command,
        on_finished: Callable[[JobFinished], None],
        on_event: Callable[[Event], None] | None = None,
        *,
        is_quiet: bool = False,
    ) -> EngineThread:
        """Start a job.

        Args:
            command: Anything but training.
            on_finished: Called in the window's thread with the job's last event.
            on_event: Called with every event before.
            is_quiet: Don't show it in the status bar (previews).

        Returns:
            The thread, for requests such as ``cancel``.
        """
        job = _Job(EngineThread(self._client, command), on_finished, on_event, parent=self)
        self._jobs.append(job)  # before it is told: who hears it may ask what runs
        if not is_quiet:
            job.progressed.connect(self.progressed)
            job.ended.connect(self.ended)
            self.started.emit(KIND_OF[type(command)])
        job.thread_ended.connect(self._forget)
        job.engine_thread.start()
        return job.engine_thread

    def _forget(self, job: _Job) -> None:
        self._jobs.remove(job)
        job.deleteLater()

    def cancel(self, kind: str) -> None:
        """Ask the jobs of a kind to end."""
        for job in self._jobs:
            if KIND_OF[type(job.engine_thread.command)] == kind:
                job.engine_thread.request("cancel")

    def cancel_all(self, timeout_ms: int = 10_000) -> None:
        """Ask every job to end and wait for it (window closing); what can go on later is kept."""
        for job in list(self._jobs):
            is_resumable = KIND_OF[type(job.engine_thread.command)] in RESUMABLE_KINDS
            job.engine_thread.request("interrupt" if is_resumable else "cancel")
        for job in list(self._jobs):
            job.engine_thread.wait(timeout_ms)
