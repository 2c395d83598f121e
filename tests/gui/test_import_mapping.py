"""Saying what a label sheet means before it is imported, and reading what an import found."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QModelIndex, QPoint, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication, QLabel, QMenu

from engine.contract.config_io import to_plain
from engine.contract.events import CANCELED, COMPLETED, FAILED, JobFinished, JobStarted
from engine.contract.import_rules import ColumnMapping, FramePolicy, SheetFormat
from engine.contract.records import ScanResult, SkippedFile, SourcePreview
from gui.dialogs import project_place
from gui.dialogs.label_meaning import looks_like_grades
from gui.dialogs.label_order import GradeOrder
from gui.dialogs.skipped_files import SkippedList
from gui.main_window import MainWindow
from gui.panels.import_summary import ImportSummary
from gui.preferences import Preferences
from gui.theme import theme

FOUND = SheetFormat(separator=",", encoding="utf-8", header_row=1)
SHEET = SourcePreview(
    source="",
    n_files=1000,
    class_folders=(("normal", 500), ("pneumonia", 500)),
    tables=("labels.csv", "second.csv"),
    table="labels.csv",
    columns=("file", "diagnosis", "person", "day", "sex"),
    rows=(("a_1.png", "Normal", "7", "2020-01-05", "F"), ("b_2.png", "Mass", "8", "", "M")),
    guess=ColumnMapping(path="file", label="diagnosis", patient="person", sex="sex", join="path"),
    format=FOUND,
    n_checked=1000,
    n_matched=996,
    task="single",
    classes=(("Normal", 600), ("Mass", 400)),
)
ONE_HOT = replace(
    SHEET,
    class_folders=(),
    columns=("file", "Effusion", "Mass", "Nodule", "age"),
    rows=(("a.png", "1", "0", "-1", "60"), ("b.png", "0", "1", "1", "61")),
    guess=ColumnMapping(path="file", labels=("Effusion", "Mass", "Nodule"), age="age", join="path"),
    task="multi",
    classes=(("Effusion", 10), ("Mass", 8), ("Nodule", 2)),
)
GRADES = replace(
    SHEET,
    class_folders=(),
    columns=("file", "KL grade"),
    rows=(("a.png", "Grade 2"), ("b.png", "Grade 10")),
    guess=ColumnMapping(path="file", label="KL grade", join="path"),
    n_checked=40,
    classes=(("Grade 10", 9), ("Grade 2", 8), ("Grade 1", 2)),
)
RESULT = ScanResult(
    n_images=3,
    n_skipped=0,
    skipped=(),
    n_patients=3,
    classes={"a": 2, "b": 1},
    positive="b",
    split=None,
    patient_source="column",
)
SKIPPED = (
    SkippedFile(path="late.png", reason="In the sheet but not found.", kind="unmatched"),
    SkippedFile(path="broken.dcm", reason="The file is cut off."),
    SkippedFile(path="plan.dcm", reason="An RT plan holds no image.", kind="not_image"),
    SkippedFile(path="=cmd.dcm", reason="The file is empty."),
)


@pytest.fixture
def window(qtbot, engine, tmp_path, monkeypatch):
    monkeypatch.setattr(project_place, "projects_folder", lambda: tmp_path / "documents")
    preferences = Preferences()
    preferences._settings.clear()
    window = MainWindow(engine.client(), preferences)
    window.resize(1366, 768)
    window.show()
    yield window
    window.close()
    window.deleteLater()
    preferences._settings.clear()


@pytest.fixture
def look_at(qtbot, window, engine, tmp_path):
    """Return a function that shows a preview's form."""
    source = tmp_path / "images"
    source.mkdir()

    def look(preview):
        answer(engine, replace(preview, source=str(source)))
        window.open_paths([source])
        page = window._import_page
        qtbot.waitUntil(lambda: page._stack.currentWidget() is page._form)
        return page

    return look


