"""Importing folders as people really have them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.contract.commands import Preview, Scan
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import ConfigError, DatasetError, StorageError
from engine.contract.events import JobProgressed
from engine.contract.import_rules import ColumnMapping, PatientRule
from engine.data.decode_pool import Limits
from engine.data.preview import preview
from engine.data.scan import scan
from engine.project.labels import set_labels
from engine.project.segment_reader import SegmentReader
from engine.project.store import Project
from engine.project.thumbnails import Thumbnails


def put(path: Path, seed: int = 0, *, colour: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (40, 50, 3) if colour else (40, 50)
    noise = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    Image.fromarray(noise).save(path)
    return path


def class_folders(root: Path, n: int = 4, names: tuple[str, ...] = ("normal", "sick")) -> Path:
    for number, name in enumerate(names):
        for i in range(n):
            put(root / name / f"p{i}_{name}.png", 100 * number + i)
    return root


def run(root: Path, project: Path, **options):
    return scan(Scan(source=str(root), project=str(project), **options), lambda _: None, Control())


def sheet(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def study(tmp_path):
    return class_folders(tmp_path / "study")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "project.radtune"


def test_class_folders_become_classes(study, target):
    result = run(study, target).result
    assert (result.n_images, result.n_skipped) == (8, 0)
    assert result.classes == {"normal": 4, "sick": 4}
    assert result.positive == "sick"
    assert result.patient_source == "file"
    assert any("each file is its own patient" in note for note in result.notes)
    with Project.open(target, read_only=True) as project:
        records = project.records()
        assert [r.path for r in records[:2]] == ["normal/p0_normal.png", "normal/p1_normal.png"]
        assert {(r.width, r.height, r.format) for r in records} == {(50, 40, "PNG")}
        pixels = SegmentReader(project, f"pixels-{project.image_contract.key()}")
        assert pixels.read(np.array([r.row for r in records])).shape == (8, 224, 224)
        assert Thumbnails(project).image(records[0].row).shape == (128, 128)


def test_a_sheet_in_the_folder_gives_labels_patients_and_the_words_of_its_split(tmp_path, target):
    root = tmp_path / "flat"
    for i in range(4):
        put(root / "images" / f"{i}.png", i)
    put(root / "images" / "extra.png", 9)
    sheet(
        root / "labels.csv",
        "path,label,patient_id,split",
        "images/0.png,well,A,train",
        "images/1.png,ill,B,val",
        "images\\2.png,ill,B,val",
        "images/3.png,,C,test",
        "images/9.png,ill,D,test",
    )
    outcome = run(root, target)
    result = outcome.result
    assert result.classes == {"ill": 2, "well": 1}
    assert (result.n_images, result.n_patients, result.patient_source) == (4, 3, "column")
    assert [(f.path, f.reason) for f in result.skipped] == [
        ("images/9.png", "In the sheet but not found."),
        ("images/extra.png", "Not in the sheet."),
    ]
    assert list(outcome.split_words.values()) == ["train", "val", "val", "test"]
    notes = " ".join(result.notes)
    assert "1 image has no label" in notes
    assert "1 image of the folder is not in the sheet" in notes
    with Project.open(target, read_only=True) as project:
        first, *_ = project.records(list(outcome.split_words))
        assert first.path == "images/0.png"


def test_a_sheet_elsewhere_with_other_columns_is_mapped(tmp_path, study, target):
    rows = [f"p{i}_{c};grade {i % 2};{i}" for c in ("normal", "sick") for i in range(4)]
    labels = sheet(tmp_path / "befunde.csv", "Foto;Grad;Person", *rows)
    mapping = ColumnMapping(path="Foto", label="Grad", patient="Person")
    result = run(study, target, labels=str(labels), columns=mapping).result
    assert result.classes == {"grade 0": 4, "grade 1": 4}
    assert result.n_patients == 4
    with pytest.raises(DatasetError, match="Foto, Grad, Person") as caught:
        run(study, target, labels=str(labels))
    assert "--path-column and --label-column" in caught.value.remedy


def test_a_sheet_of_another_data_set_is_refused_when_given_and_ignored_when_found(
    tmp_path, study, target
):
    other = sheet(study / "labels.csv", "path,label", "x1.png,a", "x2.png,b")
    with pytest.raises(DatasetError, match="None of the 2 rows"):
        run(study, target, labels=str(other))
    result = run(study, target).result
    assert result.classes == {"normal": 4, "sick": 4}
    assert any("labels.csv was not used" in note for note in result.notes)


def test_patients_can_come_from_the_file_name(study, target):
    rule = PatientRule(source="pattern", pattern=r"^(p\d+)_")
    result = run(study, target, patient_rule=rule).result
    assert (result.n_patients, result.patient_source) == (4, "pattern")
    with pytest.raises(ConfigError, match="no regular expression"):
        run(study, target, patient_rule=PatientRule(source="pattern", pattern="(p"))
    with pytest.raises(DatasetError, match="no patient column"):
        run(study, target, patient_rule=PatientRule(source="column"))


def test_a_patient_folder_inside_a_class_folder_is_no_class(tmp_path, target):
    root = tmp_path / "nested"
    for name in ("normal", "sick"):
        for patient in range(4):
            put(root / name / f"{name}{patient}" / "1.png", patient)
    result = run(root, target).result
    assert result.classes == {"normal": 4, "sick": 4}


def test_folders_named_like_a_split_are_not_classes(tmp_path, target):
    root = tmp_path / "kaggle"
    for part in ("train", "test"):
        class_folders(root / part, 2)
    result = run(root, target).result
    assert result.classes == {"normal": 4, "sick": 4}
    assert any("test, train were not taken as a split" in note for note in result.notes)


@pytest.mark.parametrize("positive", ["normal", "Normal"])
def test_the_positive_class_can_be_chosen(study, target, positive):
    assert run(study, target, positive=positive).result.positive == "normal"


def test_an_unknown_positive_class_is_said(study, target):
    with pytest.raises(DatasetError, match="no class “sck”"):
        run(study, target, positive="sck")


def test_bad_files_are_left_out_with_their_reason(study, target):
    whole = (study / "sick" / "p0_sick.png").read_bytes()
    (study / "sick" / "empty.png").write_bytes(b"")
    (study / "sick" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (study / "sick" / "page.jpg").write_text("<html>404</html>", encoding="utf-8")
    (study / "sick" / "really.jpg").write_bytes(whole)
    (study / "sick" / "volume.nii").write_bytes(b"\x5c\x01\0\0" + bytes(400))
    (study / "sick" / "notes.txt").write_text("nothing", encoding="utf-8")
    (study / "sick" / "Thumbs.db").write_bytes(b"x")
    (study / ".DS_Store").write_bytes(b"x")
    put(study / "overview.png")
    result = run(study, target).result
    assert result.classes == {"normal": 4, "sick": 5}  # with the misnamed PNG
    reasons = {file.path.rpartition("/")[2]: file.reason for file in result.skipped}
    for name, words in {
        "empty.png": "empty",
        "cut.png": "cut off",
        "page.jpg": "web page",
        "volume.nii": "NIfTI",
        "overview.png": "outside the class folders",
    }.items():
        assert words in reasons.pop(name)
    assert reasons == {}
    with Project.open(target, read_only=True) as project:
        assert len(project.skipped()) == 5


def test_folders_that_cannot_be_used_are_refused_before_a_project_is_made(tmp_path, target):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match="folder is empty"):
        run(empty, target)
    (empty / "a.txt").write_text("x", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"no images \(1 other file\)"):
        run(empty, target)
    put(empty / "a.png")
    with pytest.raises(DatasetError, match="no class folders and no label sheet"):
        run(empty, target)
    sheet(empty / "list.csv", "Bild;Seite", "a.png;links")
    with pytest.raises(DatasetError, match="Bild, Seite"):
        run(empty, target)
    with pytest.raises(DatasetError, match="one class only: “normal”"):
        run(class_folders(tmp_path / "one", names=("normal",)), target)
    with pytest.raises(DatasetError, match="doesn't exist"):
        run(tmp_path / "nowhere", target)
    sheet(tmp_path / "one" / "l.csv", "path,label", "p0_normal.png,", "p1_normal.png,nan")
    with pytest.raises(DatasetError, match="None of the images has a label"):
        run(tmp_path / "one", target)
    assert not target.exists()


def test_nothing_readable_is_an_error_and_leaves_no_record(tmp_path, target):
    for name in ("a", "b"):
        (tmp_path / "bad" / name).mkdir(parents=True)
        (tmp_path / "bad" / name / "x.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"None of the 2 files .* empty"):
        run(tmp_path / "bad", target)
    assert not target.exists()  # made for this import alone, so it goes again


def test_a_class_of_which_no_file_can_be_read_counts_as_missing(study, target):
    for file in (study / "sick").iterdir():
        file.write_bytes(b"")
    with pytest.raises(DatasetError, match="one class only"):
        run(study, target)


def test_a_class_with_one_image_is_said(study, target):
    put(study / "rare" / "1.png")
    assert any(
        "Class “rare” has 1 image of 1 patient" in n for n in run(study, target).result.notes
    )


def test_colour_images_make_a_colour_project_and_stray_ones_do_not(tmp_path, study, target):
    colour = tmp_path / "colour"
    for name in ("a", "b"):
        for i in range(3):
            put(colour / name / f"{i}.png", i, colour=True)
    run(colour, tmp_path / "colour.radtune")
    with Project.open(tmp_path / "colour.radtune") as project:
        assert project.image_contract.channels == 3
        assert Thumbnails(project).image(0).shape == (128, 128, 3)
    for i in range(20):
        put(study / "sick" / f"more{i}.png", i)
    put(study / "normal" / "p9.png", 5, colour=True)
    result = run(study, target).result
    with Project.open(target) as project:
        assert project.image_contract.channels == 1
    assert any("1 image is in colour" in note for note in result.notes)


@pytest.mark.parametrize(
    "name",
    ["with spaces", "Étude à côté", "胸片 研究", "x" * 120 + "/" + "y" * 120 + "/" + "z" * 60],
)
def test_any_folder_name_will_do(tmp_path, target, name):
    root = class_folders(tmp_path / name)
    assert run(root, target).result.n_images == 8


def test_links_are_followed_but_not_in_circles(study, target, tmp_path):
    put(tmp_path / "elsewhere" / "extra.png", 77)
    try:
        (study / "sick" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        (study / "sick" / "loop").symlink_to(study, target_is_directory=True)
        (study / "sick" / "dead.png").symlink_to(tmp_path / "nothing.png")
    except OSError:
        pytest.skip("this system doesn't let us make links")
    result = run(study, target).result
    assert (result.n_images, result.n_skipped) == (9, 0)


def test_a_project_inside_the_source_is_not_imported(study):
    target = study / "mine.radtune"
    run(study, target)
    assert run(study, target).result.n_images == 8


def test_a_folder_that_may_not_be_opened_is_listed(study, target, monkeypatch):
    real = os.scandir

    def guarded(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    put(study / "closed" / "a.png")
    monkeypatch.setattr(os, "scandir", guarded)
    [skipped] = run(study, target).result.skipped
    assert (skipped.path, skipped.reason) == (
        "closed",
        "The system doesn't allow opening this folder.",
    )


class CancelAfter(Control):
    """Cancels at the n-th safe point."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self._left = n

    def safe_point(self, *args, **kwargs) -> None:
        self._left -= 1
        if self._left <= 0:
            self.cancel()
        super().safe_point(*args, **kwargs)


