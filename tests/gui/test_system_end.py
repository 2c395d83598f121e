"""The window hears of log-off, shutdown, signals and a closed console, and saves before it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import PySide6
import pytest
from PySide6.QtCore import QCoreApplication
from shiboken6 import getCppPointer

from gui.system_end import SystemEnd

ROOT = Path(__file__).resolve().parents[2]
POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signals to a process")
SIGNALS = [pytest.param(name, marks=POSIX) for name in ("SIGTERM", "SIGHUP", "SIGINT")]


@pytest.fixture
def system_end(qapp):
    system_end = SystemEnd(qapp)
    yield system_end
    system_end.finish()
    system_end.deleteLater()
    QCoreApplication.processEvents()


@pytest.mark.skipif(sys.platform != "linux", reason="calls into Qt's library by its Linux name")
def test_qt_says_that_the_session_ends(qapp, system_end):
    library = ctypes.CDLL(str(Path(PySide6.__file__).parent / "Qt" / "lib" / "libQt6Gui.so.6"))
    commit = library._ZN22QGuiApplicationPrivate10commitDataEv  # what every platform's plugin calls
    commit.argtypes, commit.restype = [ctypes.c_void_p], None
    saved: list[bool] = []
    system_end.save_wanted.connect(lambda: saved.append(True))
    private = ctypes.c_void_p.from_address(getCppPointer(qapp)[0] + ctypes.sizeof(ctypes.c_void_p))
    commit(private)
    assert saved == [True]  # before Qt answers the system


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_wakes_a_window_that_is_idle(qtbot, system_end, name):
    before = signal.getsignal(getattr(signal, name))
    system_end.listen()
    with qtbot.waitSignal(system_end.end_wanted, timeout=10_000):
        os.kill(os.getpid(), getattr(signal, name))
    system_end.finish()
    assert signal.getsignal(getattr(signal, name)) == before


@POSIX
def test_a_signal_that_the_user_wants_ignored_stays_ignored(system_end):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        system_end.listen()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_closed_console_is_answered_when_all_is_saved(qtbot, system_end):
    closed = 2  # CTRL_CLOSE_EVENT of the Windows console
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(system_end.answer_console(closed)))
    with qtbot.waitSignal(system_end.end_wanted, timeout=10_000):
        asking.start()
    assert answers == []  # the process would end now, with nothing saved
    system_end.finish()
    asking.join(10)
    assert answers == [True]


def test_ctrl_c_in_a_console_is_left_to_its_signal(system_end):
    for event in (0, 1):  # CTRL_C_EVENT and CTRL_BREAK_EVENT
        assert not system_end.answer_console(event)


@POSIX
def test_a_terminated_window_lets_its_run_save_and_asks_nothing(tmp_path):
    """The whole program, with a scripted worker, and the question of closing open on top."""
    code = """
import os, signal, sys
from pathlib import Path
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QMessageBox
import gui.app, gui.main_window
from engine.contract.commands import Train
from engine.contract.config import preset_config
from gui.run_state import RunState
from tests.helpers.made_project import make_project
from tests.helpers.scripted_engine import ScriptedEngine, endless_run

engine = ScriptedEngine()
engine.runs("train", endless_run)
gui.app.EngineClient = engine.client
folder = make_project(Path(sys.argv[1]) / "study.radtune", is_split=True)

class Window(gui.main_window.MainWindow):
    def warm_up(self):
        self.open_project(folder)
        self.session.runs.state_changed.connect(self.on_state)
        self.session.runs.start(Train(project=str(folder), config=preset_config("standard")))

    def on_state(self, state):
        if state is RunState.RUNNING:
            QTimer.singleShot(0, self, self.close)
            QTimer.singleShot(200, self, self.terminate)

    def terminate(self):
        assert isinstance(QApplication.activeModalWidget(), QMessageBox)
        os.kill(os.getpid(), signal.SIGTERM)

gui.app.MainWindow = Window
code = gui.app.main([])
print("ended", code, engine.requests)
"""
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.stdout == "ended 0 ['interrupt']\n", done.stderr