def answer(engine, preview):
    """Answer looks as the engine does: what was named counts as found."""

    def script(command, control):
        del control
        named = command.columns
        guess = replace(preview.guess, **{k: v for k, v in fields_of(named).items() if v})
        if named.join != "auto":
            guess = replace(guess, join=named.join)
        plain = to_plain(replace(preview, guess=guess))
        yield JobStarted(kind="preview")
        yield JobFinished(kind="preview", outcome=COMPLETED, result=plain)

    engine.runs("preview", script)


def fields_of(mapping):
    plain = to_plain(mapping)
    plain.pop("join")
    return {**plain, "labels": mapping.labels}


def choose(box, data):
    index = box.findData(data)
    assert index >= 0
    box.setCurrentIndex(index)
    box.activated.emit(index)


def choose_column(page, role, column):
    page._labels.columns.show_more()
    choose(page._labels.columns._boxes[role], column)


def imported(qtbot, page, engine):
    """Press Import and return the command."""
    engine.plays("scan", JobStarted(kind="scan"), JobFinished(kind="scan", outcome=CANCELED))
    page._go.click()
    qtbot.waitUntil(lambda: len(engine.asked("scan")) == 1)
    return engine.asked("scan")[0]


def looks(engine, n):
    return lambda: len(engine.asked("preview")) == n


def test_a_sheet_is_used_with_the_columns_and_the_join_that_were_found(qtbot, look_at, engine):
    page = look_at(SHEET)
    command = imported(qtbot, page, engine)
    assert command.labels_from == "sheet"
    assert command.labels is not None and Path(command.labels).name == "labels.csv"
    assert command.columns == replace(SHEET.guess, join="auto")
    assert command.label_rule.task == "auto"


def test_class_folders_can_be_chosen_though_a_sheet_lies_in_the_folder(qtbot, look_at, engine):
    page = look_at(SHEET)
    page._labels._by_folders.click()
    assert not page._labels._table.isVisible()
    command = imported(qtbot, page, engine)
    assert (command.labels, command.labels_from) == (None, "folders")
    assert command.columns == ColumnMapping()


def test_a_sheet_without_a_class_gives_patients_beside_the_class_folders(qtbot, look_at, engine):
    page = look_at(replace(SHEET, guess=replace(SHEET.guess, label=None)))
    assert page._labels.columns._boxes["label"].currentText() == "The class folders"
    assert not page._labels.problem
    command = imported(qtbot, page, engine)
    assert command.labels_from == "folders"
    assert command.labels is not None
    assert command.columns.patient == "person"


def test_none_chosen_by_hand_is_told_from_nothing_found(qtbot, look_at, engine):
    page = look_at(SHEET)
    choose_column(page, "sex", "")
    command = imported(qtbot, page, engine)
    assert command.columns.sex == ""  # the engine must not look for it by name
    assert command.columns.split is None


def test_a_column_has_one_role(look_at):
    page = look_at(SHEET)
    choose_column(page, "path", "diagnosis")
    assert page._labels.mapping.label == ""
    assert page._problem.text() == "Say which column holds the class."
    assert not page._go.isEnabled()


def test_the_keyboard_starts_where_something_is_missing(look_at):
    page = look_at(replace(SHEET, class_folders=(), guess=replace(SHEET.guess, label=None)))
    assert page._problem.text() == "Say which column holds the class."
    assert page._labels.columns._boxes["label"].hasFocus()


def test_folders_named_like_patients_are_pointed_out(look_at):
    folders = (("98892003", 17), ("PAT-77654033", 7))
    page = look_at(SourcePreview(source="", n_files=24, class_folders=folders))
    assert "numbers of patients" in page._labels._hint.text()
    page._labels.set_preview(replace(SHEET, tables=(), table=None), None)
    assert page._labels._hint.text() == ""


def test_the_head_of_a_column_gives_it_a_role(qtbot, look_at):
    page = look_at(SHEET)
    table = page._labels._table
    assert table.model().headerData(4, Qt.Orientation.Horizontal) == "day"
    assert table.role_of("day") == ""
    table._offer_roles(4, QPoint(0, 0))
    menu = table.findChild(QMenu)
    next(a for a in menu.actions() if a.data() == ("day", "date")).trigger()
    menu.close()
    assert page._labels.mapping.date == "day"
    assert table.role_of("day") == "date"
    page._labels.columns.show_more()
    assert page._labels.columns._boxes["date"].currentText() == "day"


