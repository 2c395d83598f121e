"""Several findings an image: saying what is present, absent and unknown, and seeing who did."""

from __future__ import annotations

import getpass
from contextlib import contextmanager
from typing import Any

import pytest
from PySide6.QtCore import QItemSelectionModel, QPoint, Qt
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QApplication

from engine.project import labels
from engine.project.store import Project
from gui.dialogs.class_edit import ClassesDialog
from gui.itemmodels.image_query import FindingIs, Reading
from gui.itemmodels.label_states import Mark
from gui.itemmodels.thumbnail_delegate import short_list
from gui.panels.data import DataPanel
from gui.panels.train import TrainPanel
from gui.stages import Stage, stage_state
from gui.theme import theme
from gui.widgets.stage_rail import StageState
from tests.helpers.findings_project import make_findings_project

BOTH, ONE, NONE, UNREAD = 0, 1, 2, 3
"""Places of the first images, by what they show."""


@pytest.fixture
def panel(qtbot, open_session, tmp_path):
    panel = DataPanel(open_session(make_findings_project(tmp_path / "p.radtune")))
    panel.resize(1180, 700)
    panel.show()
    qtbot.waitExposed(panel)
    panel.activateWindow()
    panel.on_shown()
    yield panel
    panel.close()
    panel.deleteLater()


@pytest.fixture
def classes(panel):
    return [c.id for c in panel.session.snapshot.classes]


def select(panel, *places):
    model, selection = panel.grid.images, panel.grid.selectionModel()
    flags = QItemSelectionModel.SelectionFlag
    selection.setCurrentIndex(model.index(places[0]), flags.ClearAndSelect)
    for place in places[1:]:
        selection.select(model.index(place), flags.Select)
    panel._show_selection()


@contextmanager
def changed(qtbot, panel):
    """Wait until a change has been made, read and shown."""
    with qtbot.waitSignal(panel.session.snapshot_changed, timeout=5_000):
        yield
    panel._show_selection()


def values(panel, place):
    """Return what is known of the findings of an image, in their order."""
    record = panel.grid.images.records[place]
    return [record.findings.get(c.id) for c in panel.session.snapshot.classes]


def marks(panel, classes):
    return [panel.side.labels.findings.row(class_id).mark for class_id in classes]


def test_card_shows_present_absent_unknown_and_what_differs(panel, classes):
    select(panel, ONE)
    assert marks(panel, classes) == [Mark.PRESENT, Mark.ABSENT, Mark.UNKNOWN]
    select(panel, BOTH, NONE)
    assert marks(panel, classes) == [Mark.MIXED, Mark.MIXED, Mark.ABSENT]
    row = panel.side.labels.findings.row(classes[0])
    assert row.accessibleName() == "Pneumonia"
    assert row.accessibleDescription() == "mixed, 1 present, 1 absent, key 1"
    assert row.button(Mark.PRESENT).accessibleName() == "Pneumonia: present"
    assert row.button(Mark.PRESENT).accessibleDescription() == "so in some"
    assert [row.button(mark).text() for mark in (Mark.PRESENT, Mark.ABSENT, Mark.UNKNOWN)] == [
        *("+", "−", "?")
    ]


def test_number_keys_make_a_finding_present_everywhere_then_absent(qtbot, panel):
    select(panel, BOTH, NONE, UNREAD)
    with changed(qtbot, panel):
        qtbot.keyClick(panel.grid, Qt.Key.Key_2)
    assert [values(panel, place)[1] for place in (BOTH, NONE, UNREAD)] == [1, 1, 1]
    with changed(qtbot, panel):
        qtbot.keyClick(panel.grid, Qt.Key.Key_2)
    assert [values(panel, place)[1] for place in (BOTH, NONE, UNREAD)] == [0, 0, 0]
    assert values(panel, BOTH)[0] == 1  # others are left alone


def test_zero_says_that_there_is_no_finding_and_control_that_one_is_unknown(qtbot, panel):
    select(panel, BOTH, UNREAD)
    with changed(qtbot, panel):
        qtbot.keyClick(panel.grid, Qt.Key.Key_0)
    assert values(panel, BOTH) == values(panel, UNREAD) == [0, 0, 0]
    with changed(qtbot, panel):
        qtbot.keyClick(panel.grid, Qt.Key.Key_3, Qt.KeyboardModifier.ControlModifier)
    assert values(panel, BOTH) == [0, 0, None]
    with changed(qtbot, panel):
        panel.side.labels.undo_requested.emit()
    with changed(qtbot, panel):
        panel.side.labels.undo_requested.emit()
    assert (values(panel, BOTH), values(panel, UNREAD)) == ([1, 1, 0], [None, None, None])
    with changed(qtbot, panel):
        panel.side.labels.redo_requested.emit()
    assert values(panel, UNREAD) == [0, 0, 0]


