"""Which images the rows of a sheet are about, and what is made of rows that repeat one."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from engine.contract.errors import DatasetError
from engine.contract.import_rules import ColumnMapping, LabelRule
from engine.data.dates import date_readers, read_date
from engine.data.file_index import FileIndex
from engine.data.joins import FolderImages, Join, join_rows
from engine.data.listing import Listing, list_files
from engine.data.mapping import guess_mapping
from engine.data.sheet import match_sheet
from engine.data.tables import Table

FILES = ["images/a.png", "images/B 1.PNG", "images/é.png", "other/c.png", "more/c.png"]


# --- paths ---------------------------------------------------------------------------------------


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
        ("a.dcm", "images/a.png"),
        ("a.1", None),
        ("/data/study/other/c.png", "other/c.png"),
        ("study/other/c.png", "other/c.png"),
        ("release-v1/train/other/c.png", "other/c.png"),
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


def test_paths_may_lack_the_folders_above():
    files = ["s1/p1/view.png", "s1/p2/view.png", "s2/p3/view.png"]
    index = FileIndex(Path("/s"), Path("/elsewhere"), files)
    assert index.find("p2/view.png") == "s1/p2/view.png"
    assert index.find("view.png") is None
    assert index.why_not("view.png") == "In the sheet, but several files have this name."


def in_folder(*files: str) -> FolderImages:
    listing = Listing(Path("/s"), list(files))
    return FolderImages(listing, files, FileIndex(Path("/s"), Path("/s"), files), lambda: None)


def by_path(images: FolderImages, *written: str) -> Join:
    table = Table(("path",), [(text,) for text in written])
    return join_rows(table, ColumnMapping(path="path"), images, lambda: None)


def test_one_file_is_not_taken_for_two_of_the_same_name():
    images = in_folder("test/1.png", "test/2.png")
    join = by_path(images, "train/1.png", "test/1.png", "val/2.png", "train/2.png")
    assert join.keys == [(), ("test/1.png",), (), ()]
    assert {file.kind for file in join.skipped} == {"unmatched"}
    assert "another row's" in join.skipped[0].reason
    assert by_path(images, "old/1.png").keys == [("test/1.png",)]


def test_a_row_may_name_the_folder_of_a_series():
    images = in_folder("p1/ct/1.dcm", "p1/ct/2.dcm", "p2/mr/1.dcm")
    join = by_path(images, "p1/ct", "P2", "p3")
    assert join.keys == [["p1/ct/1.dcm", "p1/ct/2.dcm"], ["p2/mr/1.dcm"], ()]
    assert join.notes == ["2 rows name a folder and count for every image inside."]


def test_rows_without_a_file_are_listed_with_their_reason():
    join = by_path(in_folder("a.png", "x/b.png", "y/b.png"), "a.png", "c.png", "", "b.png")
    assert [(file.path, file.reason) for file in join.skipped] == [
        ("c.png", "In the sheet but not found."),
        ("row 4", "The row names no file."),
        ("b.png", "In the sheet, but several files have this name."),
    ]
    assert join.n_matched == 1


# --- dates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("20240131", "2024-01-31", "2024/1/31", "31.01.2024", "31.1.24", "31/01/2024 08:15"),
        *("2024-01-31T08:15:00", "20240131081500", "31-Jan-2024", "31 January 2024"),
        *("2024年1月31日", "45322", "45322.34", "31. Jan. 2024"),
    ],
)
def test_dates_are_read_as_people_write_them(text):
    assert read_date(text) == datetime.date(2024, 1, 31)


@pytest.mark.parametrize("text", ["", "20241331", "31.02.2024", "January", "12", "1.5", "2024"])
def test_what_is_no_date_is_none(text):
    assert read_date(text) is None


def test_a_day_above_twelve_tells_day_from_month():
    ((read,), (other,)) = date_readers(["01/31/2024", "02/03/2024"]), date_readers(["31/1/2024"])
    assert read("02/03/2024") == datetime.date(2024, 2, 3)
    assert other("02/03/2024") == datetime.date(2024, 3, 2)
    assert len(date_readers(["02/03/2024"])) == 2
    assert len(date_readers(["2024-02-03"])) == 1


# --- UIDs, and patient and date ------------------------------------------------------------------


@pytest.fixture
def dicoms(tmp_path):
    """Four files: two of patient 00123 on two days, one of 77, one of 78 without a date."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    for name, uid, patient, date in (
        ("a.dcm", "1.2.3.4.1", "00123", "20240203"),
        ("b.dcm", "1.2.3.4.2", "00123", "20240302"),
        ("c.dcm", "1.2.3.4.3", "77", "20240131"),
        ("d.dcm", "1.2.3.4.4", "78", ""),
    ):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = uid
        dataset.PatientID = patient
        dataset.StudyDate = date
        dataset.save_as(tmp_path / name, enforce_file_format=True)
    return tmp_path


