"""How long the window is blocked while a training runs on all cores, from its start to its end.

``python -m tests.speed.event_loop [--preset standard] [--images 360] [--epochs 2]``: the real
window with the sample study on its Train page and the real engine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QSettings

from engine.contract.commands import MakeSample, MakeSplit, Scan
from engine.contract.config import preset_config
from engine.contract.events import BatchFinished, Event, RunFinished
from gui.app import make_application
from gui.main_window import MainWindow
from gui.panels.train import TrainPanel
from gui.preferences import Preferences
from gui.stages import Stage
from gui.worker.engine_client import EngineClient
from tests.speed.delays import Delays, live_until
from tests.speed.machine import describe_machine

_PATIENCE_S = 3600.0


def main() -> None:
    """Print percentiles of the delays beside the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="standard", choices=("quick", "standard", "thorough"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=360)
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    print(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = _prepare(folder, arguments.images)
        _measure(project, folder, arguments.preset, arguments.epochs)


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


def _measure(project: Path, folder: Path, preset: str, n_epochs: int) -> None:
    make_application()
    settings = QSettings(str(folder / "preferences.ini"), QSettings.Format.IniFormat)
    window = MainWindow(EngineClient(), Preferences(settings))
    window.resize(1366, 768)
    window.show()
    window.warm_up()
    session = window.session
    window.open_project(project)
    live_until(lambda: bool(session.snapshot.records and session.device), _PATIENCE_S)
    window.show_stage(Stage.TRAIN)
    page = window.page(Stage.TRAIN)
    assert isinstance(page, TrainPanel)
    config = preset_config(preset)
    if preset != "quick":
        method = replace(config.method, max_epochs=n_epochs, patience=n_epochs)
        config = replace(config, method=method)
    session.choose(config)
    _let_live(2.0)

    events: list[Event] = []
    ended: list[RunFinished] = []
    session.runs.event_received.connect(events.append)
    session.runs.finished.connect(ended.append)
    delays = Delays()
    stretch = delays.begin()
    page.start()
    live_until(lambda: bool(ended), _PATIENCE_S)
    _let_live(0.5)  # the end is drawn, too
    delays.end()
    n_batches = sum(isinstance(event, BatchFinished) for event in events)
    print(f"{preset}: {ended[0].outcome}, {n_batches} batches of {len(events)} events shown")
    print(stretch.describe())
    window.close()


def _let_live(seconds: float) -> None:
    end = time.monotonic() + seconds
    live_until(lambda: time.monotonic() > end, seconds + 1)


if __name__ == "__main__":
    main()
