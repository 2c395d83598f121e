"""De-identified copies: what must be gone, what must stay, and what isn't copied at all."""

from __future__ import annotations

import csv
import hashlib
import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from engine.contract.commands import Deidentify, Scan
from engine.contract.control import Control
from engine.contract.errors import UnreadableImageError
from engine.data.deidentify import deidentified
from engine.run import execute
from tests.helpers.tiny_study import run_job

SECRETS = {
    "PatientName": "Quixote^Alonso",
    "PatientID": "ID-778899",
    "PatientBirthDate": "19470929",
    "AccessionNumber": "ACC-55501",
    "ReferringPhysicianName": "Cervantes^Miguel",
    "InstitutionName": "Hospital La Mancha",
    "StudyDate": "20210304",
    "OperatorsName": "Sancho^Panza",
    "StationName": "ROCINANTE",
}


def hashed(text: str) -> str:
    return hashlib.sha256(b"salt" + text.encode()).hexdigest()[:32]


def make_dicom(*, study: str = "", burned_in: str = "", patient: str | None = None) -> bytes:
    """Return an image with identifiers in header, sequences, private fields and preamble."""
    dataset = FileDataset("", {}, preamble=b"Quixote^Alonso".ljust(128, b" "))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.file_meta.SourceApplicationEntityTitle = "ROCINANTE"
    for keyword, value in SECRETS.items():
        setattr(dataset, keyword, value)
    dataset.PatientID = patient or SECRETS["PatientID"]
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = study or generate_uid()
    dataset.Modality = "DX"
    nested = Dataset()
    nested.ReferencedSOPInstanceUID = dataset.SOPInstanceUID
    nested.ReferencedSOPClassUID = SecondaryCaptureImageStorage
    nested.OperatorsName = SECRETS["OperatorsName"]
    dataset.SourceImageSequence = Sequence([nested])
    block = dataset.private_block(0x0099, "WINDMILL", create=True)
    block.add_new(0x01, "LO", SECRETS["PatientName"])
    if burned_in:
        dataset.BurnedInAnnotation = burned_in
    dataset.Rows = dataset.Columns = 16
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = np.arange(256, dtype="<u2").tobytes()
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def test_no_identifier_is_left_in_header_sequences_private_fields_preamble_or_meta():
    copy = deidentified(make_dicom(), "P0007", hashed)
    for secret in SECRETS.values():
        assert secret.encode() not in copy
    assert b"WINDMILL" not in copy


def test_pixels_and_what_makes_the_image_stay():
    original = make_dicom()
    copy = read(deidentified(original, "P0007", hashed))
    assert copy.PixelData == read(original).PixelData
    assert (copy.Rows, copy.BitsStored, copy.Modality) == (16, 16, "DX")


def test_the_copy_says_who_the_patient_is_now_and_what_was_done():
    copy = read(deidentified(make_dicom(), "P0007", hashed))
    assert (copy.PatientID, str(copy.PatientName)) == ("P0007", "P0007")
    assert copy.PatientIdentityRemoved == "YES"
    # PS3.16, CID 7050: the code of the basic profile
    assert copy.DeidentificationMethodCodeSequence[0].CodeValue == "113100"


def test_images_of_a_study_stay_together_and_references_still_point_at_their_images():
    study = generate_uid()
    first = read(deidentified(make_dicom(study=study), "P0001", hashed))
    second = read(deidentified(make_dicom(study=study), "P0001", hashed))
    assert first.StudyInstanceUID == second.StudyInstanceUID != study
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SourceImageSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID


def test_new_uids_are_valid_and_differ_between_projects():
    original = make_dicom()
    one = read(deidentified(original, "P0001", hashed)).StudyInstanceUID
    other = read(deidentified(original, "P0001", lambda text: hashed("other" + text)))
    assert one.is_valid
    assert one != other.StudyInstanceUID


def test_an_image_whose_header_announces_burned_in_text_is_not_copied():
    with pytest.raises(UnreadableImageError, match="burned into"):
        deidentified(make_dicom(burned_in="YES"), "P0001", hashed)


def test_an_identifier_in_an_unexpected_place_stops_the_copy():
    dataset = read(make_dicom())
    dataset.PositionReferenceIndicator = SECRETS["PatientID"]  # not in the profile's table
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    with pytest.raises(UnreadableImageError, match="identifying value"):
        deidentified(stream.getvalue(), "P0001", hashed)


def test_every_sound_flavour_is_copied_with_its_pixels_and_without_its_names(shared_data):
    folder = shared_data / "dicom_flavours"
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        names = [row["path"] for row in csv.DictReader(stream)]
    for name in names:
        data = (folder / name).read_bytes()
        if name.endswith("no_meta.dcm"):  # not DICOM by its content
            continue
        before = pydicom.dcmread(io.BytesIO(data), force=True)
        name_field = before.get_item("PatientName")
        patient = bytes(name_field.value or b"").strip(b" \0") if name_field else b""
        copy = deidentified(data, "P0001", hashed)
        after = read(copy)
        assert after.get("PixelData") == before.get("PixelData"), name
        if len(patient) > 4 and b"anonym" not in patient.lower():
            header = copy.replace(bytes(after.get("PixelData") or b"-"), b"")
            assert patient not in header, name


def test_the_job_copies_what_is_in_use_numbers_the_files_and_writes_a_sheet(tmp_path):
    source, project, out = tmp_path / "in", tmp_path / "study.radtune", tmp_path / "out"
    for label in ("normal", "effusion"):
        (source / label).mkdir(parents=True)
        for k in range(2):
            file = source / label / f"Quixote_{k}.dcm"
            file.write_bytes(make_dicom(patient=f"ID-{label}-{k}"))
    run_job(Scan(source=str(source), project=str(project)))
    result = run_job(Deidentify(project=str(project), out=str(out)))
    assert (result["n_images"], result["n_skipped"]) == (4, 0)
    with (out / "labels.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["label"] for row in rows) == ["effusion", "effusion", "normal", "normal"]
    for row in rows:
        copy = pydicom.dcmread(out / row["path"])
        assert copy.PatientID == row["patient"]
    assert not any("Quixote" in str(path) for path in out.rglob("*"))


def test_a_folder_that_holds_something_is_refused(tmp_path, study):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep me", encoding="utf-8")
    command = Deidentify(project=str(study), out=str(tmp_path / "out"))
    finished = execute(command, lambda event: None, Control())
    assert "isn't empty" in (finished.error or "")
