"""Half an hour of training with the window open: nothing may grow, and the plots must keep up.

``python -m tests.speed.soak [--minutes 30] [--stream-seconds 60] [--json FILE]``: real workers
train on a small set without a break, a new run as soon as one has ended. Every few seconds memory,
handles and threads of the window and of the training process are noted. What they hold is compared
between the end and the moment after the first five minutes (a third of the time in shorter runs).
Then a scripted engine sends 20 batches a second, and the time from each of them to the paint event
that first shows it is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from PySide6.QtCore import QEvent, QObject, QSettings

from engine.contract.commands import Train
from engine.contract.config import ExperimentConfig
from engine.contract.control import Control
from engine.contract.events import STOPPED, Event, RunFinished
from gui.app import make_application
from gui.main_window import MainWindow
from gui.plots.learning_curves import LearningCurves
from gui.preferences import Preferences
from gui.stages import Stage
from gui.worker.engine_client import EngineClient
from tests.helpers.made_project import make_project
from tests.helpers.scripted_engine import (
    ScriptedEngine,
    batch_finished,
    epoch_finished,
    run_id,
    run_started,
)
from tests.helpers.tiny_study import make_study, small_config
from tests.speed.delays import live_until
from tests.speed.machine import describe_machine

_SAMPLE_S: Final = 3.0
_WARM_UP_S: Final = 300.0
_LIMIT: Final = 0.05
_PER_S: Final = 20
_EPOCHS: Final = 40
_COMPARED: Final = 0.1
"""Share of the samples, at the beginning and at the end, whose median is compared."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process holds at a moment.

    Attributes:
        at: Seconds since the beginning.
        memory: Resident memory that it shares with nobody, in MiB.
    """

    at: float
    memory: float
    handles: int
    threads: int


def main() -> int:
    """Print the figures and return 1 if something grew by more than the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--stream-seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path, help="write all samples")
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    print(describe_machine())
    make_application()
    with tempfile.TemporaryDirectory() as name:
        soak = Soak(Path(name))
        soak.train_for(arguments.minutes * 60)
        is_flat = soak.report(arguments.minutes * 60)
        if arguments.json is not None:
            plain = {who: [asdict(s) for s in samples] for who, samples in soak.samples.items()}
            arguments.json.write_text(json.dumps(plain), encoding="utf-8")
        if arguments.stream_seconds > 0:
            _measure_stream(Path(name), arguments.stream_seconds)
    return 0 if is_flat else 1