def test_what_is_so_already_is_no_step_of_the_history(qtbot, panel, classes):
    select(panel, NONE)
    panel.edits.give_no_finding()
    panel.edits.give_mark(classes[0], Mark.ABSENT)
    qtbot.wait(100)
    assert not panel.session.snapshot.can_undo


def test_changes_in_quick_succession_all_count(qtbot, panel, classes):
    session = panel.session
    ids = [record.id for record in session.snapshot.records]
    for class_id in classes:
        session.change(labels.set_finding, ids[:2], class_id, 1)
    session.change(labels.set_no_finding, ids[2:4])
    qtbot.waitUntil(lambda: values(panel, UNREAD) == [0, 0, 0])
    with Project.open(session.folder, read_only=True) as project:
        assert list(session.snapshot.records) == project.records()
        assert sorted(session.snapshot.by_name, key=lambda r: r.id) == project.records()
        n_present = {c.id: c.n_images for c in project.classes()}
    assert {k: m.n_present for k, m in session.snapshot.marks.items()} == n_present


def test_every_state_is_one_click_away(qtbot, panel, classes):
    select(panel, ONE)
    row = panel.side.labels.findings.row(classes[1])
    for mark, value in ((Mark.PRESENT, 1), (Mark.UNKNOWN, None), (Mark.ABSENT, 0)):
        with changed(qtbot, panel):
            qtbot.mouseClick(row.button(mark), Qt.MouseButton.LeftButton)
        assert values(panel, ONE)[1] == value
    with changed(qtbot, panel):
        qtbot.mouseClick(row, Qt.MouseButton.LeftButton, pos=QPoint(20, 8))
    assert values(panel, ONE)[1] == 1
    assert QApplication.focusWidget() is panel.grid  # number keys go on working


def test_rows_work_by_keyboard_and_are_one_stop_of_the_tab_key(qtbot, panel, classes):
    select(panel, ONE)
    first, second, _ = (panel.side.labels.findings.row(c) for c in classes)
    qtbot.waitUntil(first.isVisible)
    first.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.keyClick(first, Qt.Key.Key_Down)
    assert second.hasFocus()
    stops = [panel.side.labels.findings.row(c).focusPolicy() for c in classes]
    assert stops == [Qt.FocusPolicy.NoFocus, Qt.FocusPolicy.TabFocus, Qt.FocusPolicy.NoFocus]
    for key, value in ((Qt.Key.Key_Space, 1), (Qt.Key.Key_Question, None), (Qt.Key.Key_Minus, 0)):
        with changed(qtbot, panel):
            qtbot.keyClick(second, key)
        assert values(panel, ONE)[1] == value


def test_rows_paint_in_both_themes_and_at_large_text(qtbot, panel):
    for scale in (1.0, 2.0):
        theme().set_text_scale(scale)
        theme().toggle()
        select(panel, BOTH, ONE)
        assert not panel.grab().isNull()


def test_images_say_which_findings_they_show(panel):
    images = panel.grid.images
    assert [images.label(images.records[place]) for place in range(4)] == [
        *("Pneumonia, Effusion", "Pneumonia", "No finding", "No label")
    ]
    tip = images.index(ONE).data(Qt.ItemDataRole.AccessibleTextRole)
    assert tip.startswith("Pneumonia, 1 unknown, P0001")


def test_long_lists_end_in_how_many_more_there_are(qtbot):
    metrics = QFontMetrics(theme().font("small"))
    names = ["Nodule", "Effusion", "Hernia"]
    whole = metrics.horizontalAdvance("Nodule, Effusion, Hernia")
    assert short_list(names, whole, metrics) == "Nodule, Effusion, Hernia"
    assert short_list(names, whole - 1, metrics) == "Nodule, Effusion +1"
    room = metrics.horizontalAdvance("Nodule +2")
    assert short_list(names, room, metrics) == "Nodule +2"
    assert short_list(names, room - 3, metrics).endswith("… +2")


