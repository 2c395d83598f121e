"""Owns the worker processes and performs commands on them.

The client outlives every thread that uses it: a child tied to a thread would die with it. There
is one worker per role, started when it is first needed or warmed up, and started again after it
died.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.contract.commands import DATA_KINDS, KIND_OF, RUN_KINDS, Command, Resume, Train
from engine.contract.errors import ConfigError, EngineError
from engine.contract.events import CANCELED, FAILED, Event, JobFinished, RunFinished, RunStarted
from engine.contract.heartbeat import Heartbeat
from engine.contract.protocol import (
    DUMP_STACKS,
    Request,
    decode_from_worker,
    encode_command,
    encode_request,
)
from gui.worker.hang_watch import HangWatch
from gui.worker.process import Worker, WorkerProcess, worker_command
from gui.worker.requests import JobRequests

OnEvent = Callable[[Event], None]
_TOKEN_VARIABLE: Final = "RADTUNE_LOCK_TOKEN"
_DIED: Final = "The process that did the work ended unexpectedly."
_DIED_REMEDY: Final = "Try again. If it happens again, close other programs to free memory."
_HUNG: Final = "The process that did the work made no progress and was ended."
_RUN_DIED: Final = (
    "The training process ended unexpectedly. Everything up to its last saved state is kept."
)
_RUN_HUNG: Final = (
    "The training made no progress and was ended. Everything up to its last saved state is kept."
)
_RUN_DIED_REMEDY: Final = "Continue the run."


def start_worker(role: str, environment: dict[str, str]) -> Worker:
    """Start a real worker process."""
    return WorkerProcess(worker_command(role), environment)


class EngineClient:
    """Performs commands on worker processes; safe to use from several threads.

    Attributes:
        lock_token: What the workers show to write to a project that this window has locked. It
            is the same for every project, so that workers stay warm when another is opened.

    Args:
        start: Starts a worker for a role with extra environment; tests give scripted ones.
    """

    def __init__(self, start: Callable[[str, dict[str, str]], Worker] = start_worker) -> None:
        self.lock_token = secrets.token_hex(16)
        self._start = start
        self._workers: dict[str, Worker] = {}
        self._in_use = {role: threading.Lock() for role in ("data", "run")}
        self._starting = threading.Lock()
        self._hung: set[int] = set()
        self._is_closed = False

    def warm_up(self, role: str) -> None:
        """Start a worker before it is needed; a refusal shows when it is needed."""
        self._worker(role)

    def perform(
        self,
        command: Command,
        on_event: OnEvent,
        requests: JobRequests | None = None,
        watch: HangWatch | None = None,
    ) -> RunFinished | JobFinished:
        """Perform a command, passing on its events; blocks until its last one.

        Args:
            command: What to do.
            on_event: Called in this thread with every event, the last one included.
            requests: Where requests to this job come from.
            watch: Is told whether the job moves.

        Returns:
            The last event. If the worker dies, can't be started, or the job was canceled while it
            waited for its turn, one is made up, so that every command ends in exactly one.
        """
        requests, watch = requests or JobRequests(), watch or HangWatch()
        role = role_of(command)
        try:
            with self._in_use[role]:
                if requests.is_canceled_early or self._is_closed:
                    return _made_up(command, _run_of(command), CANCELED, on_event)
                return self._perform(role, command, on_event, requests, watch)
        finally:
            requests.end()

    def ask_stacks(self, command: Command) -> None:
        """Let the worker that performs a command write to the log where it is."""
        if (worker := self._workers.get(role_of(command))) is not None:
            worker.send(encode_request(Request(DUMP_STACKS)))

    def end_hung(self, command: Command) -> None:
        """End the worker that performs a command, whatever it does; the job then ends as failed."""
        if (worker := self._workers.get(role_of(command))) is not None:
            self._hung.add(id(worker))
            worker.kill()

    def close(self) -> None:
        """End every worker; jobs that still wait for one end as canceled."""
        self._is_closed = True
        with self._starting:
            workers, self._workers = list(self._workers.values()), {}
        for worker in workers:
            worker.close(is_patient=False)

    def _perform(
        self,
        role: str,
        command: Command,
        on_event: OnEvent,
        requests: JobRequests,
        watch: HangWatch,
    ) -> RunFinished | JobFinished:
        worker = self._worker(role)
        if worker is None:
            return _made_up(command, _run_of(command), FAILED, on_event)
        worker.send(encode_command(command))
        watch.begin()
        requests.begin(lambda name: worker.send(encode_request(Request(name))))
        run = _run_of(command)
        last = RunFinished if KIND_OF[type(command)] in RUN_KINDS else JobFinished
        for line in worker.lines():
            try:
                event = decode_from_worker(line)
            except ConfigError:
                continue  # not an event: nothing a user could do about it
            if isinstance(event, Heartbeat):
                watch.take(event)
                continue
            watch.take_event()
            if isinstance(event, RunStarted):
                run = event.run
            on_event(event)
            if isinstance(event, last):
                return event
        is_hung = id(worker) in self._hung
        self._hung.discard(id(worker))
        self._forget(role, worker)
        if isinstance(command, Train | Resume):
            _mark_interrupted(Path(command.project))
        outcome = CANCELED if self._is_closed else FAILED
        return _made_up(command, run, outcome, on_event, is_hung=is_hung)

    def _worker(self, role: str) -> Worker | None:
        with self._starting:
            worker = self._workers.get(role)
            if worker is None or not worker.is_alive:
                if self._is_closed:
                    return None
                try:
                    worker = self._start(role, {_TOKEN_VARIABLE: self.lock_token})
                except OSError:
                    return None
                self._workers[role] = worker
            return worker

    def _forget(self, role: str, worker: Worker) -> None:
        with self._starting:
            if self._workers.get(role) is worker:
                del self._workers[role]
        worker.close(is_patient=False)


def role_of(command: Command) -> str:
    """Return the role of the worker that performs a command."""
    return "data" if KIND_OF[type(command)] in DATA_KINDS else "run"


def _mark_interrupted(project: Path) -> None:
    """Say in the project what a worker that died couldn't; before another run can begin."""
    from engine.project.store import Project

    with contextlib.suppress(EngineError), Project.open(project) as opened:
        opened.interrupt_leftovers()


def _run_of(command: Command) -> str:
    return command.run if isinstance(command, Resume) else ""


def _made_up(
    command: Command, run: str, outcome: str, on_event: OnEvent, *, is_hung: bool = False
) -> RunFinished | JobFinished:
    """State the end of a job that its worker couldn't state."""
    kind = KIND_OF[type(command)]
    error, remedy = _HUNG if is_hung else _DIED, _DIED_REMEDY
    if run:  # one that didn't exist yet left nothing to continue
        error, remedy = _RUN_HUNG if is_hung else _RUN_DIED, _RUN_DIED_REMEDY
    told = (error, remedy) if outcome == FAILED else (None, None)
    finished: RunFinished | JobFinished
    if kind in RUN_KINDS:
        finished = RunFinished(run=run, outcome=outcome, error=told[0], remedy=told[1])
    else:
        finished = JobFinished(kind=kind, outcome=outcome, error=told[0], remedy=told[1])
    on_event(finished)
    return finished
