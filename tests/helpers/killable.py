"""A training in a process of its own that can be killed at any moment, also inside a write.

Nothing of the product is changed: the child wraps what the product calls to write (pieces of a
file, ``fsync``, renames, the removal of folders), so that each takes a moment and can be its last.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, Any

import torch._dynamo  # noqa: F401 - as below; the first update of an optimizer loads it

import engine.jobs.training  # noqa: F401 - loaded once by the server that the children fork from
from engine.contract.commands import Resume, Train
from engine.contract.config import ExperimentConfig
from engine.contract.control import Control
from engine.contract.events import BatchFinished, EpochFinished, Event, Recovered, RunFinished
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import small_config

ROOT = Path(__file__).resolve().parents[2]
N_PIECES = 6
"""Into how many pieces each file is written."""
EPOCHS = 8
PATIENCE_S = 120.0


def killed_config() -> ExperimentConfig:
    """Return settings whose epochs take a blink: the smallest backbone, from random weights."""
    config = small_config(max_epochs=EPOCHS)
    return replace(config, backbone=replace(config.backbone, key="squeezenet1_0"))


class _Writes:
    """Counts the steps of writing, and dies at one of them."""

    def __init__(self, last: int, pause_s: float) -> None:
        self._last, self._pause_s = last, pause_s
        self._n = 0

    def step(self) -> None:
        self._n += 1
        if self._n == self._last:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        time.sleep(self._pause_s)

    def install(self) -> None:
        """Wrap what the product writes with."""
        for owner, name in ((os, "fsync"), (Path, "replace"), (shutil, "rmtree")):
            setattr(owner, name, self._wrapped(getattr(owner, name)))
        real = Path.open

        def opened(path: Path, mode: str = "r", *rest: Any, **options: Any) -> IO[Any]:
            file = real(path, mode, *rest, **options)
            return _InPieces(file, self) if mode in ("xb", "ab") else file  # type: ignore[return-value]

        Path.open = opened  # type: ignore[method-assign, assignment]

    def _wrapped(self, real: Any) -> Any:
        def slow(*arguments: Any, **options: Any) -> Any:
            self.step()
            result = real(*arguments, **options)
            self.step()
            return result

        return slow


class _InPieces:
    """A file that is written piece by piece."""

    def __init__(self, file: IO[Any], writes: _Writes) -> None:
        self._file, self._writes = file, writes

    def write(self, data: bytes) -> int:
        size = max(1, -(-len(data) // N_PIECES))
        for start in range(0, len(data), size):
            self._file.write(data[start : start + size])
            self._file.flush()
            self._writes.step()
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _InPieces:
        self._file.__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        self._file.__exit__(*problem)


def train_in_child(project: str, run: str, report: str, last_write: int, pause_s: float) -> None:
    """Train, or go on with ``run``; a line a fact goes to ``report``. The child's main function."""
    descriptor = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def tell(**facts: Any) -> None:
        os.write(descriptor, json.dumps(facts).encode() + b"\n")

    _Writes(last_write, pause_s).install()

    def listen(event: Event) -> None:
        match event:
            case BatchFinished():
                tell(batch=[event.epoch, event.batch])
            case EpochFinished():
                tell(epoch=event.epoch)
            case Recovered():
                tell(recovered=event.message)
            case RunFinished():
                tell(outcome=event.outcome, error=event.error)

    command = Resume(project=project, run=run) if run else _first(project)
    execute(command, listen, Control())


def _first(project: str) -> Train:
    return Train(project=project, config=killed_config())


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one child told before it ended.

    Attributes:
        first: Epoch and batch of its first update, or None.
        epochs: Epochs that it said were finished, and therefore saved.
        outcome: How the run ended, empty if the child was killed before.
        recovered: Messages about damaged states.
        seconds: From its start to its end.
    """

    first: tuple[int, int] | None
    epochs: tuple[int, ...]
    outcome: str
    recovered: tuple[str, ...]
    was_killed: bool
    seconds: float


class Killer:
    """Trains in children and kills them; the same seed kills in the same way.

    Args:
        project: Folder of a project with a split.
        scratch: Folder for reports.
        seed: Of the choice of moments.
    """

    def __init__(self, project: Path, scratch: Path, seed: int = 0) -> None:
        self._project, self._scratch = project, scratch
        self._chance = random.Random(seed)
        self._context = _context()
        self._n = 0

    def attempt(self, run: str, *, kill: bool, within_s: float = 2.0) -> Attempt:
        """Train once, to the end or to a random moment: on the clock, or inside a write."""
        self._n += 1
        report = self._scratch / f"report-{self._n}.jsonl"
        report.touch()
        in_write = kill and self._chance.random() < 0.5
        last_write = self._chance.randrange(1, 300) if in_write else 0
        child = self._context.Process(
            target=train_in_child,
            args=(str(self._project), run, str(report), last_write, 0.001 if kill else 0.0),
        )
        started = time.monotonic()
        child.start()
        if kill and not in_write:
            child.join(self._chance.uniform(0.0, within_s))
            child.kill()
        child.join(PATIENCE_S)
        was_killed = child.exitcode != 0
        _end(child)
        return _read(report, was_killed=was_killed, seconds=time.monotonic() - started)

    def newest_run(self) -> tuple[str, str]:
        """Return id and state of the newest run, as the window finds it; empty without one."""
        with Project.open(self._project) as project:
            project.interrupt_leftovers()
            runs = project.runs()
        return (runs[0].id, runs[0].state) if runs else ("", "")


def _end(child: BaseProcess) -> None:
    if child.is_alive():
        child.kill()
        child.join()
        raise AssertionError("a training neither ended nor died")
    child.close()


def _context() -> ForkServerContext | SpawnContext:
    """Return what starts children; where it can, from a server that has loaded torch."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.helpers.killable"])
    return context


def _read(report: Path, *, was_killed: bool, seconds: float) -> Attempt:
    facts: list[dict[str, Any]] = []
    for line in report.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):  # the last line may be torn
            facts.append(json.loads(line))
    batches = [tuple(fact["batch"]) for fact in facts if "batch" in fact]
    return Attempt(
        first=batches[0] if batches else None,
        epochs=tuple(fact["epoch"] for fact in facts if "epoch" in fact),
        outcome=next((fact["outcome"] for fact in facts if "outcome" in fact), ""),
        recovered=tuple(fact["recovered"] for fact in facts if "recovered" in fact),
        was_killed=was_killed,
        seconds=seconds,
    )


def kept_bytes(project: Path, run: str) -> dict[str, bytes]:
    """Return the weights of a run: its best network, and everything of its last state."""
    folder = project / "runs" / run / "checkpoints"
    names = ("best/weights.safetensors", "last/state.safetensors")
    return {name: (folder / name).read_bytes() for name in names}


def leftovers(project: Path, run: str) -> list[str]:
    """Return the files and folders of a run that only a kill can have left."""
    found = (project / "runs" / run).rglob("*")
    return sorted(p.name for p in found if p.name.endswith((".tmp", ".old", "writing")))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let children compute on one thread and sleep while they wait, whatever surrounds them."""
    settings = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
