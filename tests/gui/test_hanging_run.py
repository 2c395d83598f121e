"""A run or a job that hangs: the window says so, and one click ends it and goes on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QSettings

from engine.contract.commands import Audit, Resume, Train
from engine.contract.config import preset_config
from engine.contract.events import COMPLETED, FAILED, JobStarted, RunFinished
from engine.project.store import Project
from gui.closing import leave
from gui.main_window import MainWindow
from gui.panels.train_live import TrainLive
from gui.preferences import Preferences
from gui.run_state import RunState
from gui.stages import Stage
from gui.worker.hang_watch import HangWatch
from tests.helpers.scripted_engine import (
    batch_finished,
    endless_run,
    epoch_finished,
    run_started,
    short_run,
)


@pytest.fixture
def window(qtbot, engine, split_folder, tmp_path, monkeypatch):
    # A look a moment, and a limit of two looks, instead of minutes.
    monkeypatch.setattr("gui.run_controller.TICK_S", 0.02)
    monkeypatch.setattr(HangWatch, "look", _hasty(HangWatch.look))
    settings = QSettings(str(tmp_path / "preferences.ini"), QSettings.Format.IniFormat)
    window = MainWindow(engine.client(), Preferences(settings))
    window.resize(1366, 768)
    window.show()
    with qtbot.waitSignal(window.session.snapshot_changed, timeout=5_000):
        assert window.open_project(split_folder)
    yield window
    window.session.runs.cancel()
    window.session.jobs.cancel_all(2_000)
    qtbot.waitUntil(lambda: not window.session.runs.state.is_busy)
    window.close()
    window.deleteLater()


def _hasty(look):
    return lambda watch: look(watch, 300.0)


class Hanging:
    """A run that stands still after its second update, until it is let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def __call__(self, command, control):
        yield run_started(command)
        for step in (1, 2):
            yield batch_finished("r1", step=step)
        self.go_on.wait(30)
        yield from endless_run(command, control)


@pytest.fixture
def hanging(engine):
    script = Hanging()
    engine.runs("train", script)
    yield script
    script.go_on.set()


def start(window: MainWindow) -> Train:
    command = Train(project=str(window.session.folder), config=preset_config("standard"))
    window.session.runs.start(command)
    return command


def said(window: MainWindow) -> list[str]:
    return [line.what for line in window.messages._lines.values()]


def press(window: MainWindow, text: str) -> None:
    from PySide6.QtWidgets import QPushButton

    (button,) = (b for b in window.messages.findChildren(QPushButton) if b.text() == text)
    button.click()


def test_a_hung_run_is_told_and_goes_on_from_its_last_saved_state_at_one_click(
    qtbot, engine, window, hanging
):
    engine.runs("resume", short_run)
    states: list[RunState] = []
    ends: list[RunFinished] = []
    window.session.runs.state_changed.connect(states.append)
    window.session.runs.finished.connect(ends.append)
    command = start(window)
    qtbot.waitUntil(lambda: window.session.runs.state is RunState.HUNG)
    (what,) = said(window)
    assert what.startswith("The training has made no progress for")
    assert window.strip._text.text() == "The training makes no progress"

    press(window, "End and continue")
    hanging.go_on.set()
    qtbot.waitUntil(lambda: bool(ends))

    assert engine.asked("resume") == [Resume(project=command.project, run="r1")]
    assert [end.outcome for end in ends] == [COMPLETED]
    assert states == [
        RunState.STARTING,
        RunState.RUNNING,
        RunState.HUNG,
        RunState.RESTARTING,
        RunState.STARTING,
        RunState.RUNNING,
        RunState.IDLE,
    ]
    assert engine.roles.count("run") == 2
    assert said(window) == []


@pytest.mark.parametrize("is_anyway", [False, True])
def test_one_that_went_on_although_something_had_changed_does_so_again(
    qtbot, engine, window, hanging, is_anyway
):
    engine.runs("resume", hanging)
    command = Resume(project=str(window.session.folder), run="r1", anyway=is_anyway)
    window.session.runs.start(command)
    qtbot.waitUntil(lambda: window.session.runs.state is RunState.HUNG)
    engine.runs("resume", short_run)
    window.session.runs.restart()
    hanging.go_on.set()
    qtbot.waitUntil(lambda: window.session.runs.state is RunState.IDLE)
    assert engine.asked("resume") == [command, command]