def join_with(root: Path, table: Table, **columns) -> Join:
    listing = list_files(root)
    index = FileIndex(root, root, listing.files)
    images = FolderImages(listing, listing.files, index, lambda: None)
    return join_rows(table, ColumnMapping(**columns), images, lambda: None)


def test_rows_are_matched_by_uid_where_the_path_column_holds_uids(dicoms):
    table = Table(("id",), [("1.2.3.4.2",), ("1.2.3.4.9",), ("1.2.3.4.1",)])
    join = join_with(dicoms, table, path="id")
    assert (join.kind, join.keys) == ("sop_uid", [["b.dcm"], [], ["a.dcm"]])
    # A UID identifies, so it isn't quoted.
    assert [file.path for file in join.skipped] == ["row 3"]


def test_rows_are_matched_by_patient_and_date(dicoms):
    rows = [("00123", "2024-02-03"), ("123", "2024-03-02"), ("77", "1.1.2024"), ("99", "1.1.2024")]
    table = Table(("pid", "when"), rows)
    join = join_with(dicoms, table, patient="pid", date="when")
    assert (join.kind, join.keys) == ("patient_date", [["a.dcm"], ["b.dcm"], [], []])
    assert [(file.path, file.reason) for file in join.skipped] == [
        ("row 4", "No image of this patient is of this date."),
        ("row 5", "There is no image of this patient."),
    ]


def test_of_two_ways_to_read_dates_the_one_that_fits_is_taken(dicoms):
    rows = [("123", "2/3/2024"), ("123", "3/2/2024"), ("77", "1/3/2024")]
    table = Table(("pid", "when"), rows)
    join = join_with(dicoms, table, patient="pid", date="when")
    # Either way fits the first two alike, which is said.
    assert join.n_matched == 2
    assert join.notes == ["Dates such as 03/04/2024 were read with the day first."]
    one = join_with(
        dicoms, Table(("pid", "when"), [("123", "02/03/2024")]), patient="pid", date="when"
    )
    assert one.keys == [["b.dcm"]]


def test_without_a_date_a_patient_of_one_day_is_matched(dicoms):
    table = Table(("pid",), [("00123",), ("77",), ("78",), ("",)])
    join = join_with(dicoms, table, patient="pid")
    assert join.keys == [[], ["c.dcm"], ["d.dcm"], []]
    assert "of several days" in join.skipped[0].reason


def test_a_chosen_key_is_the_only_one_tried_and_needs_its_columns(dicoms):
    table = Table(("id", "pid"), [("1.2.3.4.2", "77")])
    assert join_with(dicoms, table, path="id", patient="pid", join="path").keys == [()]
    assert join_with(dicoms, table, path="id", patient="pid", join="patient_date").n_matched == 1
    with pytest.raises(DatasetError, match="no column is known to hold the patient"):
        join_with(dicoms, table, path="id", join="patient_date")
    with pytest.raises(DatasetError, match="hold the file or the UID"):
        join_with(dicoms, table, patient="pid", join="sop_uid")


# --- rows that repeat an image -------------------------------------------------------------------