def test_columns_with_a_role_stand_first_under_their_role(look_at):
    page = look_at(replace(SHEET, guess=ColumnMapping(path="sex", label="day", join="path")))
    model = page._labels._table.model()
    heads = [model.headerData(n, Qt.Orientation.Horizontal) for n in range(5)]
    assert heads == ["sex", "day", "file", "diagnosis", "person"]
    tip = model.headerData(0, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
    assert tip == "Image: sex"
    assert model.index(0, 1).data() == "2020-01-05"


def test_the_share_of_rows_that_were_found_is_said(look_at):
    page = look_at(SHEET)
    match = page._labels.match
    assert match.sentence == "996 of the first 1000 rows name an image of the folder."
    assert match._sentence.property("tone") == "good"


@pytest.mark.parametrize(
    ("n_matched", "n_checked", "sentence", "tone"),
    [
        (24, 24, "All of the 24 rows name an image of the folder.", "good"),
        (312, 1000, "312 of the first 1000 rows name an image of the folder.", "warning"),
        (0, 412, "None of the 412 rows name an image of the folder.", "bad"),
    ],
)
def test_tone_follows_the_share(look_at, n_matched, n_checked, sentence, tone):
    page = look_at(replace(SHEET, n_matched=n_matched, n_checked=n_checked))
    match = page._labels.match
    assert match.sentence == sentence
    assert match._sentence.property("tone") == tone
    assert ("right column" in match._explanation.text()) == (tone == "bad")


def test_another_image_column_is_compared_with_the_folder_again(qtbot, look_at, engine):
    page = look_at(SHEET)
    choose_column(page, "path", "day")
    assert page._labels.match.sentence == "Comparing the sheet with the folder…"
    qtbot.waitUntil(looks(engine, 2))
    assert engine.asked("preview")[1].columns.path == "day"
    qtbot.waitUntil(lambda: page._labels.match.sentence.startswith("996"))
    assert page._labels.mapping.path == "day"  # the answer doesn't undo the choice


def test_several_changes_in_a_row_ask_once(qtbot, look_at, engine):
    page = look_at(SHEET)
    for column in ("day", "person", "file"):
        choose_column(page, "path", column)
    qtbot.waitUntil(looks(engine, 2))
    qtbot.wait(400)
    assert len(engine.asked("preview")) == 2


def test_an_answer_to_an_older_question_does_not_count(qtbot, look_at, engine):
    page = look_at(SHEET)

    def slow(command, control):
        yield JobStarted(kind="preview")
        while not control.cancel_requested:
            control.wait_for_request(0.05)
        late = replace(SHEET, source=command.source, n_matched=1)
        yield JobFinished(kind="preview", outcome=COMPLETED, result=to_plain(late))

    engine.runs("preview", slow)
    choose_column(page, "path", "day")
    qtbot.waitUntil(looks(engine, 2))
    answer(engine, replace(SHEET, source=str(page._source), n_matched=500))
    choose_column(page, "path", "file")
    qtbot.waitUntil(lambda: page._labels.match.sentence.startswith("500"))
    assert engine.requests.count("cancel") == 1


def test_format_starts_with_what_was_found_and_asks_again(qtbot, look_at, engine):
    page = look_at(SHEET)
    form = page._labels.format
    assert form._summary.text() == "Comma · UTF-8 · column names in row 1"
    found = replace(FOUND, encoding="gb18030")
    answer(engine, replace(SHEET, source=str(page._source), format=found))
    choose(form._encoding, "gb18030")
    qtbot.waitUntil(looks(engine, 2))
    assert engine.asked("preview")[1].sheet == SheetFormat(encoding="gb18030")
    qtbot.waitUntil(lambda: "GB18030" in form._summary.text())
    assert imported(qtbot, page, engine).sheet == SheetFormat(encoding="gb18030")


def test_choices_stay_when_other_rows_name_the_columns(qtbot, look_at, engine):
    page = look_at(SHEET)
    choose_column(page, "patient", "day")
    qtbot.waitUntil(looks(engine, 2))
    answer(
        engine,
        replace(
            SHEET,
            source=str(page._source),
            columns=("Column 1", "day"),
            rows=(("a.png", "5"),),
            guess=ColumnMapping(path="Column 1", join="path"),
        ),
    )
    page._labels.format._header_row.setValue(0)
    qtbot.waitUntil(lambda: page._labels.mapping.path == "Column 1")
    assert page._labels.mapping.patient == "day"


def test_a_workbook_asks_for_its_worksheet_not_for_separators(qtbot, look_at, engine):
    book = SheetFormat(worksheet="Labels", header_row=3)
    page = look_at(replace(SHEET, format=book, worksheets=("Read me", "Labels")))
    form = page._labels.format
    form._fold.click()
    assert form._summary.text() == "Worksheet Labels · column names in row 3"
    assert not form._separator.isVisible()
    choose(form._worksheet, "Read me")
    qtbot.waitUntil(looks(engine, 2))
    assert engine.asked("preview")[1].sheet == SheetFormat(worksheet="Read me")


def test_a_sheet_that_cannot_be_read_leaves_the_form_as_it_was(qtbot, look_at, engine):
    page = look_at(SHEET)
    engine.plays(
        "preview",
        JobStarted(kind="preview"),
        JobFinished(kind="preview", outcome=FAILED, error="It is damaged.", remedy="Mend it."),
    )
    choose(page._labels._sheets, str(page._source / "second.csv"))
    qtbot.waitUntil(lambda: page._labels._error.text() == "It is damaged. Mend it.")
    assert page._labels._error.isVisible()
    assert page._labels._sheets.currentText() == "labels.csv"
    assert page._labels.mapping.label == "diagnosis"
    assert page._go.isEnabled()


def test_another_sheet_is_looked_at_without_the_choices_for_the_first(qtbot, look_at, engine):
    page = look_at(SHEET)
    choose(page._labels.format._encoding, "gb18030")
    choose(page._labels._sheets, str(page._source / "second.csv"))
    qtbot.waitUntil(lambda: page._sheet is not None and page._sheet.endswith("second.csv"))
    last = engine.asked("preview")[-1]
    assert last.labels is not None and last.labels.endswith("second.csv")
    assert (last.sheet, last.columns) == (SheetFormat(), ColumnMapping())


def test_findings_with_a_column_each_are_ticked(qtbot, look_at, engine):
    page = look_at(ONE_HOT)
    assert page._meaning.task == "multi"
    assert not page._meaning._separator.isVisible()
    page._labels.columns._findings.tick("Mass", False)
    command = imported(qtbot, page, engine)
    assert command.columns.labels == ("Effusion", "Nodule")
    assert not command.columns.label


def test_ticked_findings_are_listed_before_the_other_columns(look_at):
    columns = ("file", "a", "b", "Effusion", "Mass")
    guess = ColumnMapping(path="file", labels=("Effusion", "Mass"), join="path")
    page = look_at(replace(ONE_HOT, columns=columns, rows=(), guess=guess))
    model = page._labels.columns._findings.model()
    listed = [model.index(row, 0).data() for row in range(model.rowCount())]
    assert listed == ["Effusion", "Mass", "a", "b"]
    assert page._labels.mapping.labels == ("Effusion", "Mass")


def test_a_finding_is_ticked_with_the_space_bar(qtbot, look_at):
    page = look_at(ONE_HOT)
    findings = page._labels.columns._findings
    findings.setFocus()
    findings.setCurrentIndex(findings.model().index(1, 0))
    qtbot.keyClick(findings, Qt.Key.Key_Space)
    assert findings.chosen == ("Effusion", "Nodule")


def test_one_ticked_finding_is_too_few(look_at):
    page = look_at(ONE_HOT)
    for name in ("Mass", "Nodule"):
        page._labels.columns._findings.tick(name, False)
    assert page._problem.text().startswith("Tick the columns")
    assert not page._go.isEnabled()


def test_findings_in_one_cell_have_a_separator_and_a_word_on_doubt(qtbot, look_at, engine):
    page = look_at(replace(SHEET, task="multi"))
    meaning = page._meaning
    assert meaning.task == "multi"
    choose(meaning._separator, ";")
    choose(meaning._uncertain, "negative")
    assert meaning._uncertain_sentence.text() == "Doubtful findings are learned as absent."
    rule = imported(qtbot, page, engine).label_rule
    assert (rule.task, rule.separator, rule.uncertain) == ("auto", ";", "negative")


def test_what_the_user_says_labels_mean_is_sent(qtbot, look_at, engine):
    page = look_at(SHEET)
    page._meaning._buttons["multi"].click()
    qtbot.waitUntil(looks(engine, 2))
    assert engine.asked("preview")[1].label_rule.task == "multi"
    qtbot.waitUntil(lambda: page._inspection is None)
    assert page._meaning.task == "multi"  # though the answer says single


def test_grades_are_proposed_and_put_in_order(qtbot, look_at, engine):
    page = look_at(GRADES)
    order = page._meaning._order
    assert page._meaning.task == "ordinal"
    assert order.order == ("Grade 1", "Grade 2", "Grade 10")
    order._list.setCurrentRow(2)
    qtbot.mouseClick(order._up, Qt.MouseButton.LeftButton)
    rule = imported(qtbot, page, engine).label_rule
    assert (rule.task, rule.order) == ("ordinal", ("Grade 1", "Grade 10", "Grade 2"))


def test_grades_move_with_the_keyboard(qtbot):
    order = GradeOrder()
    qtbot.addWidget(order)
    order.set_grades(["b", "a"], keeps_order=False)
    press = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    QApplication.sendEvent(order._list, press)
    assert order.order == ("b", "a")
    order.set_grades(["b", "a", "c"], keeps_order=True)
    assert list(order.order) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("KL分级", ["0", "1", "2"], True),
        ("BI-RADS", ["2", "3", "4a", "4b"], True),
        ("grade", ["high", "low", "none"], False),
        ("label", ["0", "1", "2"], False),
        ("score", ["0", "1"], False),
    ],
)
def test_grades_are_known_by_name_and_values(column, values, expected):
    assert looks_like_grades(column, values) is expected


