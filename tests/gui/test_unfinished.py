"""A run that was cut off is offered at the next start and in its project, for one click."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QPushButton

from engine.contract.commands import Resume, Train
from engine.contract.config import preset_config
from engine.contract.events import COMPLETED, RunFinished
from engine.project import labels
from engine.project.run_data import read_run_data, write_run_data
from engine.project.store import Project
from gui.main_window import MainWindow
from gui.preferences import Preferences
from gui.run_state import RunState
from gui.snapshot import Snapshot, read_snapshot
from gui.stages import Stage
from tests.helpers.scripted_engine import endless_run, short_run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def preferences(tmp_path):
    return Preferences(QSettings(str(tmp_path / "preferences.ini"), QSettings.Format.IniFormat))


@pytest.fixture
def open_window(qtbot, engine, preferences):
    windows = []

    def opened() -> MainWindow:
        window = MainWindow(engine.client(), preferences)
        windows.append(window)
        window.resize(1366, 768)
        window.show()
        return window

    yield opened
    for window in windows:
        window.session.runs.cancel()
        qtbot.waitUntil(lambda window=window: not window.session.runs.state.is_busy)
        window.close()
        window.deleteLater()


@pytest.fixture
def cut_off(split_folder: Path) -> Path:
    """Return a project with a run that a killed process left, with a saved state."""
    with Project.open(split_folder) as project:
        project.add_run("r1", preset_config("standard"))
        (project.run_folder("r1") / "checkpoints" / "last").mkdir(parents=True)
    return split_folder


def said(window: MainWindow) -> list[str]:
    return [line.what for line in window.messages._lines.values()]


def press(window: MainWindow, text: str) -> None:
    (button,) = (b for b in window.messages.findChildren(QPushButton) if b.text() == text)
    button.click()


def wait_until_read(qtbot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: not window.session.background.is_busy)


def test_the_next_start_offers_the_run_and_one_click_goes_on(
    qtbot, engine, open_window, preferences, cut_off
):
    preferences.unfinished_run = (cut_off, "r1")
    window = open_window()
    window.unfinished.offer_last()
    qtbot.waitUntil(lambda: bool(said(window)))
    assert said(window) == ["The training in “split” was interrupted."]

    engine.runs("resume", short_run)
    ends: list[RunFinished] = []
    window.session.runs.finished.connect(ends.append)
    press(window, "Continue training")
    qtbot.waitUntil(lambda: bool(ends))
    assert engine.asked("resume") == [Resume(project=str(cut_off), run="r1")]
    assert ends[0].outcome == COMPLETED
    assert window.rail.current == "train"
    wait_until_read(qtbot, window)
    assert said(window) == []
    assert preferences.unfinished_run is None


def test_its_project_offers_it_when_it_is_opened(qtbot, engine, open_window, cut_off):
    window = open_window()
    window.open_project(cut_off)
    qtbot.waitUntil(lambda: bool(said(window)))
    assert said(window) == ["The last training run was interrupted."]
    assert window.session.snapshot.runs[0].state == "interrupted"
    engine.runs("resume", endless_run)
    press(window, "Continue training")
    qtbot.waitUntil(lambda: window.session.runs.state is RunState.RUNNING)
    assert engine.asked("resume") == [Resume(project=str(cut_off), run="r1")]


def test_a_read_from_before_the_run_makes_no_offer_after_it(
    qtbot, engine, open_window, preferences, cut_off, monkeypatch
):
    was_read, has_ended = threading.Event(), threading.Event()
    states = []

    def read_slowly(folder: Path) -> Snapshot:
        snapshot = read_snapshot(folder)
        states.append(snapshot.runs[0].state)
        was_read.set()
        assert has_ended.wait(10)
        return snapshot

    def ends_at_once(command, control):
        assert was_read.wait(10)
        with Project.open(cut_off) as project:
            project.update_run("r1", state="running")
            project.update_run("r1", state="completed")
        yield from short_run(command, control)

    monkeypatch.setattr("gui.session.read_snapshot", read_slowly)
    engine.runs("resume", ends_at_once)
    preferences.unfinished_run = (cut_off, "r1")
    window = open_window()
    window.unfinished.offer_last()
    qtbot.waitUntil(lambda: bool(said(window)))
    window.session.runs.finished.connect(lambda _: has_ended.set())
    press(window, "Continue training")
    wait_until_read(qtbot, window)
    assert states == ["interrupted", "completed"]
    assert said(window) == []


def _finish(project: Project) -> None:
    project.update_run("r1", state="completed")


def _change_labels(project: Project) -> None:
    labels.exclude(project, [1], "blurred")


def _remove_state(project: Project) -> None:
    (project.run_folder("r1") / "checkpoints" / "last").rmdir()


@pytest.mark.parametrize("change", [_finish, _change_labels, _remove_state])
def test_what_can_not_go_on_is_not_offered(qtbot, open_window, preferences, cut_off, change):
    with Project.open(cut_off) as project:
        change(project)
    preferences.unfinished_run = (cut_off, "r1")
    window = open_window()
    window.unfinished.offer_last()
    wait_until_read(qtbot, window)
    window.open_project(cut_off)
    wait_until_read(qtbot, window)
    assert said(window) == []
    assert preferences.unfinished_run is None


def test_a_run_that_another_process_is_at_is_offered_when_that_lets_go(
    qtbot, open_window, preferences, cut_off, monkeypatch
):
    monkeypatch.setattr("gui.unfinished._AGAIN_MS", 50)
    hold = (
        "import sys; from pathlib import Path; from engine.project.lock import ProjectLock;"
        "lock = ProjectLock(Path(sys.argv[1]), 'a training'); lock.acquire();"
        "print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(cut_off)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert other.stdout is not None
        other.stdout.readline()
        preferences.unfinished_run = (cut_off, "r1")
        window = open_window()
        window.unfinished.offer_last()
        wait_until_read(qtbot, window)
        assert said(window) == []
    finally:
        other.communicate()
    # What ended without giving the lock back doesn't keep it.
    qtbot.waitUntil(lambda: bool(said(window)))
    assert said(window) == ["The training in “split” was interrupted."]


def test_a_project_on_a_drive_that_comes_late_is_offered_then(
    qtbot, open_window, preferences, cut_off, monkeypatch
):
    monkeypatch.setattr("gui.unfinished._AGAIN_MS", 50)
    away = cut_off.rename(cut_off.with_suffix(".away"))
    preferences.unfinished_run = (cut_off, "r1")
    window = open_window()
    window.unfinished.offer_last()
    wait_until_read(qtbot, window)
    assert said(window) == []
    assert preferences.unfinished_run == (cut_off, "r1")
    away.rename(cut_off)
    qtbot.waitUntil(lambda: bool(said(window)))
    assert said(window) == ["The training in “split” was interrupted."]


def test_a_run_that_was_deleted_is_forgotten(qtbot, open_window, preferences, cut_off):
    preferences.unfinished_run = (cut_off, "r2")
    window = open_window()
    window.unfinished.offer_last()
    wait_until_read(qtbot, window)
    assert preferences.unfinished_run is None


def test_a_run_is_remembered_while_it_is_under_way_and_no_longer(
    qtbot, engine, open_window, preferences, split_folder
):
    window = open_window()
    with qtbot.waitSignal(window.session.snapshot_changed):
        window.open_project(split_folder)
    engine.runs("train", endless_run)
    command = Train(project=str(split_folder), config=preset_config("standard"))
    window.session.runs.start(command)
    qtbot.waitUntil(lambda: window.session.runs.state is RunState.RUNNING)
    # Read by another object, as the next start would, since this one may be killed any moment.
    path = preferences._settings.fileName()
    read = Preferences(QSettings(path, QSettings.Format.IniFormat))
    assert read.unfinished_run == (split_folder, "r1")
    window.session.runs.cancel()
    qtbot.waitUntil(lambda: not window.session.runs.state.is_busy)
    assert preferences.unfinished_run is None


def test_the_question_of_what_has_changed_takes_the_offers_place(qtbot, open_window, cut_off):
    with Project.open(cut_off) as project:
        with project.transaction():
            project.db.execute("UPDATE records SET sha256 = ?", ("a" * 64,))
        project.db.execute("UPDATE runs SET data_digest = ?", (project.data_digest(),))
        project.keep_run_data("r1", project.training_table())
        before = read_run_data(project.run_folder("r1"))
        assert before is not None
        write_run_data(project.run_folder("r1"), replace(before, versions=("radtune=0.0.1",)))
    window = open_window()
    assert window.open_project(cut_off)
    qtbot.waitUntil(lambda: said(window) == ["The last training run was interrupted."])
    page = window.page(Stage.TRAIN)
    page.resume("r1")
    (question,) = said(window)
    assert question == "Continue this run, although something has changed since?"
