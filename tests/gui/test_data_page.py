"""The dataset browser: selecting, labelling, excluding, filtering, looking."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PySide6.QtCore import QItemSelectionModel, QPoint, Qt
from PySide6.QtWidgets import QDialog

from engine.contract.events import COMPLETED, FAILED, JobFinished, JobStarted
from engine.contract.records import AuditReport, Finding
from engine.project import labels
from engine.project.store import Project
from gui.dialogs.class_edit import ClassesDialog
from gui.dialogs.exclude_reason import ExcludeDialog
from gui.panels.data import DataPanel
from gui.stages import Stage
from tests.helpers.made_project import make_project


@pytest.fixture
def panel(qtbot, open_session, split_folder):
    panel = DataPanel(open_session(split_folder))
    panel.resize(1180, 700)
    panel.show()
    qtbot.waitExposed(panel)
    panel.activateWindow()
    panel.on_shown()
    yield panel
    panel.close()
    panel.deleteLater()


def select(panel, *places):
    model, selection = panel.grid.images, panel.grid.selectionModel()
    flags = QItemSelectionModel.SelectionFlag
    selection.setCurrentIndex(model.index(places[0]), flags.ClearAndSelect)
    for place in places[1:]:
        selection.select(model.index(place), flags.Select)


def wait_for(qtbot, session):
    return qtbot.waitSignal(session.snapshot_changed, timeout=5_000)


def test_header_counts_images_patients_and_classes(panel):
    assert panel.header.accessibleDescription() == "24 images · 12 patients · 2 classes"


def test_first_image_is_selected_so_that_there_is_something_to_see(panel):
    assert panel.grid.selected_ids() == [panel.session.snapshot.records[0].id]


def test_number_keys_label_every_selected_image(qtbot, panel):
    session = panel.session
    second = session.snapshot.classes[1]
    select(panel, 0, 1, 2)
    ids = panel.grid.selected_ids()
    with wait_for(qtbot, session):
        qtbot.keyClick(panel.grid, Qt.Key.Key_2)
    assert {session.snapshot.by_id[i].class_id for i in ids} == {second.id}
    assert panel.grid.selected_ids() == ids


def test_number_keys_in_the_filter_are_text(qtbot, panel):
    panel.filters.focus_text()
    qtbot.keyClick(panel.filters._text, Qt.Key.Key_2)
    assert panel.filters._text.text() == "2"
    qtbot.wait(50)
    assert not panel.session.snapshot.can_undo


def test_label_buttons_show_what_the_selection_has_in_common(qtbot, panel):
    first, second = panel.session.snapshot.classes
    select(panel, 0)
    panel._show_selection()
    buttons = panel.side.labels._buttons
    assert buttons[first.id]._is_current
    assert not buttons[second.id]._is_current
    both = [0, next(i for i, r in enumerate(panel.grid.images.records) if r.class_id == second.id)]
    select(panel, *both)
    panel._show_selection()
    assert not any(button._is_current for button in buttons.values())


def test_undo_and_redo_take_labels_back_and_forth(qtbot, panel):
    session = panel.session
    first, second = session.snapshot.classes
    record = session.snapshot.records[0]
    with wait_for(qtbot, session):
        panel.edits.give_label(second.id)
    with wait_for(qtbot, session):
        panel.side.labels.undo_requested.emit()
    assert session.snapshot.by_id[record.id].class_id == first.id
    with wait_for(qtbot, session):
        panel.side.labels.redo_requested.emit()
    assert session.snapshot.by_id[record.id].class_id == second.id


def test_excluded_images_keep_their_reason_and_can_come_back(qtbot, panel):
    session = panel.session
    select(panel, 0, 1)
    ids = panel.grid.selected_ids()
    panel.edits.ask_exclude()
    dialog = panel.findChild(ExcludeDialog)
    dialog._reason.setCurrentText("Metal everywhere")
    with wait_for(qtbot, session):
        dialog._on_accepted()
    assert {session.snapshot.by_id[i].excluded for i in ids} == {"Metal everywhere"}
    tip = panel.grid.images.index(0).data(Qt.ItemDataRole.AccessibleTextRole)
    assert "Excluded: Metal everywhere" in tip
    with wait_for(qtbot, session):
        panel.side.labels.include_requested.emit()
    assert {session.snapshot.by_id[i].excluded for i in ids} == {None}


@pytest.mark.parametrize(
    ("text", "n_shown"),
    [("pneumonia", 12), ("P0003", 2), ("test normal", 2), ("dx", 12), ("1/image", 8), ("zzz", 0)],
)
def test_words_filter_by_class_patient_split_modality_and_file(qtbot, panel, text, n_shown):
    panel.filters._text.setText(text)
    qtbot.waitUntil(lambda: panel.filters.query.text == text)
    assert len(panel.grid.images.records) == n_shown
    assert panel.header.accessibleDescription().startswith(f"{n_shown} of 24")


def test_no_match_offers_to_clear_the_filter(qtbot, panel):
    panel.filters._text.setText("zzz")
    qtbot.waitUntil(lambda: panel._stack.currentWidget() is panel._no_match)
    panel._no_match.action_requested.emit()
    assert panel._stack.currentWidget() is panel.grid
    assert len(panel.grid.images.records) == 24


def test_chips_filter_by_class(qtbot, panel):
    chip = panel.filters._class
    chip._fill()
    chip._group.actions()[2].trigger()
    assert {r.class_id for r in panel.grid.images.records} == {panel.session.snapshot.classes[1].id}
    assert chip.text() == "Class: Pneumonia"


def test_order_by_class_puts_classes_together(panel):
    chip = panel.filters._sort
    chip._fill()
    chip._group.actions()[1].trigger()
    ids = [record.class_id for record in panel.grid.images.records]
    assert ids == sorted(ids)


def test_order_by_suspicion_is_offered_once_an_audit_doubts_labels(qtbot, panel):
    session = panel.session
    chip = panel.filters._sort
    chip._fill()
    assert [a.text() for a in chip._group.actions()] == ["name", "class", "patient"]
    ids = [r.id for r in session.snapshot.records]
    doubtful = Finding(
        kind="label_suspects", key="", severity="medium", n=2, sentence="", records=(ids[9], ids[4])
    )
    report = AuditReport(findings=(doubtful,), n_images=24, checks={}, data_digest="")
    with wait_for(qtbot, session):
        session.change(Project.save_audit, report)
    chip._fill()
    chip._group.actions()[3].trigger()
    assert [r.id for r in panel.grid.images.records][:3] == [ids[9], ids[4], ids[0]]


def test_grades_can_be_put_in_order_and_keys_follow(qtbot, open_session, tmp_path):
    folder = make_project(tmp_path / "p.radtune", classes=["severe", "mild", "none"])
    with Project.open(folder) as project:
        project.set_task("ordinal")
    session = open_session(folder)
    panel = DataPanel(session)
    qtbot.addWidget(panel)
    severe, mild, none = (c.id for c in session.snapshot.classes)
    panel.edits.edit_classes(severe)
    dialog = panel.findChild(ClassesDialog)
    assert dialog is not None
    assert dialog.windowTitle() == "Grades, low to high"
    for _ in range(2):
        with wait_for(qtbot, session):
            dialog._down.click()
    assert [c.id for c in session.snapshot.classes] == [mild, none, severe]
    panel._show_selection()
    assert [panel.side.labels.class_of_key(k) for k in (1, 2, 3)] == [mild, none, severe]
    assert panel.filters._class.text() == "Grade: all"
    with wait_for(qtbot, session):
        panel.edits.undo()
    assert [c.id for c in session.snapshot.classes] == [mild, severe, none]
    dialog.close()


def test_classes_of_one_label_an_image_have_no_order_to_change(panel):
    panel.edits.edit_classes(0)
    dialog = panel.findChild(ClassesDialog)
    assert not dialog._up.isVisibleTo(dialog)
    dialog._move_down()
    assert not panel.session.snapshot.can_undo
    dialog.close()


def test_label_change_keeps_place_and_selection(qtbot, panel):
    session = panel.session
    select(panel, 5, 6)
    before = panel.grid.selected_ids()
    with wait_for(qtbot, session):
        panel.edits.give_label(session.snapshot.classes[0].id)
    assert panel.grid.selected_ids() == before


def test_image_that_leaves_the_filter_gives_its_place_to_the_next(qtbot, panel):
    session = panel.session
    _, second = session.snapshot.classes
    panel.filters._class._fill()
    panel.filters._class._group.actions()[1].trigger()
    shown = [r.id for r in panel.grid.images.records]
    select(panel, 3)
    with wait_for(qtbot, session):
        panel.edits.give_label(second.id)
    assert panel.grid.current_record().id == shown[4]


def test_full_image_is_asked_for_and_shown(qtbot, panel, engine, tmp_path):
    def script(command, control):
        del control
        values = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
        np.save(command.out, values)
        yield JobStarted(kind="view")
        yield JobFinished(
            kind="view",
            outcome=COMPLETED,
            result={
                "path": command.out,
                "window_center": 1500.0,
                "window_width": 900.0,
                "is_inverted": True,
            },
        )

    engine.runs("view", script)
    select(panel, 4)
    qtbot.waitUntil(lambda: panel.side.view.window_level == (1500.0, 900.0), timeout=5_000)
    assert panel.side.view.canvas.is_inverted
    panel.side.view.reset()
    assert panel.side.view.canvas.is_inverted
    assert engine.asked("view")[-1].record == panel.grid.current_record().id


def test_arrow_keys_held_down_ask_for_the_last_image_only(qtbot, panel, engine):
    qtbot.waitUntil(lambda: len(engine.asked("view")) == 1)
    for _ in range(8):
        qtbot.keyClick(panel.grid, Qt.Key.Key_Right)
    qtbot.waitUntil(lambda: len(engine.asked("view")) == 2)
    qtbot.wait(250)
    assert [c.record for c in engine.asked("view")][1:] == [panel.grid.current_record().id]


def test_unreadable_original_says_why_and_keeps_the_thumbnail(qtbot, panel, engine):
    engine.plays(
        "view",
        JobStarted(kind="view"),
        JobFinished(kind="view", outcome=FAILED, error="The file is gone.", remedy="Find it."),
    )
    select(panel, 2)
    qtbot.waitUntil(lambda: panel.side._trouble.text() == "The file is gone. Find it.")
    assert panel.side.view.canvas.pixels is not None


def test_what_the_network_sees_comes_from_the_cache(qtbot, panel):
    select(panel, 7)
    panel._show_selection()
    panel.side._network.setChecked(True)
    pixels = panel.side.view.canvas.pixels
    assert (pixels.width, pixels.height) == (224, 224)
    assert int(pixels.level(0)[0, 0]) == 10 + panel.grid.current_record().row


@pytest.mark.parametrize(
    ("is_split", "text", "stage"),
    [(False, "Check the data", Stage.AUDIT), (True, "Train…", Stage.TRAIN)],
)
def test_primary_button_leads_to_the_next_step(
    qtbot, open_session, tmp_path, is_split, text, stage
):
    panel = DataPanel(open_session(make_project(tmp_path / "p.radtune", is_split=is_split)))
    qtbot.addWidget(panel)
    assert panel._next.text() == text
    with qtbot.waitSignal(panel.stage_requested) as asked:
        panel._next.click()
    assert asked.args == [stage]


def test_after_an_audit_the_patients_are_split(qtbot, open_session, project_folder):
    with Project.open(project_folder) as project:
        project.save_audit(AuditReport(findings=(), n_images=24, checks={}, data_digest=""))
    panel = DataPanel(open_session(project_folder))
    qtbot.addWidget(panel)
    assert panel._next.text() == "Split the patients"


def test_one_class_alone_is_not_enough_to_go_on(qtbot, open_session, tmp_path):
    panel = DataPanel(open_session(make_project(tmp_path / "p.radtune", classes=["Normal"])))
    qtbot.addWidget(panel)
    assert not panel._next.isEnabled()
    assert "two classes" in panel._next.toolTip()


def test_project_without_images_says_what_to_do(qtbot, open_session, tmp_path):
    Project.create(tmp_path / "empty.radtune").close()
    panel = DataPanel(open_session(tmp_path / "empty.radtune"))
    qtbot.addWidget(panel)
    assert panel._pages.currentWidget() is panel._empty
    with qtbot.waitSignal(panel.add_requested):
        panel._empty.action_requested.emit()


def test_moved_originals_are_noticed_and_found_again(qtbot, open_session, tmp_path, monkeypatch):
    folder = make_project(tmp_path / "p.radtune")
    shutil.move(tmp_path / "p.images", tmp_path / "elsewhere")
    messages = []
    session = open_session(folder)
    panel = DataPanel(session)
    qtbot.addWidget(panel)
    panel.message_requested.connect(lambda *message: messages.append(message))
    qtbot.waitUntil(lambda: len(messages) == 1)
    _, what, _, actions = messages[0]
    assert "24 images" in what
    monkeypatch.setattr(
        "gui.relink.QFileDialog.getExistingDirectory", lambda *args: str(tmp_path / "elsewhere")
    )
    actions[0].run()
    qtbot.waitUntil(lambda: len(messages) == 2)
    assert messages[1][1] == "24 images found again."


def test_classes_can_be_renamed_merged_and_left_out(qtbot, panel):
    session = panel.session
    _, second = session.snapshot.classes
    panel.edits.edit_classes(second.id)
    dialog = panel.findChild(ClassesDialog)
    dialog._name.setText("肺炎")
    with wait_for(qtbot, session):
        dialog._rename()
    assert session.snapshot.classes[1].name == "肺炎"
    with wait_for(qtbot, session):
        dialog._left_out.click()
    assert session.snapshot.classes[1].is_left_out
    with wait_for(qtbot, session):
        dialog._left_out.click()
    with wait_for(qtbot, session):
        dialog._merge()
    assert [c.name for c in session.snapshot.classes] == ["Normal"]
    dialog.close()


def test_refused_rename_comes_back_as_a_message(qtbot, panel):
    session = panel.session
    first, second = session.snapshot.classes
    with qtbot.waitSignal(session.failed) as failed:
        session.change(labels.rename_class, first.id, second.name)
    assert failed.args[0].remedy


def test_positive_class_can_be_exchanged_from_the_menu(qtbot, panel):
    session = panel.session
    first = session.snapshot.classes[0]
    assert not first.is_positive
    with wait_for(qtbot, session):
        panel.side.classes.positive_requested.emit(first.id)
    assert session.snapshot.classes[0].is_positive
    panel.side.classes._show_menu(QPoint(5, 5))


def test_dialogs_are_not_modal(qtbot, panel):
    panel.edits.ask_exclude()
    panel.edits.edit_classes(0)
    assert [d.isModal() for d in panel.findChildren(QDialog)] == [False, False]
    for dialog in panel.findChildren(QDialog):
        dialog.close()


def test_changes_in_quick_succession_all_count(qtbot, panel):
    session = panel.session
    _, second = session.snapshot.classes
    ids = [r.id for r in session.snapshot.records if r.class_id != second.id][:3]
    for record in ids:
        session.change(labels.set_labels, [record], second.id)
    session.change(labels.exclude, ids[:1], "Duplicate")
    qtbot.waitUntil(lambda: session.snapshot.by_id[ids[0]].excluded == "Duplicate")
    assert {session.snapshot.by_id[i].class_id for i in ids} == {second.id}
    with Project.open(session.folder, read_only=True) as project:
        assert list(session.snapshot.records) == project.records()
