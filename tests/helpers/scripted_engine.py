"""An engine without processes: it plays the events that a test wrote and remembers what was asked.

Everything between the window and a worker is real (client, threads, protocol lines); only the
worker itself is scripted.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from engine.contract.commands import KIND_OF, RUN_KINDS, Command, Resume
from engine.contract.control import Control
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    STOPPED,
    BatchFinished,
    EpochFinished,
    Event,
    JobFinished,
    JobStarted,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
)
from engine.contract.protocol import DUMP_STACKS, Request, decode_message, encode_event
from gui.worker.engine_client import EngineClient

Script = Callable[[Any, Control], Iterable[Event]]
"""Takes a command and the requests made so far; gives the events of the job, the last included."""

DIES = object()
"""In the place of an event: the worker ends there, as if it had crashed."""


class ScriptedEngine:
    """Scripts by kind of command, such as ``train`` or ``scan``.

    A kind without a script is answered by an empty completed job, or by a run of one epoch.

    Attributes:
        commands: Every command performed, in order.
        requests: Every request (``pause``, ``cancel``…), in order.
        roles: The role of every worker started, in order.
    """

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.requests: list[str] = []
        self.roles: list[str] = []
        self._scripts: dict[str, Script] = {}

    def plays(self, kind: str, *events: Any) -> None:
        """Answer commands of a kind with fixed events, the last one included."""
        self._scripts[kind] = lambda command, control: events

    def runs(self, kind: str, script: Script) -> None:
        """Answer commands of a kind with what a generator yields, so that it can heed requests."""
        self._scripts[kind] = script

    def completes(self, kind: str, **result: Any) -> None:
        """Answer commands of a kind with a completed job and its result."""
        self.plays(
            kind, JobStarted(kind=kind), JobFinished(kind=kind, outcome=COMPLETED, result=result)
        )

    def client(self) -> EngineClient:
        """Return a client whose workers are scripted."""
        return EngineClient(self._start)

    def asked(self, kind: str) -> list[Any]:
        """Return the commands of a kind that were performed."""
        return [command for command in self.commands if KIND_OF[type(command)] == kind]

    def script_of(self, command: Command) -> Script:
        """Return what answers a command."""
        kind = KIND_OF[type(command)]
        return self._scripts.get(kind, short_run if kind in RUN_KINDS else _empty_job)

    def _start(self, role: str, environment: dict[str, str]) -> ScriptedWorker:
        del environment
        self.roles.append(role)
        return ScriptedWorker(self)


class ScriptedWorker:
    """Stands in for a worker process; see :class:`gui.worker.process.Worker`."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self._engine = engine
        self._control = Control()
        self._inbox: queue.Queue[tuple[Command, Control] | None] = queue.Queue()
        self._is_alive = True

    @property
    def is_alive(self) -> bool:
        return self._is_alive

    def send(self, line: str) -> None:
        message = decode_message(line)
        if isinstance(message, Request):
            self._engine.requests.append(message.name)
            if message.name != DUMP_STACKS:
                getattr(self._control, message.name)()
        else:
            self._engine.commands.append(message)
            self._control = Control()
            self._inbox.put((message, self._control))

    def lines(self) -> Iterator[str]:
        while self._is_alive:
            job = self._inbox.get()
            if job is None:
                return
            command, control = job
            for event in self._engine.script_of(command)(command, control):
                if event is DIES or not self._is_alive:
                    self._is_alive = False
                    return
                yield encode_event(event)

    def kill(self) -> None:
        self.close(is_patient=False)

    def close(self, *, is_patient: bool) -> None:
        del is_patient
        self._is_alive = False
        self._control.interrupt()
        self._inbox.put(None)


def short_run(command: Any, control: Control) -> Iterator[Event]:
    """Play a run of one epoch that completes at once."""
    del control
    run = run_id(command)
    yield run_started(command)
    yield batch_finished(run, step=1)
    yield epoch_finished(run, 1)
    yield RunFinished(run=run, outcome=COMPLETED, result={"run": run, "val_auroc": 0.9})


def endless_run(command: Any, control: Control) -> Iterator[Event]:
    """Play a run that goes on until it is asked to stop, cancel or interrupt, and can pause."""
    run, step = run_id(command), 0
    yield run_started(command)
    while not (control.stop_requested or control.cancel_requested):
        step += 1
        yield batch_finished(run, step=step)
        if step % 10 == 0:
            yield epoch_finished(run, step // 10)
        control.wait_for_request(0.02)
        if control.pause_requested:
            yield RunPaused(run=run)
            while control.pause_requested:
                control.wait_for_request(0.02)
            if not (control.stop_requested or control.cancel_requested):
                yield RunResumed(run=run)
    outcome = CANCELED if control.cancel_requested else STOPPED
    yield RunFinished(run=run, outcome=outcome, result={"run": run} if outcome == STOPPED else {})


def run_id(command: Any) -> str:
    """Return the id of the run that a command starts or resumes."""
    return command.run if isinstance(command, Resume) else "r1"


def run_started(command: Any, *, max_epochs: int = 8) -> RunStarted:
    """Return the first event of a run."""
    return RunStarted(
        run=run_id(command),
        preset="standard",
        backbone="efficientnet_lite0",
        method="full_finetune",
        max_epochs=max_epochs,
        n_train=70,
        n_val=15,
        is_resumed=isinstance(command, Resume),
    )


def batch_finished(run: str, *, step: int, n_batches: int = 10) -> BatchFinished:
    """Return the event of one update, with a loss that falls."""
    return BatchFinished(
        run=run,
        epoch=1 + (step - 1) // n_batches,
        batch=1 + (step - 1) % n_batches,
        n_batches=n_batches,
        step=step,
        loss=0.7 / (1 + step / 20),
        learning_rate=1e-3,
        images_per_s=21.5,
        memory_mb=812.0,
        seconds_left=95.0,
    )


def epoch_finished(run: str, epoch: int, *, val_auroc: float = 0.9) -> EpochFinished:
    """Return the event of one epoch that is the best so far."""
    return EpochFinished(
        run=run,
        epoch=epoch,
        train_loss=0.5 / epoch,
        val_loss=0.6 / epoch,
        val_auroc=val_auroc,
        best_epoch=epoch,
        is_best=True,
        seconds=2.0,
        comment="Still improving.",
    )


def _empty_job(command: Any, control: Control) -> Iterator[Event]:
    del control
    kind = KIND_OF[type(command)]
    yield JobStarted(kind=kind)
    yield JobFinished(kind=kind, outcome=COMPLETED)
