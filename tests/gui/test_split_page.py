"""The split page: making, proving, and saying when a split is out of date."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.contract.events import COMPLETED, FAILED, JobFinished, JobStarted
from engine.project import labels
from engine.project.store import Project
from gui.panels.split import SplitPanel
from gui.stages import Stage


@pytest.fixture
def panel(qtbot, open_session, project_folder):
    panel = SplitPanel(open_session(project_folder))
    qtbot.addWidget(panel)
    panel.show()
    return panel


@pytest.fixture
def split_panel(qtbot, open_session, split_folder):
    panel = SplitPanel(open_session(split_folder))
    qtbot.addWidget(panel)
    panel.show()
    return panel


def test_without_images_it_sends_to_the_data(qtbot, session):
    panel = SplitPanel(session)
    qtbot.addWidget(panel)
    assert not panel._empty.isHidden()
    with qtbot.waitSignal(panel.stage_requested) as asked:
        panel._empty.action_requested.emit()
    assert asked.args == [Stage.DATA]


def test_primary_button_makes_the_split_with_the_shares(qtbot, panel, engine):
    panel.details._shares[1].setValue(20)
    panel.details._seed.setValue(5)
    assert panel._go.text() == "Make the split"
    panel._go.click()
    qtbot.waitUntil(lambda: len(engine.asked("split")) == 1)
    [command] = engine.asked("split")
    assert command.fractions == pytest.approx((0.65, 0.2, 0.15))
    assert command.seed == 5


def test_a_good_split_is_proved_and_leads_to_the_model(qtbot, split_panel):
    assert split_panel._proof.accessibleName() == (
        "No patient is in two parts: checked 12 patients."
    )
    with qtbot.waitSignal(split_panel.stage_requested) as asked:
        split_panel._go.click()
    assert asked.args == [Stage.MODEL]


def test_bars_hold_the_images_of_each_part(split_panel):
    text = split_panel._bars.accessibleDescription()
    assert "Training: 16 images (Normal 8, Pneumonia 8)" in text
    assert "Test: 4 images (Normal 2, Pneumonia 2)" in text


def test_changed_labels_make_it_stale_and_offer_a_new_one(qtbot, split_panel, engine):
    session = split_panel.session
    record = session.snapshot.records[0]
    with qtbot.waitSignal(session.snapshot_changed):
        session.change(labels.exclude, [record.id], "Duplicate")
    assert "changed since" in split_panel._proof.accessibleName()
    assert split_panel._go.text() == "Make a new split"
    split_panel._go.click()
    qtbot.waitUntil(lambda: len(engine.asked("split")) == 1)


def test_failure_is_a_red_stop_with_what_to_do(qtbot, panel, engine):
    engine.plays(
        "split",
        JobStarted(kind="split"),
        JobFinished(
            kind="split",
            outcome=FAILED,
            error="Class “rare” has 2 patients.",
            remedy="Merge it with another class.",
        ),
    )
    panel._go.click()
    qtbot.waitUntil(lambda: panel._proof.accessibleName() == "Class “rare” has 2 patients.")
    assert panel._proof.accessibleDescription() == "Merge it with another class."


def test_overlap_stops_in_red(qtbot, open_session, split_folder):
    with Project.open(split_folder) as project:
        summary = project.split_summary()
        assert summary is not None
        assignment = {record.id: record.split for record in project.records()}
        project.save_split(assignment, replace(summary, overlap=3))
    panel = SplitPanel(open_session(split_folder))
    qtbot.addWidget(panel)
    assert panel._proof.accessibleName() == "Stop: 3 patients in more than one part."
    assert panel._go.text() == "Make a new split"


def test_adopted_split_says_so(qtbot, open_session, split_folder):
    with Project.open(split_folder) as project:
        summary = project.split_summary()
        assert summary is not None
        assignment = {record.id: record.split for record in project.records()}
        project.save_split(
            assignment, replace(summary, origin="adopted", fractions=None, seed=None)
        )
    panel = SplitPanel(open_session(split_folder))
    qtbot.addWidget(panel)
    assert panel.header.accessibleDescription() == "Adopted from the label sheet"


def test_shares_always_sum_to_a_hundred(qtbot, panel):
    boxes = panel.details._shares
    for place, value in ((0, 50), (1, 40), (2, 60), (0, 90), (2, 5), (1, 90)):
        boxes[place].setValue(value)
        assert sum(box.value() for box in boxes) == 100
        assert all(box.value() >= 5 for box in boxes)


def test_it_says_how_patients_are_told_apart(panel):
    assert panel._source.text().startswith("12 patients known by an id")


def test_it_says_where_the_patient_ids_came_from(qtbot, open_session, project_folder):
    with Project.open(project_folder) as project:
        project.note_patient_source("column")
    panel = SplitPanel(open_session(project_folder))
    qtbot.addWidget(panel)
    assert panel._source.text() == "12 patients known by the id in the label sheet."


def test_new_split_after_success_shows_the_model_button(qtbot, split_panel, engine):
    engine.plays("split", JobStarted(kind="split"), JobFinished(kind="split", outcome=COMPLETED))
    split_panel._again.click()
    qtbot.waitUntil(lambda: split_panel._go.text() == "Choose a model")
