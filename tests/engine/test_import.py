"""Imports that are cut off, come back, meet broken codecs, or read files with many images."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from engine.contract.commands import Scan
from engine.contract.config import ImageContract
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import DatasetError, EngineError
from engine.contract.events import JobProgressed, Warned
from engine.contract.import_rules import FramePolicy, PatientRule
from engine.data import decode_crew
from engine.data.decode_pool import Limits
from engine.data.import_writer import ImportWriter
from engine.data.pixels import load_pixels, open_pixels
from engine.data.scan import scan
from engine.project.labels import set_labels
from engine.project.segment_reader import SegmentReader
from engine.project.store import Project
from engine.project.thumbnails import Thumbnails
from tests.conftest import ROOT
from tests.helpers.fragile_decoder import fragile_command
from tests.helpers.tiny_study import run_job

SECRET = "Zebra77Quagga"


def put(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (40, 50), np.uint8)
    Image.fromarray(noise).save(path)
    return path


def put_dicom(path: Path, seed: int = 0, n_frames: int = 1, **fields: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    meta.MediaStorageSOPInstanceUID = generate_uid()
    image = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    values = np.random.default_rng(seed).integers(0, 4000, (n_frames, 24, 20), np.uint16)
    for name, value in {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "DX",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 24,
        "Columns": 20,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": values.tobytes(),
        **({"NumberOfFrames": n_frames} if n_frames > 1 else {}),
        **fields,
    }.items():
        setattr(image, name, value)
    image.save_as(path, enforce_file_format=True)
    return path


def class_folders(root: Path, n: int = 4) -> Path:
    for number, name in enumerate(("normal", "sick")):
        for i in range(n):
            put(root / name / f"{i:03d}.png", 1000 * number + i)
    return root


def run(root: Path, project: Path, control: Control | None = None, emit=lambda _: None, **options):
    command = Scan(source=str(root), project=str(project), **options)
    return scan(command, emit, control or Control()).result


def done_at_start(root: Path, project: Path, **options) -> int:
    """Import, and return how many files counted as read when reading began."""
    events: list[JobProgressed] = []
    run(root, project, emit=events.append, **options)
    return next(e.done for e in events if getattr(e, "stage", "") == "Reading images")


@pytest.fixture
def study(tmp_path):
    return class_folders(tmp_path / "study")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "project.radtune"


@pytest.fixture
def fragile(monkeypatch):
    """Let the import use a decoder that breaks where a file's name says so."""
    monkeypatch.setattr(decode_crew, "decode_command", fragile_command)


class CutOff(Control):
    """Ends an import after it has read about ten images."""

    def __init__(self, *, is_interrupt: bool) -> None:
        super().__init__()
        self._left: int | None = None
        self._is_interrupt = is_interrupt

    def take(self, event) -> None:
        """Begin to count when reading begins."""
        if getattr(event, "stage", "") == "Reading images" and self._left is None:
            self._left = 20

    def safe_point(self, *args, **kwargs) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                (self.interrupt if self._is_interrupt else self.cancel)()
        super().safe_point(*args, **kwargs)


def cut_off(root: Path, project: Path, *, is_interrupt: bool = True, **options) -> None:
    control = CutOff(is_interrupt=is_interrupt)
    with pytest.raises(JobCanceled):
        run(root, project, control, control.take, **options)


