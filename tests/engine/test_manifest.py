"""Real files of every flavour: each gives the image that its collection states, or a reason."""

from __future__ import annotations

import csv
import logging
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from engine.contract.commands import InspectFile
from engine.contract.control import Control
from engine.contract.errors import NotAnImageError, UnreadableImageError
from engine.contract.records import FileReport
from engine.data.dicom_header import read_join_keys
from engine.data.images import open_image, read_image
from engine.data.inspect_file import inspect_file

NOT_IMAGES = {
    "rtplan.dcm": "RT plan",
    "reportsi.dcm": "structured report",
    "waveform_ecg.dcm": "ECG waveform",
}
UNREADABLE = {
    "MR_truncated.dcm": "cut off",
    "no_meta.dcm": "its beginning is damaged",
    "meta_missing_tsyntax.dcm": "rows and columns",
}
# What the manifest doesn't state since pydicom alone refuses them: the first is indexed colour
# without a meta header, the second is the RT dose of rtdose.dcm with a broken number of frames.
MENDED = {"OT-PAL-8-face.dcm": (480, 640, 1), "badVR.dcm": (10, 10, 15)}
PYDICOM_FILES = Path(pydicom.__file__).parent / "data"
# Values of 12-bit lossy JPEG depend on how a decoder rounds; all others are exact.
TWELVE_BIT_JPEG = "1.2.840.10008.1.2.4.51"


def look(path: Path, png: Path | None = None, frame: int | None = None) -> FileReport:
    command = InspectFile(file=str(path), frame=frame, png=str(png) if png else None)
    return inspect_file(command, lambda event: None, Control())


@pytest.fixture(scope="module")
def flavours(shared_data):
    folder = shared_data / "dicom_flavours"
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return folder, list(csv.DictReader(file))


def test_all_sixty_flavours_give_their_image_or_a_reason(flavours, tmp_path):
    folder, rows = flavours
    assert len(rows) == 60
    for row in rows:
        name = row["path"].rpartition("/")[2]
        png = tmp_path / f"{name}.png"
        report = look(folder / row["path"], png)
        if name in NOT_IMAGES or name in UNREADABLE:
            assert report.kind == ("not_image" if name in NOT_IMAGES else "unreadable"), name
            assert (NOT_IMAGES | UNREADABLE)[name] in report.reason
            assert not png.exists()
            continue
        assert (report.kind, report.reason) == ("image", ""), name
        if row["decodes"] == "yes":
            check_stated_values(report, row)
        else:
            assert (report.rows, report.columns, report.frames) == MENDED[name]
            assert report.notes, name
        with Image.open(png) as picture:
            assert picture.mode in ("L", "RGB"), name
            assert min(picture.size) > 0


def check_stated_values(report: FileReport, row: dict[str, str]) -> None:
    name = row["path"]
    shape = int(row["rows"]), int(row["columns"]), int(row["frames"] or 1)
    assert (report.rows, report.columns, report.frames) == shape, name
    assert report.transfer_syntax == row["transfer_syntax"], name
    assert report.photometric == row["photometric"], name
    assert report.stored_min == pytest.approx(float(row["array_min"]), abs=5e-5), name
    assert report.stored_max == pytest.approx(float(row["array_max"]), abs=5e-5), name
    rounding = 0.025 if report.transfer_syntax == TWELVE_BIT_JPEG else 5.1e-5
    assert report.stored_mean == pytest.approx(float(row["array_mean"]), abs=rounding), name


def test_the_rescale_is_applied_to_the_values_that_are_reported(flavours):
    folder, rows = flavours
    for row in rows:
        slope, _, intercept = row["rescale"].partition("/")
        if row["decodes"] != "yes" or not intercept or row["frames"]:
            continue
        report = look(folder / row["path"])
        dataset = pydicom.dcmread(folder / row["path"])
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
        assert report.value_min == pytest.approx(float(row["array_min"]) * slope + intercept)
        assert report.value_max == pytest.approx(float(row["array_max"]) * slope + intercept)


def test_the_same_slice_in_lossless_syntaxes_is_the_same_image(flavours):
    folder, rows = flavours
    paths = [folder / row["path"] for row in rows if "CTImage.dcm" in row["path"]]
    plain = read_image(folder / "files" / "CTImage.dcm")
    lossless = [path for path in paths if path.name.endswith((".4.57.dcm", ".1.99.dcm"))]
    assert len(lossless) == 2
    for path in lossless:
        np.testing.assert_array_equal(read_image(path).values, plain.values)
    # Rescaled to Hounsfield units: the manifest's -2000 to 2402, less 1024.
    assert (plain.values.min(), plain.values.max()) == (-3024, 1378)


