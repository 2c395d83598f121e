"""Starts runs and other jobs, one thread each, and tells the window what they report."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer, Signal

from engine.contract.commands import KIND_OF, RESUMABLE_KINDS, Command, Resume, Train
from engine.contract.events import (
    CANCELED,
    FAILED,
    Event,
    JobFinished,
    JobProgressed,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    Warned,
)
from gui.run_state import RunInput, RunState, next_state
from gui.worker.engine_client import EngineClient
from gui.worker.engine_thread import EngineThread
from gui.worker.hang_watch import TICK_S

_INPUT_OF_EVENT: dict[type[Event], RunInput] = {
    RunStarted: RunInput.STARTED,
    RunPaused: RunInput.PAUSED,
    RunResumed: RunInput.RESUMED,
    RunFinished: RunInput.FINISHED,
}


_GRACE_MS = 5_000
"""How long a run that hangs may take to honour a cancel."""
_NOT_BEGUN_MS = 500
"""How long the end of a job is waited for that hasn't begun; its worker may load libraries."""


class RunController(QObject):
    """The one run at a time: starts it, asks it to pause or end, and keeps its state.

    A run that makes no progress becomes ``HUNG`` and its worker writes to the log where it is; the
    user may then end the worker, and another one goes on from the last saved state.

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
        self._run = ""
        self._finished: RunFinished | None = None
        self._is_still = False
        self._clock = QTimer(self)
        self._clock.setInterval(round(TICK_S * 1000))
        self._clock.timeout.connect(self.look)

    @property
    def state(self) -> RunState:
        """Where the run stands."""
        return self._state

    @property
    def has_thread(self) -> bool:
        """Whether a thread of a run lives, also one that couldn't be ended."""
        return self._thread is not None and self._thread.isRunning()

    @property
    def still_s(self) -> float:
        """Seconds for which the run has made no progress."""
        return self._thread.watch.still_s if self._thread is not None else 0.0

    def start(self, command: Train | Resume) -> None:
        """Start or resume a run.

        Raises:
            ValueError: If one is under way.
        """
        if self._state.is_busy:
            raise ValueError("a run is under way")
        self._begin(command)

    def _begin(self, command: Train | Resume) -> None:
        self._finished = None
        self._run = command.run if isinstance(command, Resume) else ""
        self._is_still = False
        self._move(RunInput.START)
        self._thread = EngineThread(self._client, command, self)
        self._thread.event_received.connect(self._on_event)
        self._thread.finished.connect(self._on_thread_finished)
        self._thread.start()
        self._clock.start()

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
        """Ask the run to end and keep nothing; one that hangs is ended if it doesn't answer."""
        was_hung = self._state is RunState.HUNG
        self._request("cancel", RunInput.CANCEL)
        if was_hung and self._thread is not None:
            QTimer.singleShot(_GRACE_MS, self._thread, self._thread.end_hung)

    def restart(self) -> None:
        """End the worker of a run that hangs, and go on from the last saved state."""
        if self._thread is not None and self._state is RunState.HUNG:
            self._move(RunInput.RESTART)
            self._thread.end_hung()

    def keep_waiting(self) -> None:
        """Take a run that seems to hang for a slow one, and be twice as patient from now on."""
        if self._thread is not None:
            self._thread.watch.be_patient()
            self._is_still = False
            self._move(RunInput.MOVED)

    def interrupt(self, timeout_ms: int = 15_000) -> None:
        """End the run so that it can be resumed next time, and wait for it (window closing).

        A run that is being canceled is only waited for: nothing of it is to be kept. One that hangs
        is ended, and one that hasn't begun isn't waited for long.
        """
        if self._thread is not None:
            if self._state is RunState.HUNG:
                self._thread.end_hung()
            elif self._state is not RunState.CANCELING:
                self._thread.request("interrupt")
            self._thread.wait(_worth_waiting(self._thread, timeout_ms))

    def look(self) -> None:
        """See whether the run still moves; done every few seconds."""
        if self._thread is None:
            return
        was_still, self._is_still = self._is_still, self._thread.watch.look()
        if self._is_still and not was_still:
            self._thread.ask_stacks()
            self._move(RunInput.STOOD_STILL)
        elif was_still and not self._is_still:
            self._move(RunInput.MOVED)

    def was_cut_off(self, finished: RunFinished) -> bool:
        """Return whether a run that ends so was interrupted; for those who hear its last event."""
        return finished.outcome == CANCELED and self._state is not RunState.CANCELING

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
            if not self._is_to_go_on():
                self.event_received.emit(event)
            return
        if isinstance(event, RunStarted):
            self._run = event.run
        if (moved_by := _INPUT_OF_EVENT.get(type(event))) is not None:
            self._move(moved_by)
        self.event_received.emit(event)

    def _on_thread_finished(self) -> None:
        thread, self._thread = self._thread, None
        self._clock.stop()
        if thread is not None:
            thread.deleteLater()
            if self._is_to_go_on():
                self._begin(self._next_command(thread))
                return
        self._move(RunInput.FINISHED)
        if self._finished is not None:
            self.finished.emit(self._finished)

    def _is_to_go_on(self) -> bool:
        """Return whether the end of the worker isn't that of the run."""
        ended = self._finished
        is_cut_off = ended is not None and ended.outcome == FAILED
        return is_cut_off and self._state is RunState.RESTARTING

    def _next_command(self, thread: EngineThread) -> Train | Resume:
        command = thread.command
        assert isinstance(command, Train | Resume)
        if not self._run:
            return command
        is_anyway = isinstance(command, Resume) and command.anyway  # was asked, and still holds
        return Resume(project=command.project, run=self._run, anyway=is_anyway)