class Soak(QObject):
    """A window that trains without a break."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.samples: dict[str, list[Sample]] = {"window": [], "training": []}
        self._client = EngineClient()
        self._window = _open(self._client, folder)
        self._project = make_study(folder / "study")
        self._n_runs = 0
        self._is_over = False
        runs = self._window.session.runs
        runs.finished.connect(self._on_finished)

    def train_for(self, seconds: float) -> None:
        """Train so long and take samples."""
        session = self._window.session
        self._window.open_project(self._project)
        live_until(lambda: bool(session.snapshot.records), 30)
        self._window.show_stage(Stage.TRAIN)
        self._begin()
        begin = time.monotonic()
        while (at := time.monotonic() - begin) < seconds:
            self._note(at)
            _let_live(_SAMPLE_S)
        self._is_over = True
        session.runs.cancel()
        live_until(lambda: not session.runs.state.is_busy, 60)
        self._window.close()

    def report(self, seconds: float) -> bool:
        """Print how much everything grew; return whether it stayed within the limit."""
        warm_s = min(_WARM_UP_S, seconds / 3)
        print(f"{seconds / 60:.0f} min, {self._n_runs} runs begun; after {warm_s / 60:.1f} min:")
        is_flat = True
        for who, samples in self.samples.items():
            kept = [sample for sample in samples if sample.at >= warm_s]
            n = max(3, round(_COMPARED * len(kept)))
            first, last = kept[:n], kept[-n:]
            parts = []
            for what, unit in (("memory", " MiB"), ("handles", ""), ("threads", "")):
                before = statistics.median(getattr(sample, what) for sample in first)
                after = statistics.median(getattr(sample, what) for sample in last)
                growth = after / before - 1
                is_flat &= growth <= _LIMIT
                parts.append(f"{what} {before:.0f} → {after:.0f}{unit} ({growth:+.1%})")
            print(f"  {who}: {', '.join(parts)}; {len(kept)} samples")
        return is_flat

    def _begin(self) -> None:
        self._n_runs += 1
        command = Train(project=str(self._project), config=_config(seed=self._n_runs))
        self._window.session.runs.start(command)

    def _on_finished(self, finished: RunFinished) -> None:
        assert finished.error is None, finished.error
        if not self._is_over:
            self._begin()

    def _note(self, at: float) -> None:
        self.samples["window"].append(_sample(psutil.Process(), at))
        worker = self._client._workers.get("run")
        if worker is not None and (pid := getattr(worker, "pid", 0)):
            self.samples["training"].append(_sample(psutil.Process(pid), at))


def _config(seed: int) -> ExperimentConfig:
    small = small_config(max_epochs=_EPOCHS, seed=seed)
    return replace(small, backbone=replace(small.backbone, key="squeezenet1_0"))


def _sample(process: psutil.Process, at: float) -> Sample:
    full = process.memory_full_info()
    count = getattr(process, "num_handles", None) or process.num_fds  # Windows has handles
    return Sample(at, full.uss / 2**20, count(), process.num_threads())


def _open(client: EngineClient, folder: Path) -> MainWindow:
    settings = QSettings(str(folder / "preferences.ini"), QSettings.Format.IniFormat)
    window = MainWindow(client, Preferences(settings))
    window.resize(1366, 768)
    window.show()
    window.warm_up()
    _let_live(4.0)  # pages are built meanwhile, as they are for a user
    return window


def _let_live(seconds: float) -> None:
    end = time.monotonic() + seconds
    live_until(lambda: time.monotonic() > end, seconds + 10)


class _Paints(QObject):
    """Notes when each batch is first painted."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[int, float] = {}
        self.latencies: list[float] = []
        self._appended: list[int] = []
        self._drawn: list[int] = []
        self._watched: LearningCurves | None = None
        append: Callable[..., None] = LearningCurves.append_batch
        redraw: Callable[[LearningCurves], None] = LearningCurves.redraw

        def appended(plot: LearningCurves, step: int, loss: float) -> None:
            append(plot, step, loss)
            self._watch(plot)
            self._appended.append(step)

        def redrawn(plot: LearningCurves) -> None:
            redraw(plot)
            self._drawn += self._appended
            self._appended.clear()

        LearningCurves.append_batch = appended  # type: ignore[method-assign, assignment]
        LearningCurves.redraw = redrawn  # type: ignore[method-assign, assignment]

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Paint and self._drawn:
            now = time.perf_counter()
            self.latencies += [now - self.sent[step] for step in self._drawn]
            self._drawn.clear()
        return super().eventFilter(watched, event)

    def _watch(self, plot: LearningCurves) -> None:
        if plot is not self._watched:
            self._watched = plot
            for view in plot.findChildren(QObject):
                if hasattr(view, "viewport"):
                    view.viewport().installEventFilter(self)


def _measure_stream(folder: Path, seconds: float) -> None:
    engine, paints = ScriptedEngine(), _Paints()

    def stream(command: Any, control: Control) -> Iterator[Event]:
        run, step = run_id(command), 0
        yield run_started(command, max_epochs=1000)
        begin = time.monotonic()
        while not (control.stop_requested or control.cancel_requested):
            step += 1
            paints.sent[step] = time.perf_counter()
            yield batch_finished(run, step=step, n_batches=200)
            if step % 200 == 0:
                yield epoch_finished(run, step // 200)
            control.wait_for_request(max(0.0, begin + step / _PER_S - time.monotonic()))
        yield RunFinished(run=run, outcome=STOPPED, result={"run": run})

    engine.runs("train", stream)
    window = _open(engine.client(), folder)
    window.open_project(make_project(folder / "made.radtune", is_split=True))
    session = window.session
    live_until(lambda: bool(session.snapshot.records), 30)
    window.show_stage(Stage.TRAIN)
    session.runs.start(Train(project=str(session.folder), config=_config(0)))
    _let_live(seconds)
    session.runs.stop()
    live_until(lambda: not session.runs.state.is_busy, 10)
    window.close()
    took = np.array(paints.latencies) * 1e3
    median, p95 = np.percentile(took, [50, 95])
    print(
        f"stream of {_PER_S} a second for {seconds:.0f} s: {len(paints.sent)} sent, "
        f"{len(took)} painted, {median:.0f} ms later (median), p95 {p95:.0f}, max {took.max():.0f}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