def matched(*rows: tuple[str, ...], columns: str = "path,label,patient,split", **options):
    table = Table(tuple(columns.split(",")), list(rows))
    images = in_folder("a.png", "b.png", "c.png")
    return match_sheet(table, guess_mapping(table), images, **options)


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
    assert [(file.path, file.reason, file.kind) for file in result.skipped] == [
        ("d.png", "In the sheet but not found.", "unmatched"),
        ("row 8", "The row names no file.", "unmatched"),
    ]
    assert (result.n_conflicts, result.join.n_matched) == (1, 5)
    notes = " ".join(result.notes)
    for words in (
        "1 image stands more than once",
        "1 image has different labels",
        "b.png",
        "1 image has no label",
    ):
        assert words in notes


def test_a_file_in_two_splits_belongs_to_none():
    result = matched(
        ("a.png", "x", "1", "train"), ("a.png", "x", "1", "test"), ("b.png", "y", "2", "test")
    )
    assert [item.split for item in result.items] == [None, "test"]
    assert any("two splits at once and belongs to none" in note for note in result.notes)


def test_a_file_in_two_splits_is_refused_where_the_split_column_was_chosen():
    with pytest.raises(DatasetError, match=r"1 image into two splits at once, for example a.png"):
        matched(("a.png", "x", "1", "train"), ("a.png", "x", "1", "test"), insists_on_split=True)


def test_rows_for_each_finding_unite():
    result = matched(
        ("a.png", "Mass"),
        ("a.png", "Effusion"),
        ("b.png", "No Finding"),
        ("c.png", "Mass"),
        ("c.png", "No finding"),
        columns="path,label",
        rule=LabelRule(task="multi"),
    )
    assert [dict(item.findings) for item in result.items] == [
        {"Effusion": 1, "Mass": 1},
        {"Mass": 0, "Effusion": 0},
        {"Effusion": 0, "Mass": 1},
    ]
    assert result.n_conflicts == 1
    assert any("1 image has rows that contradict one another: c.png" in n for n in result.notes)


def test_rows_that_are_opposed_leave_a_finding_unknown():
    result = matched(
        ("a.png", "1", "1"), ("a.png", "0", "1"), ("b.png", "0", "0"), columns="path,mass,cyst"
    )
    assert dict(result.items[0].findings) == {"mass": None, "cyst": 1}
    assert result.n_conflicts == 1


def test_rows_may_name_frames():
    result = matched(
        ("a.png", "x", "0"), ("a.png", "y", "2"), ("b.png", "x", ""), columns="path,label,frame"
    )
    assert [(item.path, item.frame, item.label) for item in result.items] == [
        ("a.png", 0, "x"),
        ("a.png", 2, "y"),
        ("b.png", None, "x"),
    ]


def test_a_row_without_a_frame_among_others_with_one_is_listed():
    result = matched(("a.png", "x", "1"), ("a.png", "y", ""), columns="path,label,frame")
    assert [item.frame for item in result.items] == [1]
    assert [(f.path, f.kind) for f in result.skipped] == [("row 3", "unmatched")]
    assert result.join.n_matched == 1


def test_covariates_and_numbers_are_kept_and_identifiers_are_not():
    columns = "path,label,PatientID,StudyDate,hospital,scanner,sex,age,view,dose,accession,fold"
    row = "a.png,x,00123.0,31.01.2024,St. Mary,Vendor X,female,63,pa,1.5,8812,2.0".split(",")
    result = matched(tuple(row), columns=columns)
    (item,) = result.items
    assert (item.patient, item.acquired) == ("00123", datetime.date(2024, 1, 31))
    assert (item.site, item.scanner, item.split) == ("St. Mary", "Vendor X", "2")
    assert (item.sex, item.age, item.view) == ("F", 63.0, "PA")
    assert item.study == "8812"  # kept as a hash
    assert item.numbers == {"dose": 1.5}
    assert not {"00123", "8812", "St. Mary"} & set(repr(item).split("'"))


def test_columns_that_are_withheld_are_named():
    rows = [("a.png", "x", "5551234", "2"), ("b.png", "y", "5554321", "3")]
    result = matched(*rows, columns="path,label,phone,dose")
    assert [item.numbers for item in result.items] == [{"dose": 2.0}, {"dose": 3.0}]
    assert any("1 column looks like an identifier" in n and "phone" in n for n in result.notes)
