"""Drives the real window through the whole job with the real engine, and keeps its pictures.

``python -m gui.tour --out DIR [--data FOLDER]``: without a folder the simulated sample study.
Every page is shown in both themes. Used to look at what users see, for the README's pictures, and
by the smoke test of the built app.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEventLoop, QSettings, QTimer
from PySide6.QtWidgets import QApplication, QWidget

from engine.contract.config import preset_config
from engine.contract.events import EpochFinished, RunFinished
from gui.app import make_application
from gui.main_window import MainWindow
from gui.preferences import Preferences
from gui.stages import Stage
from gui.theme import ThemeChoice, theme
from gui.widgets.page_header import PageHeader
from gui.worker.engine_client import EngineClient

__all__ = ["main"]

_TIMEOUT_S = 1200.0
_LIVE_EPOCHS = 3


class TourError(Exception):
    """The window didn't get where it should have."""


class Tour:
    """The way through the pages, as a user would go it.

    Args:
        window: A shown window without a project.
        out: Where pictures go, numbered in order.
        data: Folder of images, or None for the sample study.
    """

    def __init__(self, window: MainWindow, out: Path, data: Path | None) -> None:
        self._window = window
        self._out = out
        self._data = data
        self._number = 0

    def go(self) -> None:
        """Do the whole job.

        Raises:
            TourError: If a page doesn't get where it should.
        """
        self._window.warm_up()
        self.wait("the device", lambda: bool(self._window.session.device))
        self.picture("start")
        self._import()
        self._data_page()
        self._audit()
        self._split()
        self._model()
        self._train_quick()
        self._train_live()
        self._evaluate()
        self._apply()

    def wait(self, what: str, is_done: Callable[[], bool], timeout_s: float = _TIMEOUT_S) -> None:
        """Let the window live until something is so.

        Raises:
            TourError: If it isn't in time.
        """
        end = time.monotonic() + timeout_s
        while not is_done():
            if time.monotonic() > end:
                raise TourError(f"waited in vain for {what}")
            self.pause(0.05)

    def pause(self, seconds: float) -> None:
        """Let the window live for a while."""
        loop = QEventLoop()
        QTimer.singleShot(round(seconds * 1000), loop.quit)
        loop.exec()

    def picture(self, name: str, *, both_themes: bool = True) -> None:
        """Save what the window shows."""
        self._number += 1
        choices = (ThemeChoice.LIGHT, ThemeChoice.DARK) if both_themes else (ThemeChoice.DARK,)
        for choice in choices:
            theme().set_choice(choice)
            self.pause(0.4)
            path = self._out / f"{self._number:02d}-{name}-{choice.value}.png"
            self._window.grab().save(str(path))
            self._say(path.name)

    def press_primary(self) -> None:
        """Press the page's primary button.

        Raises:
            TourError: If there is none to press.
        """
        header = self._page().findChild(PageHeader)
        button = header.primary if header is not None else None
        if button is None or not button.isEnabled() or not button.isVisible():
            raise TourError(f"no primary button on {type(self._page()).__name__}")
        button.click()

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def _page(self) -> QWidget:
        page = self._window.current_page
        if page is None:
            raise TourError("the window shows no page")
        return page

    def _panel(self, stage: Stage) -> Any:
        self._window.show_stage(stage)
        self.pause(0.6)
        return self._window.page(stage)

    def _import(self) -> None:
        window = self._window
        if self._data is None:
            window.try_sample()
            self.pause(2.0)
            self.picture("making-the-sample", both_themes=False)
        else:
            window.open_paths([self._data])
            self.wait("a look at the folder", self._has_primary, 60)
            self.picture("import")
            self.press_primary()
            self.pause(0.7)
            self.picture("importing", both_themes=False)
        self.wait("the import", lambda: not window.imports.is_running)
        self.wait("the images", lambda: bool(window.session.snapshot.records), 60)
        if self._data is not None:
            self.pause(0.5)
            self.picture("import-summary")
            self.press_primary()

    def _has_primary(self) -> bool:
        header = self._page().findChild(PageHeader)
        button = header.primary if header is not None else None
        return button is not None and button.isVisible() and button.isEnabled()

    def _data_page(self) -> None:
        panel = self._panel(Stage.DATA)
        panel.grid.setCurrentIndex(panel.grid.images.index(1, 0))
        self.pause(2.0)
        self.picture("data")

    def _audit(self) -> None:
        panel = self._panel(Stage.AUDIT)
        session = self._window.session
        self.picture("audit-before")
        panel.look()
        self.wait("the audit", lambda: session.snapshot.audit is not None)
        self.pause(1.5)
        self.picture("audit")

    def _split(self) -> None:
        self._panel(Stage.SPLIT)
        session = self._window.session
        if session.snapshot.split is None:
            self.picture("split-before")
            self.press_primary()
            self.wait("the split", lambda: session.snapshot.split is not None, 60)
        self.picture("split")

    def _model(self) -> None:
        self._panel(Stage.MODEL)
        self.picture("model")

    def _train_quick(self) -> None:
        session = self._window.session
        self._panel(Stage.TRAIN)
        session.choose(preset_config("quick"))
        self.picture("train-before")
        finished: list[RunFinished] = []
        session.runs.finished.connect(finished.append)
        self.press_primary()
        self.wait("the Quick run", lambda: bool(finished))
        session.runs.finished.disconnect(finished.append)
        if finished[0].outcome != "completed":
            raise TourError(f"Quick ended as {finished[0].outcome}: {finished[0].error}")
        self.wait("the history", lambda: bool(session.snapshot.finished_runs), 60)
        self.picture("train-quick-done")

    def _train_live(self) -> None:
        session = self._window.session
        panel = self._panel(Stage.TRAIN)
        session.choose(preset_config("standard"))
        epochs: list[EpochFinished] = []
        finished: list[RunFinished] = []

        def note(event: object) -> None:
            if isinstance(event, EpochFinished):
                epochs.append(event)

        session.runs.event_received.connect(note)
        session.runs.finished.connect(finished.append)
        panel.start()
        self.wait(
            "some epochs of the Standard run",
            lambda: len(epochs) >= _LIVE_EPOCHS or bool(finished),
        )
        self.pause(1.0)
        self.picture("train-live")
        session.runs.stop()
        self.wait("the Standard run to stop", lambda: bool(finished))
        session.runs.event_received.disconnect(note)
        session.runs.finished.disconnect(finished.append)
        if finished[0].outcome not in ("stopped", "completed"):
            raise TourError(f"Standard ended as {finished[0].outcome}: {finished[0].error}")
        self.wait("the history", lambda: len(session.snapshot.finished_runs) >= 2, 60)
        self.picture("train-done")

    def _evaluate(self) -> None:
        session = self._window.session
        panel = self._panel(Stage.EVALUATE)
        self.picture("evaluate-before")
        run = session.snapshot.finished_runs[0].id
        panel.measure()
        self.wait("the evaluation", lambda: session.evaluation(run) is not None)
        self.pause(1.5)
        self.picture("evaluate")
        bundle = self._out / "bundle"
        panel.export_to(bundle)
        self.wait("the bundle", (bundle / "bundle.json").is_file)
        self.pause(1.0)
        self.picture("exported")

    def _apply(self) -> None:
        panel = self._panel(Stage.APPLY)
        panel.take_bundle(self._out / "bundle")
        panel.take_paths([self._images()])
        panel.take_out(self._out / "predictions.csv")
        self.picture("apply-before")
        panel.apply()
        self.wait("the predictions", (self._out / "predictions.csv").is_file)
        self.pause(1.5)
        self.picture("apply")

    def _images(self) -> Path:
        """Return a folder of images of the project to apply the classifier to."""
        session = self._window.session
        record = session.snapshot.records[0]
        return session.original_path(record.id).parent


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tour and return the exit code."""
    parser = argparse.ArgumentParser(prog="radtune --tour", description=__doc__)
    parser.add_argument("--out", required=True, type=Path, help="folder for pictures and results")
    parser.add_argument("--data", type=Path, help="folder of images instead of the sample study")
    arguments = parser.parse_args(argv)
    out = arguments.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    os.environ["RADTUNE_PROJECTS"] = str(out / "projects")
    make_application()
    settings = QSettings(str(out / "preferences.ini"), QSettings.Format.IniFormat)
    window = MainWindow(EngineClient(), Preferences(settings))
    window.resize(1366, 768)
    window.show()
    tour = Tour(window, out, arguments.data.absolute() if arguments.data else None)
    problem = ""
    try:
        tour.go()
    except TourError as error:
        problem = str(error)
        tour.picture("where-it-stopped", both_themes=False)
    window.session.runs.cancel()
    tour.wait("the end of the run", lambda: not window.session.runs.state.is_busy, 60)
    window.close()
    QApplication.processEvents()
    sys.stderr.write(f"{problem or 'The tour is complete.'}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