@pytest.mark.parametrize("n", [1, 12, 19])
def test_a_canceled_import_leaves_the_images_as_they_were(study, target, tmp_path, n, monkeypatch):
    monkeypatch.setattr("engine.project.segments.SEGMENT_ROWS", 2)  # so that some are finished
    run(study, target)
    with Project.open(target) as project:
        before = project.records(), project.sources(), project.skipped(), project.next_row()
    more = class_folders(tmp_path / "more", 6, ("normal", "third"))
    command = Scan(source=str(more), project=str(target))
    with pytest.raises(JobCanceled):
        scan(command, lambda _: None, CancelAfter(n))
    with Project.open(target) as project:
        after = project.records(), project.sources(), project.skipped(), project.next_row()
        assert [c.name for c in project.classes()] == ["normal", "sick"]
    assert after == before
    assert run(more, target).result.n_images == 20


def test_a_full_disk_is_said_and_nothing_is_imported(study, target, monkeypatch):
    usage = shutil.disk_usage(study)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(StorageError, match="are needed"):
        run(study, target)
    monkeypatch.undo()
    real = os.fsync

    def full(descriptor):
        if os.fstat(descriptor).st_size > 100_000:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        run(study, target)
    monkeypatch.undo()
    assert not target.exists()
    assert run(study, target).result.n_images == 8