def test_chips_filter_by_how_a_finding_stands(panel, classes):
    chip = panel.filters._finding
    chip._fill()
    texts = [action.text() for action in chip._group.actions()]
    assert texts[:4] == ["all", "+  present", "−  absent", "?  unknown"]
    chip._group.actions()[3].trigger()
    assert panel.filters.query.finding == FindingIs(classes[0], Mark.UNKNOWN)
    assert {r.findings.get(classes[0]) for r in panel.grid.images.records} == {None}
    assert (chip.text(), chip.accessibleName()) == (
        "Finding: ? Pneumonia",
        "Finding: Pneumonia unknown",
    )
    chip._fill()
    chip._group.actions()[-1].trigger()
    assert panel.filters.query.finding is Reading.UNREAD
    assert len(panel.grid.images.records) == 3


def test_only_chips_with_a_choice_are_shown(panel):
    filters = panel.filters
    assert filters._finding.isVisible()
    assert filters._site.isVisible()
    assert filters._view.isVisible()
    hidden = (filters._class, filters._modality, filters._split)
    assert not any(chip.isVisible() for chip in hidden)
    filters._view._fill()
    entries = [action.text() for action in filters._view._group.actions()]
    assert entries == ["all", "AP", "PA", "not known"]
    filters._view._group.actions()[3].trigger()
    assert {r.view for r in panel.grid.images.records} == {None}


@pytest.mark.parametrize(
    ("text", "n_shown"), [("effusion", 3), ("pneumonia", 6), ("effusion ap", 1), ("nodule", 0)]
)
def test_words_find_present_findings_sites_and_views(qtbot, panel, text, n_shown):
    panel.filters._text.setText(text)
    qtbot.waitUntil(lambda: panel.filters.query.text == text)
    assert len(panel.grid.images.records) == n_shown


def test_chips_wrap_below_the_text_in_a_narrow_window(qtbot, panel):
    filters = panel.filters
    panel.resize(1180, 700)
    qtbot.waitUntil(lambda: filters._chips.y() < filters._text.geometry().bottom())
    panel.resize(600, 700)
    qtbot.waitUntil(lambda: filters._chips.y() > filters._text.geometry().bottom())
    assert filters._sort.geometry().right() <= filters.width()


def test_side_panel_knows_study_site_and_person_and_shows_the_rest_of_the_study(panel):
    select(panel, 4)
    facts = dict(panel.side.facts._facts(panel.grid.current_record()))
    shown = {name: facts[name] for name in ("Site", "View", "Sex", "Age")}
    assert shown == {"Site": "Site 1", "View": "AP", "Sex": "F", "Age": "44 years"}
    record = panel.grid.current_record()
    assert facts["Study"].link.accessibleName() == f"{record.study[:8]}: 2 images"
    panel.side.facts._ask_study()
    assert [r.id for r in panel.grid.images.records] == [5, 6]
    assert panel.grid.current_record().id == record.id


def test_history_says_who_changed_what_and_what_was_taken_back(qtbot, panel, classes):
    history = panel.side.history
    select(panel, BOTH)
    history.fold.setChecked(True)
    qtbot.waitUntil(lambda: history.texts == ["Nothing was changed since the import."])
    with changed(qtbot, panel):
        panel.edits.give_mark(classes[2], Mark.PRESENT)
    with changed(qtbot, panel):
        panel.edits.give_no_finding()
    with changed(qtbot, panel):
        panel.edits.undo()
    with changed(qtbot, panel):
        panel.session.change(labels.exclude, [panel.grid.current_record().id], "Motion")
    qtbot.waitUntil(lambda: len(history.texts) == 2)
    newest, first = history.texts
    assert newest.startswith("Excluded: Motion; ")
    assert first.startswith("Nodule: absent → present; ")
    assert first.endswith(f" · {getpass.getuser()}")
    select(panel, ONE)
    qtbot.waitUntil(lambda: history.texts == ["Nothing was changed since the import."])


