"""What the mapping step shows of a sheet before anything is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract.commands import Preview
from engine.contract.config_io import from_plain, to_plain
from engine.contract.control import Control
from engine.contract.errors import DatasetError
from engine.contract.import_rules import ColumnMapping, LabelRule, SheetFormat
from engine.contract.records import SourcePreview
from engine.data.preview import preview
from tests.engine.test_plan import put, sheet
from tests.engine.test_tables import book_file


def look(source: Path, **options) -> SourcePreview:
    return preview(Preview(source=str(source), **options), lambda _: None, Control())


@pytest.fixture
def study(tmp_path):
    root = put(tmp_path / "study", *(f"{i}.png" for i in range(5)))
    sheet(
        root / "labels.csv",
        "path,label,age,dose,phone,note",
        *(f"{i}.png,{'ab'[i % 2]},6{i},1.{i},555123{i},x" for i in range(5)),
        "gone.png,a,70,2,5551239,y",
    )
    return root


def test_a_sheet_is_shown_with_what_was_found_out(study):
    seen = look(study)
    assert seen.table == "labels.csv"
    assert seen.format == SheetFormat(separator=",", encoding="utf-8", header_row=1)
    assert seen.guess == ColumnMapping(path="path", label="label", age="age", join="path")
    assert (seen.n_checked, seen.n_matched) == (6, 5)
    assert (seen.task, seen.classes) == ("single", (("a", 4), ("b", 2)))
    assert (seen.numbers, seen.withheld) == (("dose",), ("phone",))
    assert from_plain(SourcePreview, to_plain(seen)) == seen


def test_other_columns_and_another_meaning_can_be_tried(study):
    seen = look(study, columns=ColumnMapping(label="note"), label_rule=LabelRule(task="multi"))
    assert (seen.guess.label, seen.task, seen.classes) == ("note", "multi", (("x", 5), ("y", 1)))
    assert look(study, columns=ColumnMapping(path="note")).n_matched == 0
    with pytest.raises(DatasetError, match="no column “nothing”"):
        look(study, labels=str(study / "labels.csv"), columns=ColumnMapping(label="nothing"))


def test_a_format_that_was_chosen_is_obeyed(study):
    seen = look(study, sheet=SheetFormat(header_row=0), labels=str(study / "labels.csv"))
    assert seen.columns[:2] == ("Column 1", "Column 2")
    assert seen.rows[0][:2] == ("path", "label")
    assert (seen.guess.path, seen.n_matched, seen.format.header_row) == ("Column 1", 5, 0)


def test_worksheets_of_a_workbook_are_listed_and_can_be_chosen(tmp_path):
    root = put(tmp_path / "study", "1.png")
    book_file(
        root / "labels.xlsx",
        first=[["path", "label"], ["1.png", "x"]],
        second=[["path", "label"], ["2.png", "y"]],
    )
    seen = look(root)
    assert (seen.worksheets, seen.format.worksheet) == (("first", "second"), "first")
    seen = look(root, sheet=SheetFormat(worksheet="second"))
    assert (seen.n_matched, seen.classes) == (0, (("y", 1),))


def test_findings_in_columns_are_guessed_and_counted(tmp_path):
    root = put(tmp_path / "study", "1.png", "2.png")
    sheet(root / "labels.csv", "path,Mass,Cyst,No Finding", "1.png,1,1,0", "2.png,0,1,0")
    seen = look(root)
    assert seen.guess.labels == ("Mass", "Cyst", "No Finding")
    assert (seen.task, seen.classes) == ("multi", (("Mass", 1), ("Cyst", 2)))


def test_what_is_wrong_with_a_choice_is_a_note(study):
    rule = LabelRule(task="ordinal", order=("a",))
    seen = look(study, label_rule=rule)
    assert any("leaves out “b”" in note for note in seen.notes)
    assert seen.classes == ()
    seen = look(study, columns=ColumnMapping(path="path", join="patient_date"))
    assert seen.n_matched is None
    assert any("no column is known to hold the patient" in note for note in seen.notes)


def test_only_the_first_thousand_rows_are_tried(tmp_path):
    root = put(tmp_path / "study", "1.png")
    sheet(root / "labels.csv", "path,label", *("1.png,x" for _ in range(1500)))
    seen = look(root)
    assert (seen.n_checked, seen.n_matched, len(seen.rows)) == (1000, 1000, 20)


def test_rows_are_matched_by_header_where_nothing_else_fits(shared_data, tmp_path):
    from engine.data.dicom_header import read_join_keys

    tree = shared_data / "dicomdir_tree"
    files = [path for path in tree.rglob("*") if path.is_file() and path.name.isdecimal()]
    keys = [read_join_keys(path) for path in files]
    rows = [f"{key.sop_uid},{'ab'[i % 2]}" for i, key in enumerate(keys)]
    labels = sheet(tmp_path / "labels.csv", "sop_instance_uid,label", *rows, "1.2.3.4.5,a")
    seen = look(tree, labels=str(labels))
    assert (seen.guess.join, seen.n_checked, seen.n_matched) == ("sop_uid", 32, 31)


def test_a_real_sheet_is_understood_without_help(shared_data):
    seen = look(shared_data / "cxr_pneumonia")
    assert (seen.guess.path, seen.guess.label, seen.guess.patient, seen.guess.split) == (
        *("path", "label", "patient_id", "split"),
    )
    assert (seen.n_checked, seen.n_matched) == (1000, 1000)
    assert seen.numbers == ("orig_width", "orig_height", "width", "height")