def test_patient_and_date_can_stand_for_the_file(qtbot, look_at, engine):
    page = look_at(replace(SHEET, guess=replace(SHEET.guess, path=None)))
    assert page._problem.text() == "Say which column names the image file."
    choose(page._labels.match._by, "patient_date")
    assert page._problem.text().startswith("Say which columns hold the patient and the date")
    assert "DICOM header" in page._labels.match._explanation.text()
    qtbot.waitUntil(page._labels.columns._boxes["date"].isVisible)
    choose_column(page, "date", "day")
    assert page._go.isEnabled()
    columns = imported(qtbot, page, engine).columns
    assert (columns.join, columns.patient, columns.date) == ("patient_date", "person", "day")


def test_the_patient_column_is_asked_for_where_ids_shall_come_from_it(look_at):
    page = look_at(replace(SHEET, guess=replace(SHEET.guess, patient=None)))
    source = page._patients._source
    source.setCurrentIndex(source.findData("column"))
    assert page._problem.text() == "Say which column holds the patient."
    choose_column(page, "patient", "person")
    assert page._go.isEnabled()


def test_frames_are_one_line_until_they_are_changed(qtbot, look_at, engine):
    page = look_at(SHEET)
    frames = page._frames
    assert frames._sentence.text() == "Several frames in a file: the middle one"
    assert not frames._which.isVisible()
    frames._change.click()
    frames._which.setCurrentIndex(frames._which.findData("every"))
    frames._step.setValue(4)
    frames._axis.setCurrentIndex(frames._axis.findData("coronal"))
    assert frames._sentence.text() == "Several frames in a file: one in 4"
    expected = FramePolicy(frames="every", step=4, axis="coronal")
    assert imported(qtbot, page, engine).frames == expected


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_long_names_elide_and_nothing_scrolls_sideways(qtbot, look_at, scale):
    theme().set_text_scale(scale)
    name = "影像文件名称（包含子文件夹的完整相对路径，不含扩展名）" * 3
    columns = (name, "诊断结果" * 30, *(f"column {n} " * 20 for n in range(200)))
    page = look_at(
        replace(
            SHEET,
            columns=columns,
            rows=(tuple("值" * 60 for _ in columns),),
            guess=ColumnMapping(path=name, label=columns[1], join="path"),
            classes=tuple((f"class {n} " * 9, n) for n in range(40)),
            numbers=columns[3:],
        )
    )
    page._labels.columns.show_more()
    page._labels.format._fold.setChecked(True)
    page._frames._change.click()
    qtbot.wait(50)
    assert page._form.horizontalScrollBar().maximum() == 0
    assert page._labels.columns._boxes["path"].toolTip() == name