def test_old_files_without_a_meta_header_say_what_was_assumed(flavours):
    report = look(flavours[0] / "files" / "OT-PAL-8-face.dcm")
    assert "no file meta header" in report.notes[0]
    assert "implicit VR little endian was assumed" in report.notes[0]
    assert report.transfer_syntax == ""


def test_names_in_other_scripts_never_leave_the_file(flavours):
    for name in ("chrX1.dcm", "chrH31.dcm", "chrArab.dcm", "chrFren.dcm"):
        path = flavours[0] / "files" / name
        image, raw = read_image(path), pydicom.dcmread(path)
        shown = repr(image) + str(image.dicom) + str(image.covariates) + repr(look(path))
        assert str(raw.PatientName) not in shown


def test_a_tree_with_a_dicomdir_is_read_and_the_directory_named(shared_data):
    tree = shared_data / "dicomdir_tree"
    paths = [p for p in tree.rglob("*") if p.is_file() and p.name not in ("README.md", "DICOMDIR")]
    assert len(paths) == 31
    for path in paths:
        dataset = pydicom.dcmread(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = dataset.pixel_array
        file = open_image(path.read_bytes())
        np.testing.assert_array_equal(file.stored(0), stored)
        keys = read_join_keys(path)
        assert (keys.sop_uid, keys.patient_id) == (dataset.SOPInstanceUID, dataset.PatientID)
    assert {read_join_keys(path).patient_id for path in paths} == {"77654033", "98890234"}
    report = look(tree / "DICOMDIR")
    assert report.kind == "not_image"
    assert "DICOMDIR" in report.reason


@pytest.mark.parametrize("name", ["anatomical.nii", "example4d.nii.gz"])
@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_nifti_slices_are_those_of_nibabel_shown_radiologically(shared_data, name, axis):
    path = shared_data / "nifti_samples" / name
    volume = nibabel.as_closest_canonical(nibabel.load(path)).get_fdata()  # right, front, up
    volume = volume[..., 0] if volume.ndim == 4 else volume
    plane = ("sagittal", "coronal", "axial").index(axis)
    file = open_image(path.read_bytes(), axis=axis)
    assert file.n_frames == volume.shape[plane]
    for frame in (0, file.default_frame, file.n_frames - 1):
        # The first axis to the left and the second one up; as seen from the feet, the front, and
        # the patient's left side.
        expected = np.rot90(volume.take(frame, axis=plane))[:, ::-1]
        np.testing.assert_allclose(file.read(frame).values, expected)


def pydicom_values(path: Path) -> np.ndarray:
    """Return pydicom's own pixel array, with the syntax named where the file doesn't."""
    dataset = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
        is_implicit, is_little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit
    return dataset.pixel_array


def test_files_that_come_with_pydicom_decode_as_pydicom_decodes_them(monkeypatch):
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    n_images = n_others = 0
    for path in sorted(PYDICOM_FILES.rglob("*")):
        is_dicom = path.suffix in (".dcm", "") or path.name.startswith("DICOMDIR")
        if not path.is_file() or not is_dicom or "TINY_ALPHA" in path.parts:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs = pydicom_values(path)
        except Exception:  # noqa: BLE001  # it has a dozen ways to say no
            try:
                open_image(path.read_bytes(), suffix=".dcm").read()
            except UnreadableImageError as error:
                assert error.message.endswith(".")
                assert error.remedy
                n_others += 1
            continue
        file = open_image(path.read_bytes(), suffix=".dcm")
        ours = np.stack([file.stored(frame) for frame in range(file.n_frames)])
        np.testing.assert_array_equal(ours, theirs.reshape(ours.shape), err_msg=path.name)
        n_images += 1
    assert n_images > 80
    assert n_others > 20


def test_objects_without_pixels_are_sound_and_cut_off_images_are_not(flavours):
    folder = flavours[0] / "files"
    for name in NOT_IMAGES:
        with pytest.raises(NotAnImageError, match="not an image"):
            read_image(folder / name)
    data = (folder / "CT_small.dcm").read_bytes()
    with pytest.raises(UnreadableImageError, match="no pixels") as caught:
        open_image(data[:3000], suffix=".dcm")
    assert not isinstance(caught.value, NotAnImageError)
