"""Whether the Train page keeps up with 20 events a second for ten minutes without slowing.

``python -m tests.speed.plots [--minutes 10]``: a scripted engine streams batches into the real
window; printed are the delays of its event loop and the cost of a redraw in every minute, and how
much memory grew after the first.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from PySide6.QtCore import QSettings

from engine.contract.control import Control
from engine.contract.events import STOPPED, Event, RunFinished
from gui.app import make_application
from gui.main_window import MainWindow
from gui.panels.train import TrainPanel
from gui.plots.learning_curves import LearningCurves
from gui.preferences import Preferences
from gui.stages import Stage
from tests.helpers.made_project import make_project
from tests.helpers.scripted_engine import (
    ScriptedEngine,
    batch_finished,
    epoch_finished,
    run_id,
    run_started,
)
from tests.speed.delays import Delays, Lateness, live_until
from tests.speed.machine import describe_machine

_PER_S = 20
_BATCHES_PER_EPOCH = 200


def main() -> None:
    """Print every minute, and the last one against the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=10)
    minutes = max(2, parser.parse_args().minutes)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    print(describe_machine())
    engine = ScriptedEngine()
    engine.runs("train", _stream)
    with tempfile.TemporaryDirectory() as name:
        _measure(engine, Path(name), minutes)


def _stream(command: Any, control: Control) -> Iterator[Event]:
    """Play 20 batches a second, on the clock, until the run is stopped."""
    run, step = run_id(command), 0
    yield run_started(command, max_epochs=1000)
    begin = time.monotonic()
    while not (control.stop_requested or control.cancel_requested):
        step += 1
        yield batch_finished(run, step=step, n_batches=_BATCHES_PER_EPOCH)
        if step % _BATCHES_PER_EPOCH == 0:
            yield epoch_finished(run, step // _BATCHES_PER_EPOCH)
        control.wait_for_request(max(0.0, begin + step / _PER_S - time.monotonic()))
    yield RunFinished(run=run, outcome=STOPPED, result={"run": run})


def _measure(engine: ScriptedEngine, folder: Path, minutes: int) -> None:
    make_application()
    settings = QSettings(str(folder / "preferences.ini"), QSettings.Format.IniFormat)
    window = MainWindow(engine.client(), Preferences(settings))
    window.resize(1366, 768)
    window.show()
    window.warm_up()
    _let_live(4.0)  # pages are built meanwhile, as they are for a user
    session = window.session
    window.open_project(make_project(folder / "study.radtune", is_split=True))
    live_until(lambda: bool(session.snapshot.records), 30)
    window.show_stage(Stage.TRAIN)
    page = window.page(Stage.TRAIN)
    assert isinstance(page, TrainPanel)
    redraws = _time_redraws()
    events: list[Event] = []
    session.runs.event_received.connect(events.append)
    delays = Delays()
    page.start()
    minutes_seen: list[tuple[Lateness, list[float], int]] = []
    memory: list[float] = []
    for _ in range(minutes):
        redraws.clear()
        n_before, stretch = len(events), delays.begin()
        _let_live(60.0)
        minutes_seen.append((stretch, list(redraws), len(events) - n_before))
        memory.append(psutil.Process().memory_info().rss / 2**20)
    delays.end()
    for minute, (stretch, took, n_events) in enumerate(minutes_seen, start=1):
        print(
            f"minute {minute}: {n_events / 60:.1f} events/s; {len(took)} redraws of the loss, "
            f"median {statistics.median(took):.1f} ms, max {max(took):.1f}\n  {stretch.describe()}"
        )
    ratio = statistics.median(minutes_seen[-1][1]) / statistics.median(minutes_seen[0][1])
    print(
        f"redraw of the last minute to the first: {ratio:.2f}; "
        f"memory {memory[0]:.0f} MiB after the first minute, {memory[-1] - memory[0]:+.1f} since"
    )
    session.runs.stop()
    live_until(lambda: not session.runs.state.is_busy, 10)
    window.close()


def _let_live(seconds: float) -> None:
    end = time.monotonic() + seconds
    live_until(lambda: time.monotonic() > end, seconds + 1)


def _time_redraws() -> list[float]:
    """Note the processor time, in ms, of every redraw of the loss plot from now on."""
    took: list[float] = []
    redraw: Callable[[LearningCurves], None] = LearningCurves.redraw

    def timed(plot: LearningCurves) -> None:
        begin = time.thread_time()
        redraw(plot)
        took.append((time.thread_time() - begin) * 1e3)

    LearningCurves.redraw = timed  # type: ignore[method-assign, assignment]
    return took


if __name__ == "__main__":
    main()
