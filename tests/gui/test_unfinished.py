"""A run that was cut off is offered at the next start and in its project, for one click."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QLabel, QPushButton

from engine.contract.commands import Resume, Train
from engine.contract.config import preset_config
from engine.contract.errors import StorageError
from engine.contract.events import COMPLETED, FAILED, RunFinished
from engine.project import labels
from engine.project.lock import ProjectLock
from engine.project.run_data import read_run_data, write_run_data
from engine.project.store import Project
from gui.main_window import MainWindow
from gui.panels.train_history import TrainHistory
from gui.preferences import Preferences
from gui.run_state import RunState
from gui.snapshot import Snapshot, read_snapshot
from gui.stages import Stage
from tests.helpers.made_project import make_project
from tests.helpers.scripted_engine import (
    DIES,
    ScriptedEngine,
    endless_run,
    run_started,
    short_run,
)

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


def remedies(window: MainWindow) -> list[str]:
    return [line.remedy for line in window.messages._lines.values()]


def press(window: MainWindow, text: str) -> None:
    (button,) = (b for b in window.messages.findChildren(QPushButton) if b.text() == text)
    button.click()


def button(window: MainWindow, text: str) -> QPushButton:
    """Return the button of the Train page's history."""
    (history,) = window.page(Stage.TRAIN).findChildren(TrainHistory)
    found: list[QPushButton] = history.findChildren(QPushButton)
    return next(b for b in found if b.text() == text)


def wait_until_read(qtbot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: not window.session.background.is_busy)


def test_the_next_start_offers_the_run_and_one_click_goes_on(
    qtbot, engine, open_window, preferences, cut_off
):
    preferences.add_unfinished(cut_off, "r1")
    window = open_window()
    window.unfinished.offer_last()
    qtbot.waitUntil(lambda: bool(said(window)))
    assert said(window) == ["The training in “split” was interrupted."]
    assert remedies(window) == ["It can go on from its last saved state."]

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
    assert preferences.unfinished_runs == []


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

    def read_slowly(folder: Path, *, has_worker: bool) -> Snapshot:
        snapshot = read_snapshot(folder, has_worker=has_worker)
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
    preferences.add_unfinished(cut_off, "r1")
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


@pytest.mark.parametrize("change", [_finish, _change_labels])
def test_what_can_not_go_on_is_not_offered(qtbot, open_window, preferences, cut_off, change):
    with Project.open(cut_off) as project:
        change(project)
    preferences.add_unfinished(cut_off, "r1")
    window = open_window()
    window.unfinished.offer_last()
    wait_until_read(qtbot, window)
    window.open_project(cut_off)
    wait_until_read(qtbot, window)
    assert said(window) == []
    assert preferences.unfinished_runs == []


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
        preferences.add_unfinished(cut_off, "r1")
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
    preferences.add_unfinished(cut_off, "r1")
    window = open_window()
    window.unfinished.offer_last()
    wait_until_read(qtbot, window)
    assert said(window) == []
    assert preferences.unfinished_runs == [(cut_off, "r1")]
    away.rename(cut_off)
    qtbot.waitUntil(lambda: bool(said(window)))
    assert said(window) == ["The training in “split” was interrupted."]


def test_a_run_that_was_deleted_is_forgotten(qtbot, open_window, preferences, cut_off):
    preferences.add_unfinished(cut_off, "r2")
    window = open_window()
    window.unfinished.offer_last()
    wait_until_read(qtbot, window)
    assert preferences.unfinished_runs == []


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
    assert read.unfinished_runs == [(split_folder, "r1")]
    window.session.runs.cancel()
    qtbot.waitUntil(lambda: not window.session.runs.state.is_busy)
    assert preferences.unfinished_runs == []


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


def test_a_run_without_a_saved_state_is_offered_and_begins_again(
    qtbot, engine, open_window, preferences, cut_off
):
    (cut_off / "runs" / "r1" / "checkpoints" / "last").rmdir()
    preferences.add_unfinished(cut_off, "r1")
    window = open_window()
    window.unfinished.offer_last()
    qtbot.waitUntil(lambda: bool(said(window)))
    assert remedies(window) == ["It had not saved its state yet and begins again."]
    assert window.open_project(cut_off)
    qtbot.waitUntil(lambda: said(window) == ["The last training run was interrupted."])
    assert remedies(window) == ["It had not saved its state yet and begins again."]
    window.show_stage(Stage.TRAIN)
    go_on = button(window, "Continue")
    assert go_on.isEnabled()
    assert go_on.toolTip() == "It had not saved its state yet and begins again."
    engine.runs("resume", endless_run)
    go_on.click()
    qtbot.waitUntil(lambda: window.session.runs.state is RunState.RUNNING)
    assert engine.asked("resume") == [Resume(project=str(cut_off), run="r1")]


def test_a_failure_that_no_window_told_is_offered_with_its_reason(
    qtbot, open_window, preferences, cut_off
):
    with Project.open(cut_off) as project:
        project.update_run("r1", outcome="failed", error="The disk didn't answer.")
    preferences.add_unfinished(cut_off, "r1")
    window = open_window()
    window.unfinished.offer_last()
    qtbot.waitUntil(lambda: bool(said(window)))
    assert said(window) == ["The training in “split” failed."]
    assert remedies(window) == ["The disk didn't answer. It can go on from its last saved state."]
    assert window.open_project(cut_off)
    qtbot.waitUntil(lambda: said(window) == ["The last training run failed."])
    assert remedies(window) == ["The disk didn't answer. It can go on from its last saved state."]