def pixels_are_those_of_the_files(project: Project) -> bool:
    records = project.records()
    records = records[:: max(1, len(records) // 50)]
    reader = SegmentReader(project, f"pixels-{project.image_contract.key()}")
    thumbnails = Thumbnails(project)
    return all(
        np.array_equal(
            reader.row(record.row), load_pixels(path, project.image_contract, frame=record.frame)[0]
        )
        and thumbnails.has(record.row)
        for record, path in zip(
            records, project.original_paths([r.id for r in records]), strict=True
        )
    )


# --- broken files --------------------------------------------------------------------------------


def test_a_crash_in_a_codec_is_one_skipped_file(study, target, fragile):
    put(study / "sick" / "crash.png")
    put(study / "sick" / "once-crash.png")
    result = run(study, target)
    assert result.classes == {"normal": 4, "sick": 5}
    [skipped] = result.skipped
    assert (skipped.path, skipped.kind) == ("sick/crash.png", "unreadable")
    assert skipped.reason.startswith("Quarantined:")
    with Project.open(target) as project:
        assert project.skipped() == result.skipped
        assert [r.path for r in project.records()][4:6] == ["sick/000.png", "sick/001.png"]


def test_frames_read_before_a_crash_are_forgotten_with_their_file(study, target, fragile):
    pages = [Image.fromarray(np.full((30, 30), 10 * i, np.uint8)) for i in range(6)]
    pages[0].save(study / "sick" / "late.tif", save_all=True, append_images=pages[1:])
    result = run(study, target, frames=FramePolicy(frames="all"))
    assert result.n_images == 8
    assert [file.path for file in result.skipped] == ["sick/late.tif"]


def test_a_source_that_vanishes_for_a_while_is_waited_for_and_nothing_is_lost(
    study, target, monkeypatch
):
    monkeypatch.setattr("engine.data.scan.LIMITS", Limits(gone_s=60, retry_s=0.1))
    away, events = study.with_name("away"), []

    def move(event):
        events.append(event)
        if isinstance(event, JobProgressed) and event.stage == "Reading images" and not event.done:
            study.rename(away)
        if isinstance(event, Warned):
            away.rename(study)

    assert run(study, target, emit=move).n_images == 8
    [warned] = [event for event in events if isinstance(event, Warned)]
    assert "can't be reached" in warned.message
    assert any(getattr(e, "stage", "").startswith("Waiting for the disk") for e in events)


# --- cut off -------------------------------------------------------------------------------------


def test_an_import_that_was_killed_goes_on_where_it_stopped(tmp_path, target):
    root = class_folders(tmp_path / "study", 1200)
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "scan", root, "--project", target, "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event.get("stage") == "Reading images" and staged(target):
            process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
            break
    process.communicate()
    assert event["type"] == "JobProgressed", "the import was over before it could be killed"
    with Project.open(target) as project:
        assert project.records() == []
        assert project.sources() == ()
    n_kept = staged(target)
    put(root / "sick" / "000.png", 5555)  # changed meanwhile
    put(root / "sick" / "new.png", 5556)
    (root / "normal" / "000.png").unlink()
    assert done_at_start(root, target) in (n_kept - 1, n_kept - 2)  # less the one that is gone
    with Project.open(target) as project:
        paths = [r.path for r in project.records()]
        assert paths == sorted(paths)
        assert len(paths) == 2400
        assert pixels_are_those_of_the_files(project)
    assert staged(target) == 0


def staged(target: Path) -> int:
    if not (target / "project.db").exists():
        return 0
    try:
        with sqlite3.connect(f"file:{target}/project.db?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM staged").fetchone()[0])
    except sqlite3.Error:
        return 0


@pytest.mark.parametrize("is_interrupt", [True, False])
def test_an_interrupted_import_is_kept_and_a_canceled_one_is_not(study, target, is_interrupt):
    run(study, target)
    more = class_folders(study.with_name("more"), 20)
    with Project.open(target) as project:
        before = project.records(), project.sources(), project.skipped(), project.classes()
    cut_off(more, target, is_interrupt=is_interrupt)
    with Project.open(target) as project:
        after = project.records(), project.sources(), project.skipped(), project.classes()
        segments = project.db.value("SELECT count(*) FROM segments WHERE import_id IS NOT NULL")
    assert after == before
    n_kept = staged(target)
    assert (n_kept > 0, segments > 0) == (is_interrupt, is_interrupt)
    assert done_at_start(more, target) == n_kept
    with Project.open(target) as project:
        assert len(project.records()) == 48
        assert pixels_are_those_of_the_files(project)


def test_a_disk_that_fills_up_keeps_what_was_read_before(tmp_path, target, monkeypatch):
    root = class_folders(tmp_path / "study", 30)
    monkeypatch.setattr("engine.data.import_writer._MOST_ROWS", 10)
    real, n_synced = os.fsync, [0]

    def full(descriptor):
        n_synced[0] += os.fstat(descriptor).st_size > 100_000
        if n_synced[0] > 4:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EngineError, match="disk is full"):
        run(root, target)
    monkeypatch.setattr(os, "fsync", real)
    n_kept = staged(target)
    assert 10 <= n_kept < 60
    assert done_at_start(root, target) == n_kept
    with Project.open(target) as project:
        assert len(project.records()) == 60
        assert pixels_are_those_of_the_files(project)


def test_what_was_read_by_another_contract_or_policy_is_read_again(study, target):
    run(study, target)
    more = class_folders(study.with_name("more"), 20)
    for frames in (FramePolicy(), FramePolicy(frames="all")):
        cut_off(more, target, frames=frames)
        assert staged(target) > 0
    with Project.open(target) as project:
        project.image_contract = replace(project.image_contract, size_px=64)
    assert done_at_start(more, target, frames=FramePolicy(frames="all")) == 0
    with Project.open(target) as project:
        assert len(project.records()) == 48


