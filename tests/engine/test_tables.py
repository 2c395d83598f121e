"""Label sheets as people really save them."""

from __future__ import annotations

import datetime
import io
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import openpyxl
import pytest

from engine.contract.errors import DatasetError
from engine.contract.import_rules import SheetFormat
from engine.data.sheet_text import decode_text
from engine.data.tables import list_worksheets, read_table

ENGLISH = "path,label,patient_id\na.png,normal,1\nb.png,opacity,2\n"
CHINESE = "文件名,诊断,患者编号\n胸片一.png,正常,甲\n胸片二.png,肺炎,乙\n"
JAPANESE = "ファイル,診断,患者\n画像一.png,正常,あ\n画像二.png,肺炎の疑い,い\n"
FRENCH = "Fichier;Classe\nÉtude é.png;normal\nà côté.png;épanchement pleural\n"


def text_file(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def book_file(path: Path, **sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *((ENGLISH, e) for e in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")),
        *((CHINESE, e) for e in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030")),
        *((JAPANESE, e) for e in ("utf-8", "utf-16", "shift_jis", "cp932")),
    ],
)
def test_encodings_are_found_from_the_bytes(tmp_path, text, encoding):
    path = text_file(tmp_path / "labels.csv", text, encoding)
    lines = [tuple(line.split(",")) for line in text.splitlines()]
    table = read_table(path)
    assert (table.columns, table.rows) == (lines[0], lines[1:])


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_western_accents_are_not_taken_for_chinese_or_japanese(encoding):
    assert decode_text(FRENCH.encode(encoding))[0] == FRENCH
    umlauts = "Bild,Befund\nMüller.png,größer\nJürgen.png,Ödem\n"
    assert decode_text(umlauts.encode(encoding))[0] == umlauts


def test_a_chosen_encoding_is_obeyed_and_must_exist(tmp_path):
    path = text_file(tmp_path / "labels.csv", "path,label\na.png,Größe\n", "cp850")
    assert read_table(path, SheetFormat(encoding="cp850")).rows == [("a.png", "Größe")]
    with pytest.raises(DatasetError, match="no text encoding named “klingon”"):
        read_table(path, SheetFormat(encoding="klingon"))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(tmp_path, separator, end):
    path = tmp_path / "labels.csv"
    rows = [["path", "label"], ["a.png", '"one, two; three"'], ["b.png", "x"]]
    path.write_bytes(end.join(separator.join(row) for row in rows).encode())
    table = read_table(path)
    assert table.rows == [("a.png", "one, two; three"), ("b.png", "x")]
    assert table.format == SheetFormat(separator=separator, encoding="utf-8", header_row=1)


def test_decimal_commas_do_not_separate(tmp_path):
    text = "Datei;Dosis;Klasse;Größe\na.png;1,5;x;0,25\nb.png;2,5;y;0,50\n"
    table = read_table(text_file(tmp_path / "labels.csv", text))
    assert table.rows[0] == ("a.png", "1,5", "x", "0,25")


def test_lists_for_training_scripts_are_separated_by_blanks(tmp_path):
    path = text_file(tmp_path / "train.txt", "12 a.png positive rsna\n13 b.png negative ricord\n")
    table = read_table(path)
    assert table.columns == ("Column 1", "Column 2", "Column 3", "Column 4")
    assert table.rows[1] == ("13", "b.png", "negative", "ricord")


def test_a_chosen_separator_is_obeyed(tmp_path):
    path = text_file(tmp_path / "labels.csv", "path,a;label\nx.png,1;y\n")
    assert read_table(path, SheetFormat(separator=";")).columns == ("path,a", "label")
    with pytest.raises(DatasetError, match="must be one character"):
        read_table(path, SheetFormat(separator="ab"))


def test_blank_rows_ragged_rows_and_doubled_names(tmp_path):
    path = text_file(
        tmp_path / "labels.csv",
        "sep=;\npath;label;label;;\n\na.png;x\n;;;\n b.png ;y;z;w;v\n",
    )
    table = read_table(path)
    assert table.columns == ("path", "label", "label (2)")
    assert table.rows == [("a.png", "x", ""), ("b.png", "y", "z")]
    assert table.numbers == [4, 6]  # as a text editor counts


def test_titles_above_the_header_and_blank_columns_are_left_away(tmp_path):
    text = (
        "Studie Thorax 2024;;;;\nStand: 31.01.2024;;;;\n;;;;\n;Dateiname;;Befund;Alter\n"
        ";a.png;;normal;63\n;b.png;;Ödem;71\n"
    )
    table = read_table(text_file(tmp_path / "labels.csv", text, "cp1252"))
    assert table.columns == ("Dateiname", "Befund", "Alter")
    assert table.rows == [("a.png", "normal", "63"), ("b.png", "Ödem", "71")]
    assert (table.format.header_row, table.numbers) == (4, [5, 6])


def test_titles_are_told_from_a_header_without_known_names(tmp_path):
    text = "Export of the registry,,\nbild,grad,seite\nx1,2,L\nx2,3,R\n"
    assert read_table(text_file(tmp_path / "l.csv", text)).columns == ("bild", "grad", "seite")


def test_a_sheet_without_names_of_columns_loses_no_row(tmp_path):
    path = text_file(tmp_path / "labels.csv", "a.png,normal\nb.png,sick\n")
    table = read_table(path)
    assert table.columns == ("Column 1", "Column 2")
    assert (len(table.rows), table.format.header_row) == (2, 0)
    assert read_table(path, SheetFormat(header_row=1)).columns == ("a.png", "normal")


def test_a_chosen_header_row_is_obeyed(tmp_path):
    path = text_file(tmp_path / "labels.csv", "path,label\nfile,grade\na.png,x\n")
    table = read_table(path, SheetFormat(header_row=2))
    assert (table.columns, table.rows) == (("file", "grade"), [("a.png", "x")])


def test_values_under_no_name_are_kept(tmp_path):
    path = text_file(tmp_path / "labels.csv", "path,,label\na.png,3,x\nb.png,4,y\n")
    assert read_table(path).columns == ("path", "Column 2", "label")


def test_workbooks_are_read_as_people_see_them(tmp_path):
    path = book_file(
        tmp_path / "labels.xlsx",
        empty=[],
        legend=[["colour", "meaning"], ["red", "urgent"]],
        data=[
            ["path", "label", "patient", "date", "flag"],
            ["a.png", "normal", 17, datetime.datetime(2024, 1, 31), True],
            ["b.png", "sick", 18.0, datetime.datetime(2024, 2, 1, 13, 5), False],
            ["c.png", "sick", "00123", datetime.date(2024, 2, 1), None],
        ],
    )
    table = read_table(path)
    assert table.worksheets == list_worksheets(path) == ("empty", "legend", "data")
    assert table.format == SheetFormat(worksheet="data", header_row=1)
    assert table.rows == [
        ("a.png", "normal", "17", "2024-01-31", "true"),
        ("b.png", "sick", "18", "2024-02-01 13:05:00", "false"),
        ("c.png", "sick", "00123", "2024-02-01", ""),
    ]
    legend = read_table(path, SheetFormat(worksheet="legend"))
    assert legend.columns == ("colour", "meaning")
    with pytest.raises(DatasetError, match="no worksheet “labels”") as caught:
        read_table(path, SheetFormat(worksheet="labels"))
    assert "empty, legend, data" in caught.value.remedy


def test_leading_zeros_that_a_number_format_shows_are_kept(tmp_path):
    path = book_file(tmp_path / "labels.xlsx", data=[["path", "label"], [123, "x"]])
    book = openpyxl.load_workbook(path)
    book["data"]["A2"].number_format = "00000"
    book.save(path)
    assert read_table(path).rows == [("00123", "x")]


def test_values_merged_over_rows_count_for_each(tmp_path):
    path = book_file(
        tmp_path / "labels.xlsx",
        data=[
            ["Study of the chest", None, None],
            ["patient", "path", "label"],
            ["A", "a1.png", "x"],
            [None, "a2.png", "y"],
            ["B", "b1.png", "x"],
        ],
    )
    book = openpyxl.load_workbook(path)
    book["data"].merge_cells("A1:C1")
    book["data"].merge_cells("A3:A4")
    book.save(path)
    assert [row[0] for row in read_table(path).rows] == ["A", "A", "B"]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("labels.csv", b"", "empty"),
        ("labels.csv", b"\n ,, \n", "empty"),
        ("labels.xlsx", b"PK\x03\x04broken", "damaged"),
        ("labels.xlsx", b"path,label\n", "damaged"),
        ("labels.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "before 2007"),
        ("labels.csv", b"path,label\n" + b"x" * (1 << 21), "damaged"),
    ],
)
def test_what_is_no_sheet_is_said(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DatasetError, match=words):
        read_table(tmp_path / name)


def test_text_that_is_called_a_workbook_is_read(tmp_path):
    path = text_file(tmp_path / "export.xls", "path\tlabel\na.png\tx\n", "utf-16")
    assert read_table(path).rows == [("a.png", "x")]


def test_a_missing_sheet_is_said(tmp_path):
    with pytest.raises(DatasetError, match="no label sheet"):
        read_table(tmp_path / "labels.csv")
    with pytest.raises(DatasetError, match="a folder, not a label sheet"):
        read_table(tmp_path)


def test_a_large_sheet_is_read_at_once(tmp_path):
    text = "path,label,age\n" + "".join(f"{i:06d}.png,x,{i % 90}\n" for i in range(100_000))
    table = read_table(text_file(tmp_path / "labels.csv", text))
    assert len(table.rows) == 100_000
    assert table.rows[-1] == ("099999.png", "x", "9")


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_workbook_is_read_or_refused_in_words(tmp_path, seed):
    random = Random(seed)
    path = book_file(tmp_path / "labels.xlsx", data=[["path", "label"], ["a.png", 1.5]])
    damaged = io.BytesIO()
    with zipfile.ZipFile(path) as parts, zipfile.ZipFile(damaged, "w") as copy:
        victim = random.choice(parts.namelist())
        for name in parts.namelist():
            data = bytearray(parts.read(name))
            if name == victim:
                start = random.randrange(len(data))
                data[start : start + random.randrange(30)] = random.randbytes(random.randrange(20))
            copy.writestr(name, bytes(data))
    path.write_bytes(damaged.getvalue())
    try:
        table = read_table(path)
    except DatasetError as error:
        assert error.remedy
    else:
        assert all(len(row) == len(table.columns) for row in table.rows)