def test_a_failure_that_was_told_is_not_offered_again(
    qtbot, engine, open_window, preferences, cut_off
):
    def fails(command, control):
        yield run_started(command)
        with Project.open(cut_off) as project:
            project.update_run("r1", state="running")
            project.update_run("r1", outcome="failed", error="The disk didn't answer.")
        yield RunFinished(run="r1", outcome=FAILED, error="The disk didn't answer.", remedy="Wait.")

    engine.runs("resume", fails)
    window = open_window()
    window.continue_run(cut_off, "r1")
    qtbot.waitUntil(lambda: "The disk didn't answer." in said(window))
    assert preferences.unfinished_runs == []


@pytest.mark.parametrize("is_refused", [False, True], ids=["noted", "disk full"])
def test_a_worker_that_died_is_told_and_can_be_continued_at_once(
    qtbot, engine, open_window, preferences, cut_off, monkeypatch, is_refused
):
    def dies(command, control):
        with Project.open(cut_off) as project:
            project.update_run("r1", state="running")
        if is_refused:
            monkeypatch.setattr(Project, "interrupt_leftovers", _refuse)
        yield run_started(command)
        yield DIES

    engine.runs("resume", dies)
    window = open_window()
    window.continue_run(cut_off, "r1")
    qtbot.waitUntil(lambda: any("ended unexpectedly" in what for what in said(window)))
    (run,) = window.session.snapshot.runs
    assert (run.state, run.is_resumable) == ("interrupted", True)
    assert len([b for b in window.messages.findChildren(QPushButton) if b.text()]) == 1
    assert button(window, "Continue").isEnabled()
    assert preferences.unfinished_runs == [(cut_off, "r1")]  # the next start offers it, if need be


def test_a_window_that_may_only_read_calls_no_run_interrupted(
    qtbot, open_window, cut_off, monkeypatch
):
    def acquire(lock: ProjectLock) -> None:
        lock.is_read_only = True  # a network folder, say, that another computer trains in

    monkeypatch.setattr(ProjectLock, "acquire", acquire)
    window = open_window()
    with qtbot.waitSignal(window.session.snapshot_changed):
        window.open_project(cut_off)
    assert window.session.snapshot.runs[0].state == "running"
    assert said(window) == []


def _refuse(project: Project) -> None:
    raise StorageError("The disk is full.", remedy="Free some space.")


def test_a_run_that_ends_in_one_window_leaves_the_other_windows_remembered(
    qtbot, engine, open_window, preferences, split_folder, tmp_path
):
    other_folder = make_project(tmp_path / "other.radtune", is_split=True)
    other_engine = ScriptedEngine()
    ours, other = open_window(), MainWindow(other_engine.client(), preferences)
    qtbot.addWidget(other)
    for window, folder in ((ours, split_folder), (other, other_folder)):
        with qtbot.waitSignal(window.session.snapshot_changed):
            window.open_project(folder)
    config = preset_config("standard")
    engine.runs("train", endless_run)
    ours.session.runs.start(Train(project=str(split_folder), config=config))
    qtbot.waitUntil(lambda: ours.session.runs.state is RunState.RUNNING)
    other_engine.runs("train", short_run)
    with qtbot.waitSignal(other.session.runs.finished):
        other.session.runs.start(Train(project=str(other_folder), config=config))
    assert preferences.unfinished_runs == [(split_folder, "r1")]


def test_every_window_that_was_cut_off_is_offered_the_newest_on_top(
    qtbot, open_window, preferences, cut_off, tmp_path
):
    other = make_project(tmp_path / "other.radtune", is_split=True)
    with Project.open(other) as project:
        project.add_run("r7", preset_config("standard"))
    preferences.add_unfinished(cut_off, "r1")
    preferences.add_unfinished(other, "r7")
    window = open_window()
    window.unfinished.offer_last()
    qtbot.waitUntil(lambda: len(said(window)) == 2)
    assert said(window) == [
        "The training in “split” was interrupted.",
        "The training in “other” was interrupted.",  # the bar puts the newest message on top
    ]
    window.unfinished.offer_last()  # nothing is offered twice
    wait_until_read(qtbot, window)
    assert len(said(window)) == 2


def test_a_window_that_outlives_the_end_of_the_session_offers_to_go_on(
    qtbot, engine, open_window, preferences, cut_off
):
    def interrupted(command, control):
        with Project.open(cut_off) as project:
            project.update_run("r1", state="running")
        yield from endless_run(command, control)

    engine.runs("resume", interrupted)
    window = open_window()
    window.continue_run(cut_off, "r1")
    qtbot.waitUntil(lambda: window.session.runs.state is RunState.RUNNING)
    wait_until_read(qtbot, window)
    window.closing.save()
    assert engine.requests == ["interrupt"]
    qtbot.waitUntil(lambda: said(window) == ["The last training run was interrupted."])
    assert preferences.unfinished_runs == [(cut_off, "r1")]
    page = window.page(Stage.TRAIN)
    assert "Interrupted; it can be continued" in [
        label.text() for label in page.findChildren(QLabel)
    ]