def test_the_sheet_may_change_before_an_import_goes_on(tmp_path, target):
    root = tmp_path / "flat"
    for i in range(40):
        put_dicom(root / f"{i:02d}.dcm", i, PatientID=f"{SECRET}{i // 2}", PatientSex="F")
    sheet = root / "labels.csv"
    rows = [f"{i:02d}.dcm,{'ab'[i % 2]},M" for i in range(40)]
    sheet.write_text("\n".join(["path,label,sex", *rows]) + "\n", encoding="utf-8")
    cut_off(root, target)
    assert staged(target) > 0
    rows = [f"{i:02d}.dcm,{'ba'[i % 2]},{'M' if i else ''}" for i in range(40)]
    sheet.write_text("\n".join(["path,label,sex", *rows]) + "\n", encoding="utf-8")
    result = run(root, target)
    assert (result.classes, result.n_patients) == ({"a": 20, "b": 20}, 20)
    with Project.open(target) as project:
        names: dict[int | None, str] = {c.id: c.name for c in project.classes()}
        assert [names[r.class_id] for r in project.records()] == ["b", "a"] * 20
        sexes = [row[0] for row in project.db.all("SELECT sex FROM records ORDER BY id")]
    assert sexes == ["F", *["M"] * 39]  # of the file where the sheet is silent


def test_no_identifier_is_staged(study, target):
    day = "19870123"
    for i in range(20):
        put_dicom(
            study / "sick" / f"{i}.dcm",
            i,
            PatientID=f"{SECRET}{i}",
            StudyInstanceUID=f"1.2.3.777888999.{i}",
            InstitutionName=f"{SECRET} clinic",
            StudyDate=day,
            PatientName=SECRET,
        )
    cut_off(study, target)
    assert staged(target) > 5
    with sqlite3.connect(target / "project.db") as connection:
        found = connection.execute(
            "SELECT patient, study, site, acquired FROM staged WHERE format = 'DICOM'"
        ).fetchall()
    assert all(all(row) for row in found)
    for path in target.rglob("*"):
        if path.is_file() and path.suffix != ".npy":
            data = path.read_bytes()
            for secret in (SECRET, "777888999", day):
                assert secret.encode() not in data, path.name


# --- again ---------------------------------------------------------------------------------------


def test_only_new_and_changed_files_are_read_again(study, target, monkeypatch):
    read: list[str] = []
    real = ImportWriter.add

    def note(self, path, frame):
        read.append(path)
        real(self, path, frame)

    monkeypatch.setattr(ImportWriter, "add", note)
    run(study, target)
    assert len(read) == 8
    read.clear()
    run(study, target)
    assert read == []
    put(study / "sick" / "new.png", 1)
    os.utime(study / "normal" / "001.png", ns=(5, 5))
    run(study, target)
    assert read == ["normal/001.png", "sick/new.png"]


def test_files_with_frames_are_read_again_when_more_frames_are_wanted(study, target):
    put_dicom(study / "sick" / "cine.dcm", 7, n_frames=7)
    result = run(study, target)
    assert result.n_images == 9
    assert any("1 file holds several frames; one of each was imported" in n for n in result.notes)
    with Project.open(target) as project:
        [middle] = [r.frame for r in project.records() if r.path.endswith("cine.dcm")]
    assert done_at_start(study, target, frames=FramePolicy(frames="every", step=3)) == 0
    with Project.open(target) as project:
        frames = [r.frame for r in project.records() if r.path.endswith("cine.dcm")]
        patients = {r.patient_id for r in project.records() if r.path.endswith("cine.dcm")}
        assert sorted(frames) == sorted({0, 3, 6, middle})
        assert len(patients) == 1  # so that they stay on one side of a split
        assert pixels_are_those_of_the_files(project)
        source = project.sources()[0]
        assert source.frames == FramePolicy(frames="every", step=3)
        assert len(open_pixels(project, ImageContract(size_px=48))) == 8 + len(frames)
    notes = run(study, target, frames=FramePolicy(frames="every", step=3)).notes
    assert any(f"{8 + len(frames)} images were in the project already" in note for note in notes)


def test_images_of_frames_that_a_changed_file_has_lost_are_left_out(study, target):
    cine = put_dicom(study / "sick" / "cine.dcm", 7, n_frames=5)
    run(study, target, frames=FramePolicy(frames="all"))
    put_dicom(cine, 8, n_frames=3)
    run(study, target, frames=FramePolicy(frames="all"))
    with Project.open(target) as project:
        left_out = [r.frame for r in project.records() if r.excluded]
        assert left_out == [3, 4]
        assert "no such frame" in next(r.excluded for r in project.records() if r.excluded)


