"""The training page on a scripted engine: pending requests, ends of every kind, many events."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton

from engine.contract.commands import Resume, Train
from engine.contract.config import preset_config
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    STOPPED,
    Recovered,
    RunFinished,
    RunPaused,
    RunProgressed,
    SamplePrediction,
    Warned,
)
from engine.project.store import Project
from gui.panels.sample_strip import SampleStrip
from gui.panels.train import TrainPanel
from gui.panels.train_history import TrainHistory
from gui.panels.train_live import TrainLive
from gui.panels.train_notes import TrainNotes
from gui.plots.learning_curves import LearningCurves
from gui.run_state import RunState
from gui.stages import Stage
from gui.widgets.choice_card import ChoiceCard
from gui.widgets.message_bar import MessageKind
from gui.widgets.progress_row import ProgressRow
from gui.widgets.stat_tile import StatTile
from tests.helpers.scripted_engine import (
    DIES,
    batch_finished,
    endless_run,
    epoch_finished,
    run_started,
)


@pytest.fixture
def page(qtbot, open_session, split_folder):
    with Project.open(split_folder) as project:
        project.add_run("old", preset_config("standard"))
        project.update_run("old", outcome=COMPLETED, val_auroc=0.875, epochs=8, seconds=64.0)
        project.add_run("cut", preset_config("thorough"))
        project.update_run("cut", state="interrupted")
        (project.run_folder("cut") / "checkpoints" / "last").mkdir(parents=True)
    session = open_session(split_folder)
    session.choose(preset_config("standard"))
    page = TrainPanel(session)
    qtbot.addWidget(page)
    page.resize(1182, 656)
    page.show()
    return page


def button(page: TrainPanel, text: str) -> QPushButton:
    return next(b for b in page.findChildren(QPushButton) if b.text() == text)


def press(page: TrainPanel, text: str) -> None:
    shown = button(page, text)
    assert shown.isVisible() and shown.isEnabled()
    shown.click()


def messages(page: TrainPanel) -> list[tuple[Any, ...]]:
    heard: list[tuple[Any, ...]] = []
    page.message_requested.connect(lambda *parts: heard.append(parts))
    return heard


def state_of(page: TrainPanel) -> RunState:
    return page.session.runs.state


def is_idle(page: TrainPanel) -> bool:
    return state_of(page) is RunState.IDLE


def test_start_asks_for_a_run_with_the_present_choices(qtbot, engine, page):
    press(page, "Start")
    qtbot.waitUntil(lambda: is_idle(page))

    expected = Train(project=str(page.session.folder), config=preset_config("standard"))
    assert engine.asked("train") == [expected]


def test_a_completed_run_leads_on_to_its_results(qtbot, page):
    press(page, "Start")
    qtbot.waitUntil(lambda: is_idle(page))

    with qtbot.waitSignal(page.stage_requested) as asked:
        press(page, "Look at the results")
    assert asked.args == [Stage.EVALUATE]
    assert page.session.shown_run == "r1"


def test_one_button_is_primary_in_every_state(qtbot, engine, page):
    engine.runs("train", endless_run)
    assert page.header.primary is button(page, "Start")
    press(page, "Start")
    qtbot.waitUntil(lambda: state_of(page) is RunState.RUNNING)
    assert page.header.primary is button(page, "Stop and keep best")
    assert not button(page, "Start").isVisible()

    press(page, "Stop and keep best")
    qtbot.waitUntil(lambda: is_idle(page))
    assert page.header.primary is button(page, "Look at the results")
    press(page, "Train again")
    assert page.header.primary is button(page, "Start")


def test_pause_shows_as_pending_until_the_engine_confirms(qtbot, engine, page):
    engine.runs("train", endless_run)
    press(page, "Start")
    qtbot.waitUntil(lambda: state_of(page) is RunState.RUNNING)

    button(page, "Pause").click()
    assert state_of(page) is RunState.PAUSING
    assert not button(page, "Pausing…").isEnabled()

    qtbot.waitUntil(lambda: state_of(page) is RunState.PAUSED)
    press(page, "Continue")
    assert not button(page, "Going on…").isEnabled()
    qtbot.waitUntil(lambda: state_of(page) is RunState.RUNNING)
    button(page, "Stop and keep best").click()
    assert not button(page, "Stopping…").isEnabled()
    qtbot.waitUntil(lambda: is_idle(page))
    assert engine.requests == ["pause", "proceed", "stop"]


def test_a_run_ends_in_exactly_one_finished_event(qtbot, engine, page):
    ends: list[RunFinished] = []
    page.session.runs.finished.connect(ends.append)
    engine.runs("train", endless_run)
    press(page, "Start")
    qtbot.waitUntil(lambda: state_of(page) is RunState.RUNNING)
    button(page, "Stop and keep best").click()
    qtbot.waitUntil(lambda: bool(ends))
    qtbot.wait(50)

    assert [end.outcome for end in ends] == [STOPPED]


def test_cancel_asks_first_once_there_is_something_to_lose(qtbot, engine, page):
    heard = messages(page)
    engine.runs("train", endless_run)
    press(page, "Start")
    live = page.findChild(TrainLive)
    qtbot.waitUntil(lambda: live.best_auroc == 0.9)

    press(page, "Cancel")
    assert state_of(page) is RunState.RUNNING
    kind, _, _, actions = heard[0]
    assert kind is MessageKind.WARNING
    actions[0].run()
    assert not button(page, "Canceling…").isEnabled()
    qtbot.waitUntil(lambda: is_idle(page))
    assert engine.requests == ["cancel"]


def test_a_failed_run_says_what_happened_and_what_to_do(qtbot, engine, page):
    heard = messages(page)
    end = RunFinished(run="", outcome=FAILED, error="The split is empty.", remedy="Make one.")
    engine.plays("train", end)

    press(page, "Start")
    qtbot.waitUntil(lambda: bool(heard))

    assert heard == [(MessageKind.ERROR, "The split is empty.", "Make one.", [])]
    assert button(page, "Start").isVisible()


def test_a_worker_that_died_before_there_was_a_run_leaves_nothing_to_continue(qtbot, engine, page):
    heard = messages(page)
    engine.plays("train", DIES)
    press(page, "Start")
    qtbot.waitUntil(lambda: bool(heard))
    _, what, remedy, actions = heard[0]
    assert what == "The process that did the work ended unexpectedly."
    assert remedy.startswith("Try again.")
    assert not actions


def test_a_killed_worker_leaves_the_window_and_offers_to_continue(qtbot, engine, page):
    heard = messages(page)
    folder = page.session.folder
    with Project.open(folder) as project:
        project.add_run("r1", preset_config("standard"))
        (project.run_folder("r1") / "checkpoints" / "last").mkdir(parents=True)
    command = SimpleNamespace()
    engine.plays("train", run_started(command), batch_finished("r1", step=1), DIES)

    press(page, "Start")
    qtbot.waitUntil(lambda: bool(heard))

    kind, what, _, actions = heard[0]
    assert kind is MessageKind.ERROR
    assert "ended unexpectedly" in what
    assert page.isVisible()
    assert page.findChild(TrainHistory).chosen().state == "interrupted"
    actions[0].run()
    qtbot.waitUntil(lambda: bool(engine.asked("resume")) and is_idle(page))
    assert engine.asked("resume") == [Resume(project=str(folder), run="r1")]


def test_the_history_continues_what_can_be_and_evaluates_what_has_finished(qtbot, engine, page):
    history = page.findChild(TrainHistory)
    go_on = next(b for b in history.findChildren(QPushButton) if b.text() == "Continue")
    evaluate = next(b for b in history.findChildren(QPushButton) if b.text() == "Evaluate")
    history.choose("cut")
    assert go_on.isEnabled() and not evaluate.isEnabled()
    history.choose("old")
    assert evaluate.isEnabled() and not go_on.isEnabled()

    with qtbot.waitSignal(page.stage_requested) as asked:
        evaluate.click()
    assert (asked.args, page.session.shown_run) == ([Stage.EVALUATE], "old")

    history.choose("cut")
    go_on.click()
    qtbot.waitUntil(lambda: is_idle(page))
    assert engine.asked("resume") == [Resume(project=str(page.session.folder), run="cut")]


def test_the_history_reads_newest_first(page):
    table = page.findChild(TrainHistory).table
    texts = [table.model().index(row, 4).data() for row in range(table.model().rowCount())]

    assert texts == ["interrupted", "completed"]
    assert table.model().index(1, 5).data() == "0.875"


def test_a_run_since_which_something_changed_goes_on_only_when_asked_again(qtbot, page):
    session = page.session
    runs = session.snapshot.runs
    changed = replace(runs[0], changes=("4 images were added that are in no part of the split.",))
    session.snapshot = replace(session.snapshot, runs=(changed, *runs[1:]))
    started: list[Any] = []
    told: list[Any] = []
    page.session.runs.start = started.append
    page.message_requested.connect(lambda *message: told.append(message))

    page.resume(changed.id)

    assert started == []
    [(_, question, detail, [action])] = told
    assert question.endswith("?")
    assert detail == changed.changes[0]

    action.run()

    assert [(command.run, command.anyway) for command in started] == [(changed.id, True)]


def test_a_preset_is_chosen_by_its_card_and_says_about_how_long(qtbot, page):
    qtbot.waitUntil(lambda: page.session.advice.facts is not None)
    cards = {c.text(): c for c in page.findChildren(ChoiceCard)}
    assert "about" in cards["Quick"].accessibleDescription()
    assert "at most" in cards["Thorough"].accessibleDescription()

    qtbot.mouseClick(cards["Quick"], Qt.MouseButton.LeftButton)

    assert page.session.config == preset_config("quick")


@pytest.fixture
def live(qtbot, open_session, split_folder):
    live = TrainLive(open_session(split_folder))
    qtbot.addWidget(live)
    live.resize(1100, 700)
    live.show()
    return live


def label_of(live: TrainLive) -> str:
    row = live.findChild(ProgressRow)
    return row.bar.accessibleName() if row is not None else ""


def test_progress_names_epoch_and_the_longest_time_left(live):
    live.take(run_started(None))
    live.take(epoch_finished("r1", 1))
    live.take(batch_finished("r1", step=15))
    live.refresh()

    assert label_of(live) == "Epoch 2 of 8"
    bar = live.findChild(ProgressRow).bar
    assert bar.accessibleDescription() == "at most 1 min 30 s left"
    assert bar.value() == round(1000 * 1.5 / 8)


def test_stages_without_epochs_name_themselves_and_hide_the_curves(live):
    live.take(run_started(None, max_epochs=0))
    live.take(RunProgressed(run="r1", stage="Describing images", done=30, total=90))
    live.refresh()

    assert label_of(live) == "Describing images: 30 of 90"
    live.take(batch_finished("r1", step=1))
    live.refresh()
    assert not live.findChild(LearningCurves).isVisible()


def test_a_thousand_batches_are_kept_and_drawn_a_few_times(qtbot, live, monkeypatch):
    live.take(run_started(None))
    live.take(batch_finished("r1", step=1))
    live.refresh()
    curves = live.findChild(LearningCurves)
    n_drawn = []
    monkeypatch.setattr(curves, "redraw", lambda: n_drawn.append(1))
    monkeypatch.setattr(StatTile, "set_value", lambda *_: n_drawn.append(1))

    for step in range(2, 1002):
        live.take(batch_finished("r1", step=step))
    assert not n_drawn  # nothing is drawn inside an event
    qtbot.wait(250)

    assert len(n_drawn) < 20
    assert curves.to_csv().count("batch,") == 1001


def test_a_burst_through_the_engine_arrives_with_its_epochs(qtbot, engine, page):
    def burst(command, control):
        yield run_started(command)
        for step in range(1, 401):
            yield batch_finished("r1", step=step)
            if step % 10 == 0:
                yield epoch_finished("r1", step // 10, val_auroc=0.5 + step / 1000)
        yield RunFinished(run="r1", outcome=COMPLETED, result={"run": "r1", "val_auroc": 0.9})

    engine.runs("train", burst)
    press(page, "Start")
    qtbot.waitUntil(lambda: is_idle(page), timeout=10_000)

    assert page.findChild(TrainLive).best_auroc == 0.9
    assert page.findChild(LearningCurves).to_csv().count("epoch,") == 40


def test_validation_images_show_their_prediction_right_or_wrong(live):
    record = live._session.snapshot.records[0]
    wrong = SamplePrediction(record=record.id, label=0, probabilities=(0.2, 0.8))
    gone = SamplePrediction(record=9999, label=0, probabilities=(0.9, 0.1))
    live.take(run_started(None))
    event = epoch_finished("r1", 1)
    live.take(type(event)(**{**{f: getattr(event, f) for f in event.__slots__}, "at": 0.0,
                             "samples": (wrong, gone)}))  # fmt: skip
    live.refresh()

    strip = live.findChild(SampleStrip)
    assert [(c.predicted, c.label, c.is_right) for c in strip.cells] == [
        ("Pneumonia", "Normal", False)
    ]
    assert "wrong" in strip.accessibleDescription()


def test_warnings_recoveries_and_pauses_stay_readable(live):
    notes = live.findChild(TrainNotes)
    live.take(run_started(None))
    live.take(Warned(run="r1", message="Few images.", remedy="Add some."))
    live.take(Warned(run="r1", message="Few images.", remedy="Add some."))
    live.take(Recovered(run="r1", message="Continued with half the batch."))
    live.take(RunPaused(run="r1", reason="The disk is full."))

    assert notes.texts == ["Few images. Add some.", "Continued with half the batch."]
    assert notes.pause_reason == "The disk is full."


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (RunState.CANCELING, "Canceled; nothing was kept"),
        (RunState.RUNNING, "Interrupted; it can be continued"),  # nobody asked to cancel
    ],
)
def test_the_end_says_how_it_went(live, monkeypatch, state, says):
    live.take(run_started(None))
    monkeypatch.setattr(live._session.runs, "_state", state)
    live.take(RunFinished(run="r1", outcome=CANCELED))
    assert label_of(live) == says


def test_without_a_split_the_page_says_what_to_do(qtbot, open_session, project_folder):
    page = TrainPanel(open_session(project_folder))
    qtbot.addWidget(page)
    page.show()

    assert not button(page, "Start").isEnabled()
    with qtbot.waitSignal(page.stage_requested) as asked:
        press(page, "Make a split")
    assert asked.args == [Stage.SPLIT]


def test_without_a_project_the_page_leads_to_the_data(qtbot, session):
    page = TrainPanel(session)
    qtbot.addWidget(page)
    page.show()

    with qtbot.waitSignal(page.stage_requested) as asked:
        press(page, "Go to the data")
    assert asked.args == [Stage.DATA]


def test_a_page_opened_during_a_run_catches_up(qtbot, engine, open_session, split_folder):
    session = open_session(Path(split_folder))
    engine.runs("train", endless_run)
    session.runs.start(Train(project=str(split_folder), config=preset_config("standard")))
    qtbot.waitUntil(lambda: session.runs.state is RunState.RUNNING)

    page = TrainPanel(session)
    qtbot.addWidget(page)
    page.show()

    qtbot.waitUntil(lambda: page.findChild(LearningCurves) is not None)
    curves = page.findChild(LearningCurves)
    assert curves is not None
    qtbot.waitUntil(lambda: curves.to_csv().count("batch,") > 2)
    assert page.header.primary is button(page, "Stop and keep best")


def test_a_method_that_needs_weights_waits_for_them(page: TrainPanel) -> None:
    start = next(b for b in page.findChildren(QPushButton) if b.text() == "Start")
    config = preset_config("standard", method="soft_threshold")
    random = replace(config.backbone, key="resnet18", weights="scratch")
    page.session.choose(replace(config, backbone=random))
    assert not start.isEnabled()
    texts = [label.text() for label in page.findChildren(QLabel) if label.isVisible()]
    assert any(text.startswith("Soft threshold needs a pre-trained backbone") for text in texts)
    page.session.choose(
        replace(config, backbone=random, method=replace(config.method, key="full_finetune"))
    )
    assert start.isEnabled()
