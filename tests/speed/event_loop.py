"""How long the window is blocked while a training runs on all cores.

``python -m tests.speed.event_loop [--seconds 60]``: the real window with the sample study, a
10 ms timer, and a Standard training from its start; prints the delays beyond 10 ms.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PySide6.QtCore import QElapsedTimer, QObject, Qt, QTimer

from engine.contract.commands import MakeSample, MakeSplit, Scan, Train
from engine.contract.config import preset_config
from engine.contract.events import BatchFinished, RunFinished
from gui.app import make_application
from gui.main_window import MainWindow
from gui.preferences import Preferences
from gui.stages import Stage
from gui.worker.engine_client import EngineClient
from tests.speed.machine import describe_machine

_INTERVAL_MS = 10


class _Delays(QObject):
    """Notes how late each tick of a timer comes."""

    def __init__(self) -> None:
        super().__init__()
        self.late_ms: list[float] = []
        self._clock = QElapsedTimer()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(_INTERVAL_MS)
        self._timer.timeout.connect(self._tick)

    def start(self) -> None:
        """Begin to measure."""
        self._clock.start()
        self._timer.start()

    def _tick(self) -> None:
        self.late_ms.append(max(0.0, self._clock.nsecsElapsed() / 1e6 - _INTERVAL_MS))
        self._clock.restart()


def main() -> None:
    """Print median, 95th and 99th percentile and maximum of the delays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=360)
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        project = _prepare(Path(folder), arguments.images)
        _measure(project, arguments.epochs)


def _prepare(folder: Path, n_images: int) -> Path:
    client, project = EngineClient(), folder / "sample.radtune"
    for command in (
        MakeSample(out=str(folder / "sample"), n_images=n_images),
        Scan(source=str(folder / "sample"), project=str(project)),
        MakeSplit(project=str(project)),
    ):
        client.perform(command, lambda event: None)
    client.close()
    return project


def _measure(project: Path, n_epochs: int) -> None:
    app = make_application()
    window = MainWindow(EngineClient(), Preferences())
    window.resize(1366, 768)
    window.show()
    window.session.open_project(project)
    window.show_stage(Stage.TRAIN)
    _spin(app, 3.0)
    window.session.client.warm_up("run")
    _spin(app, 8.0)
    config = preset_config("standard")
    config = replace(config, method=replace(config.method, max_epochs=n_epochs, patience=n_epochs))
    batches: list[object] = []
    ended: list[RunFinished] = []
    window.session.runs.event_received.connect(
        lambda event: batches.append(event) if isinstance(event, BatchFinished) else None
    )
    window.session.runs.finished.connect(ended.append)
    delays = _Delays()
    delays.start()
    window.session.runs.start(Train(project=str(project), config=config))
    while not ended:
        _spin(app, 0.5)
    late = np.array(delays.late_ms)
    median, p95, p99 = np.percentile(late, [50, 95, 99])
    print(
        f"{ended[0].outcome}, {len(batches)} batches shown, {len(late)} ticks: "
        f"median {median:.1f} ms, p95 {p95:.1f}, p99 {p99:.1f} (limit 10), "
        f"max {late.max():.1f} (limit 60), {int((late > 60).sum())} over 60"
    )
    window.close()


def _spin(app: object, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        app.processEvents()  # type: ignore[attr-defined]
        time.sleep(0.001)


if __name__ == "__main__":
    main()