def test_a_source_that_goes_away_is_told_from_bad_files(study, target, monkeypatch):
    monkeypatch.setattr("engine.data.scan.LIMITS", Limits(gone_s=0.2, retry_s=0.1))

    def vanish(event):
        if isinstance(event, JobProgressed) and event.stage == "Reading images":
            shutil.rmtree(study, ignore_errors=True)

    with pytest.raises(StorageError, match="isn't there any more"):
        scan(Scan(source=str(study), project=str(target)), vanish, Control())
    assert not target.exists()


def test_importing_again_adds_what_is_new_and_rereads_what_changed(study, target):
    first = run(study, target).result
    with Project.open(target) as project:
        ids = {r.path: r.id for r in project.records()}
        row = {r.path: r.row for r in project.records()}
    put(study / "sick" / "new.png", 50)
    changed = put(study / "normal" / "p0_normal.png", 51)
    os.utime(changed, ns=(1, 1))
    result = run(study, target).result
    assert (first.n_images, result.n_images) == (8, 9)
    assert any("7 images were in the project already" in note for note in result.notes)
    with Project.open(target) as project:
        again = {r.path: r for r in project.records()}
        assert {path: again[path].id for path in ids} == ids
        moved = [path for path in row if again[path].row != row[path]]
        assert moved == ["normal/p0_normal.png"]