def test_every_field_has_a_name_for_screen_readers(look_at):
    page = look_at(ONE_HOT)
    page._labels.columns.show_more()
    boxes = page._labels.columns._boxes.values()
    names = [box.accessibleName() for box in boxes]
    assert len(set(names)) == len(names) and all(names)
    for widget in (page._labels.columns._findings, page._labels._table, page._labels.match._by):
        assert widget.accessibleName()


def figures(summary):
    return [label.text() for label in summary._join.findChildren(QLabel) if label.text().isdigit()]


def test_summary_reports_how_sheet_and_folder_fitted(qtbot):
    summary = ImportSummary()
    qtbot.addWidget(summary)
    summary.show()
    result = replace(RESULT, matched=3, rows_without_file=7, files_without_row=2, conflicts=0)
    summary.show_result(result)
    assert figures(summary) == ["3", "7", "2", "0"]
    assert summary._join.isVisible()
    summary.show_result(RESULT)  # class folders: nothing was joined
    assert not summary._join.isVisible()


def test_left_out_files_are_grouped_and_filtered(qtbot):
    files = SkippedList()
    qtbot.addWidget(files)
    files.set_files(SKIPPED)
    assert [line.split("\t")[0] for line in files.text().splitlines()] == [
        "broken.dcm",
        "=cmd.dcm",
        "plan.dcm",
        "late.png",
    ]
    assert files._chips["unreadable"].text().endswith("2")
    files._chips["unmatched"].click()
    assert files.text() == "late.png\tIn the sheet but not found."
    files._chips[""].click()
    files._text.setText("RT PLAN")
    assert files.text().startswith("plan.dcm")
    files._text.setText("nowhere")
    assert files.n_shown == 0


