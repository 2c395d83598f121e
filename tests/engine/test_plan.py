"""What an import will do: sheets, class folders, media with a DICOMDIR, arrays."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.contract.commands import Scan
from engine.contract.errors import DatasetError
from engine.contract.import_rules import ColumnMapping, LabelRule
from engine.data.import_plan import ImportPlan
from engine.data.plan import plan_import

PNG = b"\x89PNG\r\n\x1a\n"


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)
    return root


def sheet(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def plan(source: Path, **options) -> ImportPlan:
    if "labels" in options:
        options["labels"] = str(options["labels"])
    return plan_import(Scan(source=str(source), project="unused", **options), lambda: None)


@pytest.fixture
def folders(tmp_path):
    return put(tmp_path / "study", "ill/1.png", "ill/2.png", "well/3.png", "well/4.png")


# --- the join report -----------------------------------------------------------------------------


def test_every_row_and_file_is_accounted_for(tmp_path):
    root = put(tmp_path / "study", "1.png", "2.png", "3.png", "4.png")
    sheet(
        root / "labels.csv",
        "path,label,split",
        *("1.png,a,train", "2.png,b,test", "2.png,a,test", "9.png,a,train", ",b,test"),
    )
    found = plan(root)
    assert found.join is not None
    assert (found.join.matched, found.join.rows_without_file) == (3, 2)
    assert (found.join.files_without_row, found.join.conflicts) == (2, 1)
    assert [(file.path, file.kind) for file in found.skipped] == [
        ("9.png", "unmatched"),
        ("row 6", "unmatched"),
        ("3.png", "unmatched"),
        ("4.png", "unmatched"),
    ]
    assert all(file.reason for file in found.skipped)
    assert (found.task, found.classes, found.class_names()) == ("single", ("a", "b"), ["a"])


def test_findings_of_a_sheet_are_those_of_its_items(tmp_path):
    root = put(tmp_path / "study", "1.png", "2.png")
    sheet(root / "labels.csv", "path,findings", "1.png,B|A", "2.png,No Finding")
    found = plan(root)
    assert (found.task, found.class_names()) == ("multi", ["A", "B"])
    assert [dict(item.findings) for item in found.items] == [{"B": 1, "A": 1}, {"B": 0, "A": 0}]


def test_grades_come_in_the_order_given(tmp_path):
    root = put(tmp_path / "study", "1.png", "2.png", "3.png")
    sheet(root / "labels.csv", "path,label", "1.png,low", "2.png,top", "3.png,mid")
    found = plan(root, label_rule=LabelRule(task="ordinal", order=("low", "mid", "top")))
    assert (found.task, found.class_names()) == ("ordinal", ["low", "mid", "top"])


def test_a_split_column_that_was_chosen_must_hold(tmp_path):
    root = put(tmp_path / "study", "1.png", "2.png")
    rows = ("path,label,split", "1.png,a,train", "1.png,a,test", "2.png,b,test")
    sheet(root / "labels.csv", *rows)
    assert [item.split for item in plan(root).items] == [None, "test"]
    with pytest.raises(DatasetError, match="two splits at once"):
        plan(root, columns=ColumnMapping(split="split"))


def test_a_sheet_that_fits_nothing_says_by_what_it_was_matched(tmp_path):
    root = put(tmp_path / "study", "1.png")
    labels = sheet(tmp_path / "l.csv", "path,label", "x.png,a", "y.png,b")
    with pytest.raises(DatasetError, match=r"None of the 2 rows .* names a file of the folder"):
        plan(root, labels=labels)
    labels = sheet(tmp_path / "l.csv", "pid,date,label", "1,2024-01-31,a", "2,2024-01-31,b")
    with pytest.raises(DatasetError, match="fits the patient and date of an image"):
        plan(root, labels=labels)


# --- where the labels come from ------------------------------------------------------------------


def test_class_folders_can_be_used_though_a_sheet_lies_in_the_folder(folders):
    sheet(folders / "labels.csv", "path,label", "1.png,x", "3.png,y")
    assert plan(folders).class_names() == ["x", "y"]
    found = plan(folders, labels_from="folders")
    assert (found.kind, found.class_names(), found.join) == ("folder", ["ill", "well"], None)
    assert len(found.items) == 4


def test_class_folders_and_a_named_sheet_go_together(folders, tmp_path):
    labels = sheet(tmp_path / "l.csv", "path,label,patient,age", "1.png,x,P,63", "3.png,y,Q,71")
    found = plan(folders, labels=labels, labels_from="folders")
    assert [(i.path, i.label, i.patient, i.age) for i in found.items] == [
        ("ill/1.png", "ill", "P", 63.0),
        ("ill/2.png", "ill", None, None),
        ("well/3.png", "well", "Q", 71.0),
        ("well/4.png", "well", None, None),
    ]
    assert found.join is not None
    assert (found.join.matched, found.join.files_without_row) == (2, 2)
    assert any("2 images of the folder are not in the sheet" in note for note in found.notes)
    assert found.has_patients


def test_a_sheet_of_patients_in_the_folder_adds_to_class_folders(folders):
    rows = (f"{i}.png,{i // 2}" for i in (1, 2, 3))
    labels = sheet(folders / "list.csv", "path,patient_id", *rows)
    found = plan(folders)
    assert [item.patient for item in found.items] == ["0", "1", "1", None]
    assert found.class_names() == ["ill", "well"]
    assert "The classes are those of the folders; list.csv has none." in found.notes
    # A sheet that is named for its labels must have some.
    with pytest.raises(DatasetError, match="holds the class"):
        plan(folders, labels=labels)


def test_a_sheet_can_be_insisted_on(folders):
    with pytest.raises(DatasetError, match="No label sheet in the folder"):
        plan(folders, labels_from="sheet")


def test_class_folders_can_be_grades_but_not_findings(folders):
    rule = LabelRule(task="ordinal", order=("well", "ill"))
    found = plan(folders, label_rule=rule)
    assert (found.task, found.class_names()) == ("ordinal", ["well", "ill"])
    with pytest.raises(DatasetError, match="one class an image"):
        plan(folders, label_rule=LabelRule(task="multi"))


def test_images_outside_class_folders_are_listed(folders):
    put(folders, "overview.png")
    (skipped,) = plan(folders).skipped
    assert (skipped.path, skipped.kind) == ("overview.png", "unmatched")


# --- media with a DICOMDIR -----------------------------------------------------------------------


@pytest.fixture
def media(shared_data, tmp_path):
    return Path(shutil.copytree(shared_data / "dicomdir_tree", tmp_path / "media"))


@pytest.mark.parametrize("name", ["", "DICOMDIR"])
def test_the_files_that_a_dicomdir_names_are_imported(media, name):
    put(media, "98892001/CT2N/viewer.png", "screenshots/1.png")
    found = plan(media / name)
    assert len(found.items) == 31  # as the data's README says
    assert Counter(file.kind for file in found.skipped) == {"unmatched": 2}
    assert any("2 images of the folder are not in its DICOMDIR" in note for note in found.notes)


def test_a_file_that_a_dicomdir_names_may_be_missing_or_written_in_other_case(media):
    (media / "77654033" / "CR1" / "6154").unlink()
    (media / "98892001").rename(media / "a")
    (media / "a").rename(media / "98892001x")
    (media / "98892001x").rename(media / "98892001")
    (media / "98892001" / "CT2N").rename(media / "98892001" / "ct2n")
    found = plan(media)
    assert len(found.items) == 30
    (missing,) = found.skipped
    assert missing.path == "77654033/CR1/6154"
    assert "isn't there" in missing.reason


def test_several_media_may_lie_in_one_folder(media, tmp_path):
    both = tmp_path / "both"
    shutil.copytree(media, both / "cd1")
    shutil.copytree(media, both / "cd2")
    put(both, "cd2/98892001/extra.png", "loose/1.png")
    found = plan(both)
    assert len(found.items) == 63  # with the one that no DICOMDIR is about
    assert [file.path for file in found.skipped] == ["cd2/98892001/extra.png"]


@pytest.mark.parametrize("content", [b"", b"not DICOM at all", bytes(2000)])
def test_a_damaged_dicomdir_does_not_count(folders, content):
    (folders / "DICOMDIR").write_bytes(content)
    found = plan(folders)
    assert len(found.items) == 4
    assert "A DICOMDIR is damaged and was not used." in found.notes


def test_a_dicomdir_of_other_media_does_not_count(folders, media):
    shutil.copy(media / "DICOMDIR", folders)
    found = plan(folders)
    assert len(found.items) == 4
    assert any("none of the files that it names" in note for note in found.notes)


# --- arrays --------------------------------------------------------------------------------------


def arrays(path: Path, *labels: list[list[int]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Any] = {}
    for name, values in zip(("train", "val", "test"), labels, strict=True):
        parts[f"{name}_images"] = np.zeros((len(values), 8, 8), np.uint8)
        parts[f"{name}_labels"] = np.array(values)
    np.savez(path, **parts)
    return path


def test_arrays_give_images_labels_and_a_split(tmp_path):
    path = arrays(tmp_path / "set" / "mnist.npz", [[0], [1]], [[1]], [[0]])
    for source in (path, path.parent):
        found = plan(source)
        assert [(i.path, i.frame, i.label, i.split) for i in found.items] == [
            ("mnist.npz", 0, "0", "train"),
            ("mnist.npz", 1, "1", "train"),
            ("mnist.npz", 2, "1", "val"),
            ("mnist.npz", 3, "0", "test"),
        ]
        assert (found.kind, found.task, found.classes) == ("npz", "single", ("0", "1"))
        assert found.has_split


def test_arrays_with_several_labels_an_image_give_findings(tmp_path):
    path = arrays(tmp_path / "chest.npz", [[0, 1, 1]], [[0, 0, 0]], [[1, 0, 0]])
    found = plan(path)
    assert (found.task, found.classes) == ("multi", ("0", "1", "2"))
    assert [list(item.findings.values()) for item in found.items] == [
        [0, 1, 1],
        [0, 0, 0],
        [1, 0, 0],
    ]


def test_arrays_can_be_grades(tmp_path):
    path = arrays(tmp_path / "retina.npz", [[4], [0]], [[10]], [[2]])
    found = plan(path, label_rule=LabelRule(task="ordinal"))
    assert (found.task, found.classes) == ("ordinal", ("0", "2", "4", "10"))


# --- real data -----------------------------------------------------------------------------------


def test_real_sheets_fit_their_images(shared_data):
    for name, n_images, classes in (
        ("cxr_pneumonia", 1115, ["NORMAL", "PNEUMONIA"]),
        ("nih_cxr", 1000, ["no_finding", "pneumonia"]),
    ):
        found = plan(shared_data / name)
        assert found.class_names() == classes
        assert found.join is not None
        assert (found.join.matched, found.join.files_without_row) == (n_images, 0)
        assert (found.join.rows_without_file, found.join.conflicts) == (0, 0)
        assert (found.has_patients, found.has_split, found.notes) == (True, True, ())
        first = found.items[0].numbers
        assert {"orig_width", "orig_height"} <= first.keys()


def test_the_subtype_of_a_real_sheet_is_a_class_where_it_is_chosen(shared_data):
    found = plan(shared_data / "cxr_pneumonia", columns=ColumnMapping(label="subtype"))
    # Counts from the data's README.
    assert Counter(item.label for item in found.items) == {
        "normal": 281,
        "bacteria": 551,
        "virus": 283,
    }
