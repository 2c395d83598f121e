"""The real window on real workers in a process of its own, to be killed or closed at any moment.

``python -m tests.helpers.real_window PROJECT SETTINGS [--continue | --closes N --seed S]`` prints a
JSON object a line: the workers, finished passes, offers to continue, the end of the run, closings.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from PySide6.QtCore import QCoreApplication, QEvent, QEventLoop, QSettings
from PySide6.QtWidgets import QMessageBox, QPushButton

from engine.contract.commands import Train
from engine.contract.config import ExperimentConfig
from engine.contract.events import EpochFinished, Event, RunFinished
from gui.app import make_application
from gui.main_window import MainWindow
from gui.preferences import Preferences
from gui.worker.engine_client import EngineClient
from tests.helpers.tiny_study import small_config

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0
STAYS_S = 10.0
"""At most so long a window that is to be closed stays open."""
ANSWERS = ("Continue next time", "Cancel the run")


def config(max_epochs: int) -> ExperimentConfig:
    """Return settings whose passes take a moment."""
    small = small_config(max_epochs=max_epochs)
    return replace(small, backbone=replace(small.backbone, key="squeezenet1_0"))


def tell(**facts: Any) -> None:
    """Print a fact."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class RealWindow:
    """A window that has just been opened, and what its run says."""

    def __init__(self, settings: Path, *, is_quiet: bool = False) -> None:
        self.client = EngineClient()
        stored = QSettings(str(settings), QSettings.Format.IniFormat)
        self.window = MainWindow(self.client, Preferences(stored))
        self.ended: list[RunFinished] = []
        self._is_quiet = is_quiet
        runs = self.window.session.runs
        runs.event_received.connect(self._on_event)
        runs.finished.connect(self.ended.append)
        self.window.resize(1366, 768)
        self.window.show()
        self.window.warm_up()

    def start(self, project: Path, max_epochs: int) -> None:
        """Open the project and start a run."""
        session = self.window.session
        assert self.window.open_project(project)
        live(lambda: bool(session.snapshot.records))
        session.runs.start(Train(project=str(project), config=config(max_epochs)))

    def _on_event(self, event: Event) -> None:
        if isinstance(event, EpochFinished) and not self._is_quiet:
            workers = [getattr(worker, "pid", 0) for worker in self.client._workers.values()]
            tell(epoch=event.epoch, workers=workers)


def live(is_so: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    """Let the window live until something is so.

    Raises:
        TimeoutError: If it isn't in time.
    """
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)
        time.sleep(0.005)


@contextmanager
def answering(text: str) -> Iterator[None]:
    """Press the button of this text in the question that closing may ask."""
    execute, clicked = QMessageBox.exec, QMessageBox.clickedButton

    def press(box: QMessageBox) -> int:
        button = next(b for b in box.buttons() if b.text().replace("&", "") == text)
        QMessageBox.clickedButton = lambda _: button  # type: ignore[method-assign]
        return 0

    QMessageBox.exec = press  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        QMessageBox.exec = execute  # type: ignore[method-assign]
        QMessageBox.clickedButton = clicked  # type: ignore[method-assign]


def train(project: Path, settings: Path) -> None:
    """Train until the run has ended or the process is killed."""
    real = RealWindow(settings)
    real.start(project, max_epochs=20)
    live(lambda: bool(real.ended))
    tell(outcome=real.ended[0].outcome, error=real.ended[0].error)
    real.window.close()


def go_on(settings: Path) -> None:
    """Wait for the offer to continue, take it, and see the run end."""
    real = RealWindow(settings)
    lines = real.window.messages._lines
    live(lambda: bool(lines))
    tell(offer=next(iter(lines.values())).what)
    buttons = real.window.messages.findChildren(QPushButton)
    next(b for b in buttons if b.text() == "Continue training").click()
    live(lambda: bool(real.ended))
    tell(outcome=real.ended[0].outcome, error=real.ended[0].error)
    real.window.close()


def close_often(project: Path, settings: Path, n_closes: int, seed: int) -> None:
    """Open and close windows at random moments of a run, and tell what was left of each."""
    chance = random.Random(seed)
    for _ in range(n_closes):
        real = RealWindow(settings, is_quiet=True)
        stays_s, answer = chance.uniform(0.0, STAYS_S), chance.choice(ANSWERS)
        begin = time.monotonic()
        if stays_s > 0.5:
            live(lambda begin=begin: time.monotonic() > begin + 0.2)  # type: ignore[misc]
            real.start(project, max_epochs=200)
        live(lambda end=begin + stays_s: time.monotonic() > end)  # type: ignore[misc]
        state = real.window.session.runs.state.value
        children = psutil.Process().children(recursive=True)
        started = time.monotonic()
        with answering(answer):
            is_closed = real.window.close()
        took_s = time.monotonic() - started
        real.window.deleteLater()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        _, alive = psutil.wait_procs(children, timeout=10)
        tell(closed=is_closed, state=state, answer=answer, alive=len(alive), took_s=took_s)


def main() -> int:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("settings", type=Path)
    parser.add_argument("--continue", dest="goes_on", action="store_true")
    parser.add_argument("--closes", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    make_application()
    if arguments.closes:
        close_often(arguments.project, arguments.settings, arguments.closes, arguments.seed)
    elif arguments.goes_on:
        go_on(arguments.settings)
    else:
        train(arguments.project, arguments.settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