def test_one_finding_is_chosen_to_be_learned(qtbot, panel, classes):
    choice = panel.side.classes.learn
    assert choice.isVisible()
    assert choice._meaning.text().startswith("Not Pneumonia: 3 labelled images are without it")
    assert panel.header.accessibleDescription().endswith("3 findings, to learn: all")
    panel._learn_menu._fill()
    every, _, *one = panel._learn_menu.actions()
    assert (every.text(), every.isChecked()) == ("All findings\t3 findings", True)
    assert [(a.text(), a.isEnabled()) for a in one] == [
        ("Pneumonia\t6 present, 3 absent", True),
        ("Effusion\t3 present, 6 absent", True),
        ("Nodule\t0 present, 6 absent", False),
    ]
    with changed(qtbot, panel):
        one[1].trigger()
    assert panel.session.snapshot.learned.id == classes[1]
    assert choice._meaning.text() == "3 present, 6 absent. 3 unknown, left out of training."
    assert panel.session.snapshot.trained_names == ("no Effusion", "Effusion")
    with Project.open(panel.session.folder, read_only=True) as project:
        assert project.training_table().class_names == ("no Effusion", "Effusion")
    panel._learn_menu._fill()
    assert not panel._learn_menu.actions()[0].isChecked()
    with changed(qtbot, panel):
        panel._learn_menu.actions()[0].trigger()
    assert panel.session.snapshot.learned is None


def test_next_steps_ask_for_the_finding_instead_of_failing(qtbot, panel, classes, monkeypatch):
    session = panel.session
    assert panel._next.isEnabled()
    assert panel._next.text() == "Check the data"
    with qtbot.waitSignal(session.snapshot_changed):
        _split_all(session)
    assert panel._next.text() == "Choose what to learn…"
    assert stage_state(Stage.TRAIN, session.facts()) is StageState.EMPTY
    popped: list[Any] = []
    monkeypatch.setattr(panel._learn_menu, "popup", popped.append)
    panel._next.click()
    assert len(popped) == 1
    train = TrainPanel(session)
    qtbot.addWidget(train)
    assert "No finding can be learned yet" in train._empty.accessibleName()
    with qtbot.waitSignal(train.stage_requested) as asked:
        train._empty.action_requested.emit()
    assert asked.args == [Stage.DATA]
    with changed(qtbot, panel):
        panel.edits.learn(classes[0])
    assert panel._next.text() == "Train…"
    assert stage_state(Stage.TRAIN, session.facts()) is StageState.READY


def test_a_finding_that_is_absent_nowhere_is_still_missing(qtbot, panel, classes):
    session = panel.session
    with changed(qtbot, panel):
        panel.edits.learn(classes[0])
    assert not session.snapshot.is_finding_missing
    everywhere = [record.id for record in session.snapshot.records]
    with changed(qtbot, panel):
        session.change(labels.set_finding, everywhere, classes[0], 1)
    assert session.snapshot.is_finding_missing
    assert "absent in no image" in panel.side.classes.learn._meaning.text()


def test_order_of_findings_is_the_order_of_their_keys(qtbot, panel, classes):
    panel.edits.edit_classes(classes[2])
    dialog = panel.findChild(ClassesDialog)
    assert dialog.windowTitle() == "Findings"
    for _ in range(2):
        with changed(qtbot, panel):
            dialog._up.click()
    assert [c.id for c in panel.session.snapshot.classes] == [classes[2], *classes[:2]]
    assert panel.side.labels.findings.finding_of_key(1) == classes[2]
    assert not dialog._up.isEnabled()
    assert not dialog._positive.isEnabled()  # no image shows it
    dialog._list.setCurrentRow(1)
    assert dialog._positive.text() == "Learn this finding"
    with changed(qtbot, panel):
        dialog._positive.click()
    assert panel.session.snapshot.learned.id == classes[0]
    dialog.close()


def test_bars_count_the_images_that_show_a_finding(panel):
    bars = panel.side.classes._bars
    assert bars.accessibleDescription().startswith(
        "Pneumonia (not learned): 6 images, 3 patients, absent in 3, unknown in 3; "
        "Effusion (not learned): 3 images"
    )


def _split_all(session):
    from engine.contract.records import SPLITS, SplitSummary

    with Project.open(session.folder) as project:
        names = [c.name for c in project.classes()]
        assignment = {r.id: SPLITS[r.patient_id % 3] for r in project.records()}
        summary = SplitSummary(
            origin="made",
            counts={split: dict.fromkeys(names, 1) for split in SPLITS},
            n_patients=dict.fromkeys(SPLITS, 2),
            overlap=0,
            unit="patient",
            seed=0,
            fractions=(0.5, 0.25, 0.25),
            digest="0123456789abcdef",
        )
        project.save_split(assignment, summary)
    session.reload()