def test_volumes_of_a_project_keep_their_axis(study, target, shared_data):
    for number, path in enumerate(sorted((shared_data / "nifti_samples").glob("*.nii*"))):
        shutil.copy(path, study / ("normal", "sick")[number % 2])
    policy = FramePolicy(frames="every", step=40, axis="coronal")
    n_images = run(study, target, frames=policy).n_images
    assert n_images > 8
    with Project.open(target) as project:
        records = [r for r in project.records() if r.format == "NIfTI"]
        assert {o.axis for o in project.originals([r.id for r in records])} == {"coronal"}
    with pytest.raises(DatasetError, match="imported as coronal slices"):
        run(study, target, frames=replace(policy, axis="axial"))
    assert run(study, target, frames=policy).n_images == n_images


def test_an_array_file_of_many_images_is_read_frame_by_frame(tmp_path, target):
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, n in (("train", 150), ("val", 20), ("test", 30)):
        arrays[f"{part}_images"] = random.integers(0, 256, (n, 28, 28), np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n) % 2)[:, None]
    np.savez(tmp_path / "made.npz", **arrays)
    outcome = scan(
        Scan(source=str(tmp_path / "made.npz"), project=str(target)), lambda _: None, Control()
    )
    assert outcome.result.classes == {"0": 100, "1": 100}
    words = list(outcome.split_words.values())
    assert [words.count(word) for word in ("train", "val", "test")] == [150, 20, 30]
    with Project.open(target) as project:
        assert [r.frame for r in project.records()] == list(range(200))
        assert pixels_are_those_of_the_files(project)


def test_records_know_site_day_hash_and_burned_in_text(study, target):
    for i, (site, day) in enumerate((("North", "20240105"), ("South", "20240115"))):
        put_dicom(
            study / "sick" / f"{i}.dcm",
            3,  # the same pixels twice
            InstitutionName=site,
            StudyDate=day,
            BurnedInAnnotation="YES",
        )
    run(study, target, patient_rule=PatientRule(source="auto"))
    with Project.open(target) as project:
        rows = project.db.all(
            "SELECT site, acquired, pixel_hash, burned_in, n_frames FROM records "
            "WHERE format = 'DICOM' ORDER BY id"
        )
    (site, day, pixels, burned_in, n_frames), other = rows
    assert (site, other[0]) == ("Site 1", "Site 2")
    assert other[1] - day == 10
    assert pixels == other[2]
    assert len(pixels) == 32
    assert (burned_in, n_frames) == ("yes", 1)


def test_labels_set_by_hand_survive_a_second_import(study, target):
    run(study, target)
    with Project.open(target) as project:
        [first, *_] = project.records()
        set_labels(project, [first.id], project.class_named("sick"))
    os.utime(study / first.path, ns=(7, 7))
    run(study, target)
    with Project.open(target) as project:
        [again] = project.records([first.id])
        assert again.class_id == project.class_named("sick")
        assert again.row != first.row


def test_labels_of_another_kind_are_refused_before_anything_is_read(study, target):
    run(study, target)
    flat = study.with_name("flat")
    for i in range(4):
        put(flat / f"{i}.png", i)
    (flat / "labels.csv").write_text(
        "path,label\n0.png,a|b\n1.png,a\n2.png,b\n3.png,a|b\n", encoding="utf-8"
    )
    events: list[Any] = []
    with pytest.raises(DatasetError, match="don't fit"):
        run(flat, target, emit=events.append)
    assert {event.stage for event in events} == {"Looking for images"}
    assert run(study, target).classes == {"normal": 4, "sick": 4}


def test_several_findings_an_image_are_entered_with_the_images(tmp_path, target):
    root = tmp_path / "flat"
    for i in range(6):
        put(root / f"{i}.png", i)
    cells = ("a|b", "a", "b", "a|b", "a", "b")
    rows = [f"{i}.png,{cell}" for i, cell in enumerate(cells)]
    (root / "labels.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    run(root, target)
    with Project.open(target) as project:
        names = {c.id: c.name for c in project.classes()}
        found = [
            "|".join(sorted(names[c] for c, value in record.findings.items() if value))
            for record in project.records()
        ]
    assert tuple(found) == cells


def test_each_image_of_a_table_is_its_own_case_and_the_given_split_is_used(tmp_path, target):
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, n in (("train", 30), ("val", 10), ("test", 10)):
        arrays[f"{part}_images"] = random.integers(0, 255, (n, 28, 28), dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n) % 2)[:, None]
    np.savez(tmp_path / "made.npz", **arrays)
    result = run_job(Scan(source=str(tmp_path / "made.npz"), project=str(target)))
    assert result["n_patients"] == 50
    assert result["split"]["origin"] == "adopted"
    assert result["split"]["n_patients"] == {"train": 30, "val": 10, "test": 10}
