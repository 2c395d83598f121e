"""Closing asks once while a run goes on, and not at all when the system ends the session."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QCoreApplication, QSettings, QTimer
from PySide6.QtWidgets import QApplication, QMessageBox

from engine.contract.commands import Audit, Search, Train
from engine.contract.config import preset_config
from engine.contract.events import CANCELED, JobFinished, JobStarted
from gui.main_window import MainWindow
from gui.preferences import Preferences
from gui.run_state import RunState
from tests.helpers.scripted_engine import endless_run


@pytest.fixture
def window(qtbot, engine, split_folder, tmp_path):
    settings = QSettings(str(tmp_path / "preferences.ini"), QSettings.Format.IniFormat)
    window = MainWindow(engine.client(), Preferences(settings))
    window.show()
    with qtbot.waitSignal(window.session.snapshot_changed):
        window.open_project(split_folder)
    engine.runs("train", endless_run)
    yield window
    window.closing.save()
    window.close()
    window.deleteLater()


@pytest.fixture
def questions(monkeypatch) -> list[QMessageBox]:
    """Answer every question with Escape, which keeps working, and list them."""
    asked: list[QMessageBox] = []

    def escape(box: QMessageBox) -> int:
        asked.append(box)
        return 0

    monkeypatch.setattr(QMessageBox, "exec", escape)
    return asked


def train(qtbot, window: MainWindow) -> None:
    command = Train(project=str(window.session.folder), config=preset_config("standard"))
    window.session.runs.start(command)
    qtbot.waitUntil(lambda: window.session.runs.state is RunState.RUNNING)


def endless_job(command, control):
    kind = "search" if isinstance(command, Search) else "audit"
    yield JobStarted(kind=kind)
    while not control.cancel_requested:
        control.wait_for_request(0.02)
    yield JobFinished(kind=kind, outcome=CANCELED)


def test_a_user_who_closes_is_asked(qtbot, window, questions):
    train(qtbot, window)
    assert not window.close()
    assert len(questions) == 1
    assert window.session.runs.state is RunState.RUNNING


def test_the_end_of_the_session_saves_the_run_and_asks_nothing(qtbot, engine, window, questions):
    train(qtbot, window)
    window.closing.save()
    assert engine.requests == ["interrupt"]
    assert not window.session.runs.has_thread  # saved before the system is answered
    assert window.session.runs.state is RunState.RUNNING  # its last event is still on its way
    assert window.close()
    assert questions == []


def test_what_is_started_after_all_is_asked_about_again(qtbot, window, questions):
    train(qtbot, window)
    window.closing.save()
    qtbot.waitUntil(lambda: not window.session.runs.state.is_busy)
    train(qtbot, window)
    assert not window.close()
    assert len(questions) == 1


def test_the_end_of_the_session_stops_only_jobs_that_can_go_on(qtbot, engine, window):
    engine.runs("search", endless_job)
    engine.runs("audit", endless_job)
    project = str(window.session.folder)
    jobs = window.session.jobs
    jobs.start(Search(project=project, minutes=1), lambda _: None)
    qtbot.waitUntil(lambda: bool(engine.asked("search")))  # one worker does both, in turn
    jobs.start(Audit(project=project), lambda _: None)
    window.closing.save()
    qtbot.waitUntil(lambda: not jobs.is_busy_with("search"))
    assert engine.requests == ["interrupt"]
    assert jobs.is_busy_with("audit")


def test_the_end_of_the_program_goes_past_an_open_question(qtbot, engine, window, monkeypatch):
    train(qtbot, window)
    ended: list[bool] = []
    monkeypatch.setattr(QCoreApplication, "exit", lambda: ended.append(True))

    def end() -> None:
        question = QApplication.activeModalWidget()
        assert isinstance(question, QMessageBox)
        window.closing.end()
        question.close()  # as the end of every event loop does

    QTimer.singleShot(50, window, end)
    window.close()
    assert ended == [True]
    assert not window.isVisible()
    assert engine.requests == ["interrupt"]