def test_one_that_hangs_before_it_exists_is_started_again(qtbot, engine, window):
    go_on = threading.Event()

    def stuck(command, control):
        del command, control
        go_on.wait(30)
        return iter(())

    engine.runs("train", stuck)
    command = start(window)
    qtbot.waitUntil(lambda: window.session.runs.state is RunState.HUNG)
    engine.runs("train", short_run)
    window.session.runs.restart()
    go_on.set()
    qtbot.waitUntil(lambda: window.session.runs.state is RunState.IDLE)
    assert engine.asked("train") == [command, command]


def test_a_run_that_moves_again_takes_the_message_back(qtbot, window, hanging):
    start(window)
    qtbot.waitUntil(lambda: bool(said(window)))
    hanging.go_on.set()
    qtbot.waitUntil(lambda: window.session.runs.state is RunState.RUNNING)
    assert said(window) == []


def test_keep_waiting_takes_it_for_a_slow_one(qtbot, window, hanging):
    start(window)
    qtbot.waitUntil(lambda: bool(said(window)))
    window.session.runs._clock.stop()
    press(window, "Keep waiting")
    assert window.session.runs.state is RunState.RUNNING
    assert said(window) == []


def test_a_hung_run_that_is_canceled_is_ended_if_it_does_not_answer(
    qtbot, window, hanging, monkeypatch
):
    monkeypatch.setattr("gui.run_controller._GRACE_MS", 50)
    ends: list[Any] = []
    window.session.runs.finished.connect(ends.append)
    start(window)
    qtbot.waitUntil(lambda: window.session.runs.state is RunState.HUNG)
    window.session.runs.cancel()
    qtbot.wait(200)
    hanging.go_on.set()  # the scripted worker has no process to kill: its generator must return
    qtbot.waitUntil(lambda: bool(ends))
    assert ends[0].outcome == FAILED
    assert "made no progress and was ended" in ends[0].error


def test_another_job_that_hangs_can_be_ended(qtbot, engine, window):
    go_on = threading.Event()

    def stuck(command, control):
        del control
        yield JobStarted(kind="audit")
        go_on.wait(30)

    engine.runs("audit", stuck)
    ends: list[Any] = []
    window.session.jobs.start(Audit(project=str(window.session.folder)), ends.append)
    qtbot.waitUntil(lambda: bool(said(window)))
    assert said(window)[0].startswith("What RadTune is busy with has made no progress")
    press(window, "End it")
    go_on.set()
    qtbot.waitUntil(lambda: bool(ends))
    assert (ends[0].outcome, said(window)) == (FAILED, [])
    assert ends[0].error == "The process that did the work made no progress and was ended."


def test_a_worker_that_died_leaves_its_run_interrupted_before_another_can_begin(
    qtbot, engine, window, split_folder: Path
):
    from tests.helpers.scripted_engine import DIES

    with Project.open(split_folder) as project:
        project.add_run("r1", preset_config("standard"))
    states: list[str] = []

    def look(finished):
        with Project.open(split_folder, read_only=True) as project:
            states.append(project.runs()[0].state)

    window.session.runs.finished.connect(look)
    engine.plays("train", run_started(None), DIES)
    start(window)
    qtbot.waitUntil(lambda: bool(states))
    assert states == ["interrupted"]


def test_a_thread_that_can_not_be_ended_does_not_abort_the_program(
    qtbot, window, hanging, monkeypatch
):
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    assert leave(0, window.session) == 0
    assert codes == []
    start(window)
    begun = (RunState.RUNNING, RunState.HUNG)  # on a busy machine it hangs before anyone looks
    qtbot.waitUntil(lambda: window.session.runs.state in begun)
    leave(3, window.session)
    assert codes == [3]


def test_nothing_is_said_to_improve_while_it_hangs_or_starts_again(qtbot, engine, window):
    go_on, resumed = threading.Event(), threading.Event()

    def stuck(command, control):
        yield run_started(command)
        yield batch_finished("r1", step=1)
        yield epoch_finished("r1", 1)
        go_on.wait(30)

    def late(command, control):
        resumed.wait(30)
        yield from endless_run(command, control)

    engine.runs("train", stuck)
    engine.runs("resume", late)
    window.show_stage(Stage.TRAIN)
    live = window.page(Stage.TRAIN).findChild(TrainLive)
    start(window)
    qtbot.waitUntil(lambda: window.session.runs.state is RunState.HUNG)
    qtbot.waitUntil(lambda: live._comment.text() == "")
    press(window, "End and continue")
    go_on.set()
    assert live._comment.text() == ""
    assert window.session.runs.state in (RunState.RESTARTING, RunState.STARTING)
    resumed.set()
    qtbot.waitUntil(lambda: live._comment.text() != "")
