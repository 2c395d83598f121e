"""The window around the pages: rail, messages, what runs, closing."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox, QPushButton

from engine.contract.commands import Resume, Train
from engine.contract.config import preset_config
from engine.contract.events import (
    CANCELED,
    FAILED,
    JobFinished,
    JobProgressed,
    JobStarted,
)
from engine.project.lock import ProjectLock
from engine.project.store import Project
from gui.main_window import MainWindow
from gui.preferences import Preferences
from gui.run_state import RunState
from gui.stages import STAGES, Stage
from gui.widgets.message_bar import MessageKind
from gui.widgets.stage_rail import StageState
from tests.helpers.made_project import make_project
from tests.helpers.scripted_engine import DIES, endless_run, run_started

DEVICE = {
    "device": "cpu",
    "threads": 2,
    "devices": [{"key": "cpu", "name": "A processor", "memory_mb": 8000, "is_usable": True}],
}


@pytest.fixture
def preferences(qapp):
    preferences = Preferences()
    preferences._settings.clear()
    yield preferences
    preferences._settings.clear()


@pytest.fixture
def window(qtbot, engine, preferences):
    window = MainWindow(engine.client(), preferences)
    window.resize(1366, 768)
    window.show()
    yield window
    window.session.runs.interrupt(2_000)
    qtbot.waitUntil(lambda: not window.session.runs.state.is_busy)  # or closing would ask
    window.close()
    window.deleteLater()


@pytest.fixture
def opened(qtbot, window, split_folder):
    with qtbot.waitSignal(window.session.snapshot_changed, timeout=5_000):
        assert window.open_project(split_folder)
    return window


def train(window: MainWindow) -> None:
    window.session.runs.start(
        Train(project=str(window.session.folder), config=preset_config("quick"))
    )


def answer(monkeypatch, text: str) -> list[str]:
    """Press the button of this text in the next question."""
    asked: list[str] = []

    def execute(box: QMessageBox) -> int:
        asked.append(box.text())
        button = next(b for b in box.buttons() if b.text().replace("&", "") == text)
        monkeypatch.setattr(QMessageBox, "clickedButton", lambda _: button)
        return 0

    monkeypatch.setattr(QMessageBox, "exec", execute)
    return asked


def test_without_a_project_only_the_start_page_is_open(window):
    assert window.current_page is window.start_page
    assert all(not window.rail._items[stage.value].isEnabled() for stage in STAGES)


def test_opening_a_project_shows_its_data_and_name(opened):
    assert opened.rail.current == Stage.DATA.value
    assert opened.top_bar._project.text() == "split"
    assert opened.rail.state(Stage.DATA.value) is StageState.DONE
    assert opened.rail.state(Stage.AUDIT.value) is StageState.READY
    assert opened.rail.state(Stage.SPLIT.value) is StageState.DONE
    assert opened.rail.state(Stage.TRAIN.value) is StageState.READY


def test_opened_projects_are_remembered(opened, preferences, split_folder):
    assert preferences.recent_projects == [split_folder]


def test_a_folder_without_a_project_says_so(window, tmp_path):
    assert not window.open_project(tmp_path)
    assert window.messages.n_messages == 1
    assert window.current_page is window.start_page


def test_a_project_of_another_window_is_refused_with_its_owner(window, project_folder):
    with ProjectLock(project_folder, owner="somebody else"):
        assert not window.open_project(project_folder)
    line = next(iter(window.messages._lines.values()))
    assert "somebody else" in line.what


def test_opening_the_open_project_again_is_harmless(qtbot, opened, split_folder):
    with qtbot.waitSignal(opened.session.snapshot_changed):
        assert opened.open_project(split_folder)
    assert opened.messages.n_messages == 0


def test_workers_stay_warm_when_another_project_is_opened(qtbot, opened, engine, project_folder):
    opened.warm_up()
    with qtbot.waitSignal(opened.session.snapshot_changed):
        opened.open_project(project_folder)
    assert engine.roles.count("data") == 1


def test_device_chip_names_what_computes(qtbot, window, engine):
    engine.completes("doctor", **DEVICE)
    with qtbot.waitSignal(window.session.device_changed):
        window.session.find_device()
    assert window.top_bar._device.text() == "CPU · 2 cores"
    assert window.top_bar._device.toolTip() == "A processor"


def test_rail_and_keys_lead_to_pages(qtbot, opened):
    opened.rail.stage_activated.emit(Stage.SPLIT.value)
    assert opened.current_page is opened.page(Stage.SPLIT)
    assert opened.rail.current == Stage.SPLIT.value


def test_number_keys_open_the_pages_in_the_order_of_the_job(qtbot, opened):
    with qtbot.waitActive(opened):
        opened.activateWindow()
    for number, stage in enumerate(STAGES, start=1):
        qtbot.keyClick(opened, Qt.Key(Qt.Key.Key_0 + number), Qt.KeyboardModifier.AltModifier)
        assert opened.rail.current == stage.value
    assert list(STAGES)[:3] == [Stage.DATA, Stage.AUDIT, Stage.SPLIT]


def test_strip_leads_to_the_audit_while_it_runs(qtbot, opened, engine):
    from engine.contract.commands import Audit

    def script(command, control):
        yield JobStarted(kind="audit")
        yield JobProgressed(kind="audit", stage="Comparing images", done=1, total=2)
        while not control.cancel_requested:
            control.wait_for_request(0.05)
        yield JobFinished(kind="audit", outcome=CANCELED)

    engine.runs("audit", script)
    opened.session.jobs.start(Audit(project=str(opened.session.folder)), lambda finished: None)
    qtbot.waitUntil(lambda: opened.strip._text.text() == "Comparing images: 1 of 2")
    assert opened.rail.state(Stage.AUDIT.value) is StageState.ACTIVE
    opened.strip.job_activated.emit()
    assert opened.current_page is opened.page(Stage.AUDIT)
    qtbot.mouseClick(opened.strip._stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not opened.session.jobs.is_busy)


def test_strip_shows_a_run_wherever_the_user_is(qtbot, opened, engine):
    engine.runs("train", endless_run)
    train(opened)
    qtbot.waitUntil(lambda: "Training: epoch" in opened.strip._text.text(), timeout=5_000)
    assert opened.rail.state(Stage.TRAIN.value) is StageState.ACTIVE
    assert opened.strip._stop.text() == "Stop and keep best"


def test_pause_is_pending_until_the_engine_confirms(qtbot, opened, engine):
    engine.runs("train", endless_run)
    train(opened)
    qtbot.waitUntil(lambda: opened.session.runs.state is RunState.RUNNING)
    qtbot.mouseClick(opened.strip._pause, Qt.MouseButton.LeftButton)
    assert opened.session.runs.state.is_pending
    assert not opened.strip._pause.isEnabled()
    qtbot.waitUntil(lambda: opened.session.runs.state is RunState.PAUSED)
    assert opened.strip._pause.text() == "Resume"
    qtbot.mouseClick(opened.strip._pause, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: opened.session.runs.state is RunState.RUNNING)
    qtbot.mouseClick(opened.strip._stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: opened.session.runs.state is RunState.IDLE)
    assert engine.requests == ["pause", "proceed", "stop"]


def test_a_cancel_right_after_the_start_is_not_lost(qtbot, opened, engine):
    engine.runs("train", endless_run)
    train(opened)
    opened.session.runs.cancel()
    with qtbot.waitSignal(opened.session.runs.finished, timeout=5_000) as finished:
        pass
    assert finished.args[0].outcome == CANCELED


def test_a_dead_run_worker_leaves_a_message_worthy_end(qtbot, opened, engine):
    engine.runs("train", lambda command, control: iter([run_started(command), DIES]))
    with qtbot.waitSignal(opened.session.runs.finished, timeout=5_000) as finished:
        train(opened)
    assert finished.args[0].outcome == FAILED
    assert "Continue the run" in finished.args[0].remedy
    engine.runs("resume", endless_run)
    opened.session.runs.start(Resume(project=str(opened.session.folder), run="r1"))
    qtbot.waitUntil(lambda: opened.session.runs.state is RunState.RUNNING)
    assert engine.roles.count("run") == 2


def test_canceling_a_job_that_waits_does_not_touch_the_one_that_runs(qtbot, opened, engine):
    from engine.contract.commands import MakeSplit, ViewImage

    def long_view(command, control):
        yield JobStarted(kind="view")
        while not control.cancel_requested:
            control.wait_for_request(0.05)
        yield JobFinished(kind="view", outcome=CANCELED)

    engine.runs("view", long_view)
    ends: list[JobFinished] = []
    jobs = opened.session.jobs
    folder = str(opened.session.folder)
    running = jobs.start(ViewImage(project=folder, record=1, out="x"), ends.append)
    qtbot.waitUntil(lambda: len(engine.asked("view")) == 1)
    waiting = jobs.start(MakeSplit(project=folder), ends.append)
    waiting.request("cancel")
    qtbot.wait(100)
    assert engine.requests == []
    running.request("cancel")
    qtbot.waitUntil(lambda: len(ends) == 2)
    assert [end.outcome for end in ends] == [CANCELED, CANCELED]
    assert engine.asked("split") == []


def test_a_worker_that_cannot_start_ends_the_job_as_failed(qtbot):
    from gui.session import Session
    from gui.worker.engine_client import EngineClient

    def refuse(role, environment):
        raise OSError("no more processes")

    session = Session(EngineClient(refuse))
    ends: list[JobFinished] = []
    from engine.contract.commands import Doctor

    session.jobs.start(Doctor(), ends.append)
    qtbot.waitUntil(lambda: len(ends) == 1)
    assert ends[0].outcome == FAILED


def test_job_progress_has_counts_speed_and_time_left(qtbot, opened, engine):
    def script(command, control):
        yield JobStarted(kind="split")
        yield JobProgressed(
            kind="split", stage="Reading images", done=120, total=360, per_s=85.0, seconds_left=3.0
        )
        while not control.cancel_requested:
            control.wait_for_request(0.05)
        yield JobFinished(kind="split", outcome=CANCELED)

    from engine.contract.commands import MakeSplit

    engine.runs("split", script)
    opened.session.jobs.start(MakeSplit(project=str(opened.session.folder)), lambda finished: None)
    text = opened.strip._text.text
    qtbot.waitUntil(lambda: text() == "Reading images: 120 of 360 · 85 files/s · 3 s left")
    qtbot.mouseClick(opened.strip._stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not opened.session.jobs.is_busy)
    assert "ready" in text().lower()


def test_closing_without_a_run_asks_nothing(opened, monkeypatch, preferences):
    asked = answer(monkeypatch, "Keep working")
    assert opened.close()
    assert asked == []
    assert preferences.geometry is not None


def test_closing_during_a_run_can_be_taken_back(qtbot, opened, engine, monkeypatch):
    engine.runs("train", endless_run)
    train(opened)
    qtbot.waitUntil(lambda: opened.session.runs.state is RunState.RUNNING)
    asked = answer(monkeypatch, "Keep working")
    assert not opened.close()
    assert asked == ["A training run is under way."]
    assert opened.session.runs.state is RunState.RUNNING
    assert engine.requests == []


@pytest.mark.parametrize(
    ("button", "requests"),
    [("Continue next time", ["interrupt"]), ("Cancel the run", ["cancel"])],
)
def test_closing_during_a_run_leaves_or_cancels_it(
    qtbot, opened, engine, monkeypatch, button, requests
):
    engine.runs("train", endless_run)
    train(opened)
    qtbot.waitUntil(lambda: opened.session.runs.state is RunState.RUNNING)
    answer(monkeypatch, button)
    assert opened.close()
    assert set(engine.requests) == set(requests)


def test_closing_gives_the_lock_back(opened, split_folder):
    opened.close()
    with ProjectLock(split_folder, owner="the next one"):
        pass


def test_a_run_keeps_another_project_from_being_opened(qtbot, opened, engine, project_folder):
    engine.runs("train", endless_run)
    train(opened)
    qtbot.waitUntil(lambda: opened.session.runs.state is RunState.RUNNING)
    assert not opened.open_project(project_folder)
    assert opened.messages.n_messages == 1


def test_undo_works_from_every_page(qtbot, opened):
    from engine.project import labels

    session = opened.session
    first, second = session.snapshot.classes
    record = next(r for r in session.snapshot.records if r.class_id == first.id)
    with qtbot.waitSignal(session.snapshot_changed):
        session.change(labels.set_labels, [record.id], second.id)
    opened.show_stage(Stage.SPLIT)
    assert opened.actions_.undo.isEnabled()
    with qtbot.waitSignal(session.snapshot_changed):
        opened.actions_.undo.trigger()
    assert session.snapshot.by_id[record.id].class_id == first.id
    assert not opened.actions_.undo.isEnabled()
    assert opened.actions_.redo.isEnabled()


def test_good_news_goes_by_itself_and_bad_news_stays(window):
    window.show_message(MessageKind.SUCCESS, "Exported.")
    window.show_message(MessageKind.ERROR, "The disk is full.", "Free some space.")
    assert window.messages.n_messages == 2


def test_unexpected_failures_show_a_sentence_and_what_to_do(window):
    window.show_unexpected()
    line = next(iter(window.messages._lines.values()))
    assert line.what == "Something unexpected happened."
    assert line.remedy


def test_interrupted_runs_are_marked_when_the_project_is_opened(qtbot, window, tmp_path):
    folder = make_project(tmp_path / "cut off.radtune", is_split=True)
    with Project.open(folder) as project:
        project.add_run("r9", preset_config("quick"))
    with qtbot.waitSignal(window.session.snapshot_changed):
        window.open_project(folder)
    assert [run.state for run in window.session.snapshot.runs] == ["interrupted"]


def test_every_button_has_a_name_for_screen_readers(qtbot, opened):
    for stage in (Stage.DATA, Stage.AUDIT, Stage.SPLIT):
        opened.show_stage(stage)
        for button in opened.findChildren(QPushButton):
            if not button.isHidden():
                assert button.accessibleName() or button.text(), button


def test_theme_choice_is_stored(window, preferences):
    from gui.theme import theme

    theme().toggle()
    assert preferences.theme_choice in ("dark", "light")


def test_path_given_on_the_command_line_is_opened(qtbot, window, split_folder):
    with qtbot.waitSignal(window.session.snapshot_changed):
        window.open_paths([Path(split_folder)])
    assert window.session.folder == split_folder


def test_pages_are_built_before_they_are_wanted(qtbot, window):
    window.warm_up()
    qtbot.waitUntil(lambda: set(window._pages) == set(STAGES), timeout=20_000)
    qtbot.waitUntil(lambda: gc.get_freeze_count() > 10_000, timeout=20_000)
    assert window.current_page is window.start_page


def test_closing_ends_the_building_of_pages(qtbot, window):
    window.warm_up()
    window.close()
    n_built = len(window._pages)
    qtbot.wait(150)
    assert len(window._pages) == n_built