class _Job(QObject):
    """One job's thread and callbacks; a QObject, so that slots run in the window's thread."""

    progressed = Signal(object)
    warned = Signal(str, object)
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
        self.is_still = False
        thread.setParent(self)
        thread.event_received.connect(self._receive)
        thread.finished.connect(self._end)

    def _receive(self, event: Event) -> None:
        if isinstance(event, JobFinished):
            self._last = event  # told when the thread has ended, so that the next job can start
            return
        if isinstance(event, JobProgressed):
            self.progressed.emit(event)
        elif isinstance(event, Warned):
            self.warned.emit(KIND_OF[type(self.engine_thread.command)], event)
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
        warned: The kind of a job, quiet ones included, and its :class:`Warned`.
        stood_still: The :class:`EngineThread` of a job that makes no progress; told once, after its
            worker was asked to write to the log where it is.
    """

    progressed = Signal(object)
    started = Signal(str)
    ended = Signal(object)
    warned = Signal(str, object)
    stood_still = Signal(object)

    def __init__(self, client: EngineClient, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._jobs: list[_Job] = []
        self._clock = QTimer(self)
        self._clock.setInterval(round(TICK_S * 1000))
        self._clock.timeout.connect(self.look)

    @property
    def is_busy(self) -> bool:
        """Whether any job runs."""
        return bool(self._jobs)

    @property
    def has_thread(self) -> bool:
        """Whether a thread of a job lives, also one that couldn't be ended."""
        return any(job.engine_thread.isRunning() for job in self._jobs)

    def is_busy_with(self, kind: str) -> bool:
        """Whether a job of this kind runs."""
        return any(KIND_OF[type(job.engine_thread.command)] == kind for job in self._jobs)

    @property
    def resumable_kind(self) -> str:
        """The kind of a job that runs and can go on another time; empty if there is none."""
        threads = (job.engine_thread for job in self._jobs)
        return next((KIND_OF[type(t.command)] for t in threads if _can_go_on(t)), "")

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
        job.warned.connect(self.warned)
        job.thread_ended.connect(self._forget)
        job.engine_thread.start()
        self._clock.start()
        return job.engine_thread

    def _forget(self, job: _Job) -> None:
        self._jobs.remove(job)
        job.deleteLater()
        if not self._jobs:
            self._clock.stop()

    def look(self) -> None:
        """See whether every job still moves; done every few seconds."""
        for job in list(self._jobs):
            thread = job.engine_thread
            was_still, job.is_still = job.is_still, thread.watch.look()
            if job.is_still and not was_still:
                thread.ask_stacks()
                self.stood_still.emit(thread)

    def cancel(self, kind: str) -> None:
        """Ask the jobs of a kind to end."""
        for job in self._jobs:
            if KIND_OF[type(job.engine_thread.command)] == kind:
                job.engine_thread.request("cancel")

    def cancel_all(self, timeout_ms: int = 10_000) -> None:
        """Ask every job to end and wait for it (window closing); what can go on later is kept."""
        for job in self._jobs:
            job.engine_thread.request("interrupt" if _can_go_on(job.engine_thread) else "cancel")
        for job in list(self._jobs):
            job.engine_thread.wait(_worth_waiting(job.engine_thread, timeout_ms))

    def interrupt(self, timeout_ms: int = 10_000) -> None:
        """Let the jobs that can go on later save what they have and end, and wait for them."""
        threads = [job.engine_thread for job in self._jobs if _can_go_on(job.engine_thread)]
        for thread in threads:
            thread.request("interrupt")
        for thread in threads:
            thread.wait(_worth_waiting(thread, timeout_ms))


def _can_go_on(thread: EngineThread) -> bool:
    return KIND_OF[type(thread.command)] in RESUMABLE_KINDS and not thread.is_canceled


def _worth_waiting(thread: EngineThread, timeout_ms: int) -> int:
    """Return how long to wait for a job's end: one that hasn't begun leaves nothing half done."""
    return timeout_ms if thread.watch.is_started else min(timeout_ms, _NOT_BEGUN_MS)
