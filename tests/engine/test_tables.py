"""Label sheets as people really save them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract.errors import DatasetError
from engine.contract.records import ColumnMapping
from engine.data.sheet import FileIndex, match_sheet, require_columns
from engine.data.tables import Table, complete_mapping, decode_text, guess_columns, read_table

ENGLISH = "path,label,patient_id\na.png,normal,1\nb.png,opacity,2\n"
CHINESE = "文件名,诊断,患者编号\n胸片一.png,正常,甲\n胸片二.png,肺炎,乙\n"
FRENCH = "Fichier;Classe\nÉtude é.png;normal\nà côté.png;épanchement pleural\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"]
)
@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_encodings_are_found_from_the_bytes(tmp_path, text, encoding):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode(encoding))
    lines = [tuple(line.split(",")) for line in text.splitlines()]
    table = read_table(path)
    assert (table.columns, table.rows) == (lines[0], lines[1:])


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_western_accents_are_not_taken_for_chinese(encoding):
    assert decode_text(FRENCH.encode(encoding)) == FRENCH
    umlauts = "Bild,Befund\nMüller.png,größer\nJürgen.png,Ödem\n"
    assert decode_text(umlauts.encode(encoding)) == umlauts


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(tmp_path, separator, end):
    path = tmp_path / "labels.csv"
    rows = [["path", "label"], ["a.png", '"one, two; three"'], ["b.png", "x"]]
    path.write_bytes(end.join(separator.join(row) for row in rows).encode())
    assert read_table(path).rows == [("a.png", "one, two; three"), ("b.png", "x")]


def test_blank_rows_ragged_rows_and_doubled_names(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(
        "sep=;\npath;label;label;;\n\na.png;x\n;;;\n b.png ;y;z;w;v\n", encoding="utf-8"
    )
    table = read_table(path)
    assert table.columns == ("path", "label", "label (2)")
    assert table.rows == [("a.png", "x", ""), ("b.png", "y", "z")]


def test_workbooks_are_read(tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "empty"
    sheet = book.create_sheet("data")
    for row in (["path", "label", "patient"], ["a.png", "normal", 17], ["b.png", "sick", 18.0]):
        sheet.append(row)
    book.save(tmp_path / "labels.xlsx")
    table = read_table(tmp_path / "labels.xlsx")
    assert table.columns == ("path", "label", "patient")
    assert table.rows == [("a.png", "normal", "17"), ("b.png", "sick", "18")]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("labels.csv", b"", "empty"),
        ("labels.csv", b"\n ,, \n", "empty"),
        ("labels.xlsx", b"PK\x03\x04broken", "damaged"),
        ("labels.xlsx", b"path,label\n", "damaged"),
    ],
)
def test_what_is_no_sheet_is_said(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DatasetError, match=words):
        read_table(tmp_path / name)


def test_a_missing_sheet_is_said(tmp_path):
    with pytest.raises(DatasetError, match="no label sheet"):
        read_table(tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("path", "label", "patient", "split"),
    [
        ("path", "label", "patient_id", "split"),
        ("Image Index", "Finding Labels", "Patient ID", None),
        ("FileName", "Diagnosis", "PatientID", "Set"),
        ("文件名", "诊断", "患者编号", "划分"),
        ("image_id", "target", "subject", None),
        (None, None, None, None),
    ],
)
def test_columns_are_found_by_name(path, label, patient, split):
    columns = ["age", *filter(None, (split, patient, label, path)), "width"]
    expected = ColumnMapping(path=path, label=label, patient=patient, split=split)
    assert guess_columns(columns) == expected


def test_named_columns_come_first_and_must_exist():
    table = Table(("path", "label", "subtype"), [])
    mapping = complete_mapping(table, ColumnMapping(label="Subtype"))
    assert (mapping.path, mapping.label) == ("path", "subtype")
    with pytest.raises(DatasetError, match="no column “grade”; it has: path, label, subtype"):
        complete_mapping(table, ColumnMapping(label="grade"))


def test_a_sheet_without_the_needed_columns_names_those_it_has():
    with pytest.raises(DatasetError, match="a, b, c") as caught:
        require_columns(("a", "b", "c"), ColumnMapping(path="a"))
    assert "--label-column" in caught.value.remedy
    assert "--path-column" not in caught.value.remedy


FILES = ["images/a.png", "images/B 1.PNG", "images/é.png", "other/c.png", "more/c.png"]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("images/a.png", "images/a.png"),
        ("./images/../images/a.png", "images/a.png"),
        ("images\\a.png", "images/a.png"),
        ("D:\\study\\images\\a.png", "images/a.png"),
        ("IMAGES/b 1.png", "images/B 1.PNG"),
        ("images/e\u0301.png", "images/é.png"),
        ("a", "images/a.png"),
        ("a.png", "images/a.png"),
        ("/data/study/other/c.png", "other/c.png"),
        ("c.png", None),
        ("gone.png", None),
    ],
)
def test_paths_are_found_as_people_write_them(written, found):
    index = FileIndex(Path("/data/study"), Path("/data/study"), FILES)
    assert index.find(written) == found


def test_paths_may_be_relative_to_a_sheet_elsewhere():
    index = FileIndex(Path("/data/study"), Path("/data"), FILES)
    assert index.find("study/other/c.png") == "other/c.png"
    assert index.find("more/c.png") == "more/c.png"


def matched(*rows: tuple[str, ...]):
    table = Table(("path", "label", "patient", "split"), list(rows))
    mapping = guess_columns(table.columns)
    index = FileIndex(Path("/s"), Path("/s"), ["a.png", "b.png", "c.png"])
    return match_sheet(table, mapping, index)


def test_repeated_rows_are_merged_and_conflicting_ones_left_unlabelled():
    result = matched(
        ("a.png", "sick", "1", "train"),
        ("a.png", "Sick", "1", "train"),
        ("b.png", "sick", "2", "train"),
        ("b.png", "well", "2", "train"),
        ("c.png", "nan", "3", "test"),
        ("d.png", "sick", "4", "test"),
        ("", "sick", "4", "test"),
    )
    assert [(item.path, item.label) for item in result.items] == [
        ("a.png", "sick"),
        ("b.png", None),
        ("c.png", None),
    ]
    assert [(file.path, file.reason) for file in result.skipped] == [
        ("d.png", "In the sheet but not found.")
    ]
    notes = " ".join(result.notes)
    for words in (
        "1 file stands more than once",
        "1 file has different labels",
        "b.png",
        "1 image has no label",
        "1 row of the sheet names no file",
    ):
        assert words in notes


def test_a_file_in_two_splits_is_refused():
    with pytest.raises(DatasetError, match="two splits at once, for example in row 3"):
        matched(("a.png", "x", "1", "train"), ("a.png", "x", "1", "test"))
