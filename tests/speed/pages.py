"""How long the window stands still when each page is opened for the first time.

``python -m tests.speed.pages [--project P]``: the real window on a project with 360 images and a
finished, evaluated run (made first if none is given), from its first paint on.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from PySide6.QtCore import QSettings

from engine.contract.commands import Evaluate, MakeSample, MakeSplit, Scan, Train
from engine.contract.config import preset_config
from engine.contract.events import RunFinished
from gui.app import make_application
from gui.main_window import MainWindow
from gui.preferences import Preferences
from gui.stages import Stage
from gui.worker.engine_client import EngineClient
from tests.speed.delays import Delays, live_until
from tests.speed.machine import describe_machine


def main() -> None:
    """Print one line a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, help="a project with an evaluated run")
    parser.add_argument("--at-once", action="store_true", help="don't wait before the first page")
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        project = arguments.project or make_evaluated(Path(folder))
        _measure(project.absolute(), Path(folder), is_hasty=arguments.at_once)


def make_evaluated(folder: Path) -> Path:
    """Make the sample study, train Quick on it and evaluate that; return the project."""
    client, project = EngineClient(), folder / "sample.radtune"
    for command in (
        MakeSample(out=str(folder / "sample")),
        Scan(source=str(folder / "sample"), project=str(project)),
        MakeSplit(project=str(project)),
    ):
        client.perform(command, lambda event: None)
    trained = client.perform(
        Train(project=str(project), config=preset_config("quick")), lambda event: None
    )
    assert isinstance(trained, RunFinished), trained
    client.perform(Evaluate(project=str(project), run=trained.run), lambda event: None)
    client.close()
    return project


def _measure(project: Path, folder: Path, *, is_hasty: bool) -> None:
    make_application()
    settings = QSettings(str(folder / "preferences.ini"), QSettings.Format.IniFormat)
    window = MainWindow(EngineClient(), Preferences(settings))
    window.resize(1366, 768)
    window.show()
    delays = Delays()

    def phase(name: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        live_until(lambda: time.monotonic() > end, seconds + 1)
        found = delays.now
        print(
            f"{name:28} longest stand-still {found.worst:6.0f} ms, own work {found.worst_own:6.0f}",
            flush=True,
        )

    delays.begin()
    phase("first paint", 0.4)
    delays.begin()
    window.warm_up()
    if not is_hasty:
        phase("loading after it", 6.0)
    delays.begin()
    window.open_project(project)
    live_until(lambda: bool(window.session.snapshot.records), 30)
    phase("open a project: Data", 1.5)
    for stage in list(Stage)[1:]:
        delays.begin()
        window.show_stage(stage)
        phase(f"show {stage.value}", 1.2)
    for stage in Stage:
        delays.begin()
        window.show_stage(stage)
        phase(f"show {stage.value} again", 0.6)
    delays.end()
    window.close()


if __name__ == "__main__":
    main()