def test_a_hundred_thousand_files_are_listed_without_copies_of_rows(qtbot):
    files = SkippedList()
    qtbot.addWidget(files)
    many = tuple(SkippedFile(path=f"IM{n:06d}.dcm", reason="Cut off.") for n in range(100_000))
    files.set_files(many)
    files._text.setText("im0999")
    assert files.n_shown == 100
    files._text.setText("cut off")
    assert files.n_shown == 100_000
    assert files.table.model().index(99_999, 1, QModelIndex()).data() == "IM099999.dcm"


def test_the_list_is_saved_as_it_is_shown(qtbot, tmp_path):
    files = SkippedList()
    qtbot.addWidget(files)
    files.set_files(SKIPPED)
    files._chips["unreadable"].click()
    out = tmp_path / "left out.csv"
    files.save_to(out)
    qtbot.waitUntil(lambda: str(out) in files._outcome.text())
    with out.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["kind", "path", "reason"],
        ["unreadable", "broken.dcm", "The file is cut off."],
        ["unreadable", "'=cmd.dcm", "The file is empty."],
    ]


def test_a_list_that_cannot_be_saved_says_so(qtbot, tmp_path):
    files = SkippedList()
    qtbot.addWidget(files)
    files.set_files(SKIPPED)
    files.save_to(tmp_path / "gone" / "left out.csv")
    qtbot.waitUntil(lambda: "could not be saved" in files._outcome.text())
    assert files._save.isEnabled()