def test_importing_again_takes_over_labels_unless_they_were_set_by_hand(tmp_path, target):
    root = tmp_path / "flat"
    for i in range(4):
        put(root / f"{i}.png", i)
    head = "path,label"
    sheet(root / "labels.csv", head, "0.png,a", "1.png,b", "2.png,a", "3.png,")
    run(root, target)
    with Project.open(target) as project:
        by_path = {r.path: r.id for r in project.records()}
        set_labels(project, [by_path["2.png"]], project.class_named("b"))
    sheet(root / "labels.csv", head, "0.png,b", "1.png,", "2.png,a", "3.png,a")
    notes = " ".join(run(root, target).result.notes)
    assert "2 images got the new label" in notes
    assert "1 image keeps the label that was set in RadTune" in notes
    with Project.open(target) as project:
        names = {c.id: c.name for c in project.classes()}
        labels = {r.path: names[r.class_id or 0] for r in project.records()}
    assert labels == {"0.png": "b", "1.png": "b", "2.png": "b", "3.png": "a"}


def test_progress_has_stages_and_ends_complete(study, target):
    events: list[Any] = []
    scan(Scan(source=str(study), project=str(target)), events.append, Control())
    assert {event.kind for event in events} == {"scan"}
    stages = list(dict.fromkeys(event.stage for event in events))
    assert stages == ["Looking for images", "Reading images", "Entering images"]
    assert (events[-1].done, events[-1].total) == (8, 8)


def test_a_dicom_tree_is_imported_with_its_patients(shared_data, target):
    result = run(shared_data / "dicomdir_tree", target).result
    assert (result.n_images, result.n_skipped) == (31, 0)
    # Two ids, as the tree's README says; the DICOMDIR itself is no image.
    assert (result.n_patients, result.patient_source) == (2, "dicom")
    secret = b"77654033\x0098890234"
    for path in target.rglob("*"):
        if path.is_file() and path.suffix != ".npy":
            data = path.read_bytes()
            assert secret[9:] not in data  # this one isn't part of a path


def test_real_radiographs_keep_their_split_and_patients(shared_data, target):
    outcome = run(shared_data / "cxr_pneumonia", target)
    result = outcome.result
    # Counts from the data's README.
    assert result.classes == {"NORMAL": 281, "PNEUMONIA": 834}
    assert (result.n_images, result.n_patients, result.positive) == (1115, 918, "PNEUMONIA")
    words = list(outcome.split_words.values())
    assert [words.count(word) for word in ("train", "val", "test")] == [775, 173, 167]
    assert result.notes == ()


def test_every_dicom_flavour_is_imported_or_listed(shared_data, tmp_path, target):
    root = tmp_path / "flavours"
    for number, path in enumerate(sorted((shared_data / "dicom_flavours" / "files").iterdir())):
        folder = root / ("even", "odd")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.name)
    result = run(root, target).result
    assert result.n_images + result.n_skipped == 60
    kinds = {Path(file.path).name: file.kind for file in result.skipped}
    assert kinds == {  # as the manifest notes
        "MR_truncated.dcm": "unreadable",
        "meta_missing_tsyntax.dcm": "unreadable",
        "no_meta.dcm": "unreadable",
        "reportsi.dcm": "not_image",
        "rtplan.dcm": "not_image",
        "waveform_ecg.dcm": "not_image",
    }
    with Project.open(target, read_only=True) as project:
        kept = {Path(file.path).name: file.kind for file in project.skipped()}
    assert kept == kinds


# --- preview -------------------------------------------------------------------------------------


def look(source: Path, **options):
    return preview(Preview(source=str(source), **options), lambda _: None, Control())


def test_a_folder_is_described_before_it_is_imported(study):
    sheet(study / "labels.csv", "file,diagnosis", "p0_sick.png,x")
    sheet(study / "other.csv", "a,b", "1,2")
    preview = look(study, patient_pattern=r"^(p\d)_")
    assert preview.n_files == 8
    assert preview.class_folders == (("normal", 4), ("sick", 4))
    assert (preview.tables, preview.table) == (("labels.csv", "other.csv"), "labels.csv")
    assert preview.columns == ("file", "diagnosis")
    assert preview.rows == (("p0_sick.png", "x"),)
    assert (preview.guess.path, preview.guess.label) == ("file", "diagnosis")
    assert preview.patients[0] == ("p0_normal.png", "p0")


def test_a_named_sheet_is_shown_even_if_its_columns_say_nothing(study, tmp_path):
    named = sheet(tmp_path / "list.csv", "a;b", "1;2")
    preview = look(study, labels=str(named))
    assert (preview.table, preview.columns) == ("list.csv", ("a", "b"))
    assert look(named).n_files == 8  # the folder that the sheet lies in
