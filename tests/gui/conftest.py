"""A window's parts without an engine: scripted workers, small projects, no real preferences."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QApplication
from shiboken6 import delete

from gui.garbage import GarbageCollector
from gui.session import Session
from gui.theme import ThemeChoice, theme
from tests.helpers.made_project import make_project
from tests.helpers.scripted_engine import ScriptedEngine


@pytest.fixture(scope="session")
def qapp_args() -> list[str]:
    return ["radtune"]


@pytest.fixture
def engine() -> ScriptedEngine:
    """Return an engine to write scripts for; see `ScriptedEngine`."""
    return ScriptedEngine()


@pytest.fixture
def session(qapp: QApplication, engine: ScriptedEngine) -> Iterator[Session]:
    """Yield a session without a project, on the scripted engine."""
    client = engine.client()
    session = Session(client)
    yield session
    session.runs.interrupt(2_000)
    session.jobs.cancel_all(2_000)
    session.close_project()
    client.close()
    QCoreApplication.processEvents()


@pytest.fixture
def project_folder(tmp_path: Path) -> Path:
    """Return the folder of a project with 24 images, 2 classes, 12 patients and no split."""
    return make_project(tmp_path / "study.radtune")


@pytest.fixture
def split_folder(tmp_path: Path) -> Path:
    """Return the folder of the same project with a split."""
    return make_project(tmp_path / "split.radtune", is_split=True)


@pytest.fixture
def open_session(qtbot, session: Session) -> Callable[[Path], Session]:
    """Return a function that opens a project in the session and waits until it has been read."""

    def opened(folder: Path) -> Session:
        with qtbot.waitSignal(session.snapshot_changed, timeout=5_000):
            session.open_project(folder)
        return session

    return opened


@pytest.fixture(autouse=True)
def _plain_theme(qapp: QApplication) -> Iterator[None]:
    yield
    theme().set_choice(ThemeChoice.SYSTEM)
    theme().set_text_scale(1.0)


@pytest.fixture(autouse=True)
def _garbage_of_one_thread(qapp: QApplication) -> Iterator[None]:
    """Collect as the window does; other tests get Python's own collection back."""
    collector = GarbageCollector(qapp)
    yield
    delete(collector)
    gc.enable()
