"""The whole program: the real window on the real engine, pressed by what is written on it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtWidgets import QAbstractButton, QApplication, QFileDialog
from shiboken6 import delete

from gui.garbage import GarbageCollector
from gui.main_window import MainWindow
from gui.preferences import Preferences
from gui.theme import ThemeChoice, theme
from gui.widgets.message_bar import MessageKind
from gui.worker.engine_client import EngineClient

PATIENCE_MS = 120_000
"""For whatever a busy machine may take; nothing waits longer than it has to."""


class User:
    """Presses what can be read in a window, and waits as a person would."""

    def __init__(self, qtbot, window: MainWindow) -> None:
        self.window = window
        self._qtbot = qtbot

    def press(self, text: str) -> None:
        """Press the button or card with this text as soon as it can be pressed."""
        self.wait_for(lambda: self._button(text) is not None, f"a button '{text}'")
        self._qtbot.mouseClick(self._button(text), Qt.MouseButton.LeftButton)

    def choose_file(self, path: Path) -> None:
        """Choose a path in the dialog that is open."""
        self.wait_for(lambda: self._dialog() is not None, "a dialog")
        dialog = self._dialog()
        assert dialog is not None
        dialog.setDirectory(str(path.parent))
        dialog.selectFile(path.name)
        dialog.accept()

    def wait_for(self, is_so: Callable[[], bool], what: str = "") -> None:
        """Let the window live until something is so; say what it shows if it never is."""
        try:
            self._qtbot.waitUntil(is_so, timeout=PATIENCE_MS)
        except Exception as error:
            shown = [line.what for line in self.window.messages._lines.values()]
            raise AssertionError(f"waited in vain for {what}; messages: {shown}") from error

    def errors(self) -> list[tuple[str, str]]:
        """Return what the error messages say, and what to do."""
        lines = self.window.messages._lines.values()
        return [(line.what, line.remedy) for line in lines if line.kind is MessageKind.ERROR]

    def _button(self, text: str) -> QAbstractButton | None:
        # Not the rail, where stages have names that buttons have, too.
        for part in (self.window.current_page, self.window.messages):
            for button in part.findChildren(QAbstractButton) if part is not None else ():
                is_it = button.text().replace("&", "") == text
                if is_it and button.isVisible() and button.isEnabled():
                    return button
        return None

    def _dialog(self) -> QFileDialog | None:
        found = [d for d in self.window.findChildren(QFileDialog) if d.isVisible()]
        return found[0] if found else None


@pytest.fixture
def preferences(tmp_path: Path) -> Preferences:
    return Preferences(QSettings(str(tmp_path / "preferences.ini"), QSettings.Format.IniFormat))


@pytest.fixture
def open_window(qtbot, tmp_path, monkeypatch, preferences) -> Iterator[Callable[[], User]]:
    """Yield a function that opens a window, as the program does when it starts."""
    monkeypatch.setenv("RADTUNE_PROJECTS", str(tmp_path / "projects"))
    windows: list[MainWindow] = []

    def opened() -> User:
        window = MainWindow(EngineClient(), preferences)
        windows.append(window)
        window.resize(1366, 768)
        window.show()
        window.warm_up()
        return User(qtbot, window)

    yield opened
    for window in windows:
        runs = window.session.runs
        runs.cancel()  # or closing would ask
        qtbot.waitUntil(lambda runs=runs: not runs.state.is_busy, timeout=PATIENCE_MS)
        window.close()
        window.deleteLater()
    QApplication.processEvents()


@pytest.fixture
def user(open_window: Callable[[], User]) -> User:
    return open_window()


@pytest.fixture(autouse=True)
def _plain_theme(qapp) -> Iterator[None]:
    yield
    theme().set_choice(ThemeChoice.SYSTEM)
    theme().set_text_scale(1.0)


@pytest.fixture(autouse=True)
def _garbage_of_one_thread(qapp) -> Iterator[None]:
    """Collect as the window does; other tests get Python's own collection back."""
    collector = GarbageCollector(qapp)
    yield
    delete(collector)
    gc.enable()
