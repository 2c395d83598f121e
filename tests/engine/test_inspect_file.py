"""What one file is and holds, as people and scripts are told."""

from __future__ import annotations

import io
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from engine.contract.commands import InspectFile
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import StorageError, UnreadableImageError
from engine.contract.events import Event
from engine.contract.records import FileReport
from engine.data.inspect_file import inspect_file
from tests.helpers.dicom_files import dicom_file

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 4096, (4, 30, 20)).astype(np.uint16)


def look(path: Path, data: bytes, **options) -> FileReport:
    path.write_bytes(data)
    events: list[Event] = []
    report = inspect_file(InspectFile(file=str(path), **options), events.append, Control())
    assert events or report.kind != "image"
    return report


def ct() -> bytes:
    return dicom_file(
        PIXELS[0],
        NumberOfFrames=4,
        PixelData=PIXELS.tobytes(),
        Modality="CT",
        RescaleSlope=1,
        RescaleIntercept=-1024,
        WindowCenter=40,
        WindowWidth=400,
    )


def test_stored_values_are_those_of_all_frames_and_values_those_of_one(tmp_path):
    report = look(tmp_path / "a", ct(), frame=3, png=str(tmp_path / "a.png"))
    assert (report.kind, report.format, report.reason) == ("image", "DICOM", "")
    assert (report.rows, report.columns, report.frames, report.frame) == (30, 20, 4, 3)
    assert report.photometric == "MONOCHROME2"
    assert report.transfer_syntax == "1.2.840.10008.1.2.1"
    assert (report.stored_min, report.stored_max) == (PIXELS.min(), PIXELS.max())
    assert report.stored_mean == pytest.approx(PIXELS.mean())
    assert report.value_min == int(PIXELS[3].min()) - 1024
    assert report.value_max == int(PIXELS[3].max()) - 1024
    assert (report.window_center, report.window_width) == (40, 400)
    assert report.display_png == str(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        shown = np.asarray(picture)
    levels = np.clip((PIXELS[3] - 1024.0 - 39.5) / 399 + 0.5, 0, 1)  # PS3.3 C.11.2.1.2.1
    assert shown.dtype == np.uint8
    assert abs(shown - levels * 255).max() <= 0.51


def test_the_middle_frame_is_taken_unless_another_is_named(tmp_path):
    assert look(tmp_path / "a", ct()).frame == 1
    with pytest.raises(UnreadableImageError, match="4 frames; there is no frame 4"):
        look(tmp_path / "a", ct(), frame=4)


def test_the_picture_is_upright_inverted_and_in_true_proportions(tmp_path):
    values = np.zeros((10, 20), np.uint16)
    values[:5] = 4000
    data = dicom_file(
        values,
        PhotometricInterpretation="MONOCHROME1",
        WindowCenter=2000,
        WindowWidth=4000,
        PixelSpacing=[2, 1],
    )
    report = look(tmp_path / "a", data, png=str(tmp_path / "a.png"))
    assert (report.rows, report.columns) == (10, 20)
    assert any("square" in note for note in report.notes)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (20, 20)
        assert picture.getpixel((0, 0)) == 0
        assert picture.getpixel((0, 19)) == 255


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_pictures_are_reported_as_pillow_reads_them(tmp_path, kind):
    stream = io.BytesIO()
    pixels = (PIXELS[0] >> 4).astype(np.uint8)
    Image.fromarray(pixels).save(stream, kind)
    with Image.open(io.BytesIO(stream.getvalue())) as picture:
        expected = np.asarray(picture)
    report = look(tmp_path / "a", stream.getvalue(), png=str(tmp_path / "a.png"))
    assert (report.format, report.photometric, report.transfer_syntax) == (kind, "L", "")
    assert (report.rows, report.columns, report.frames) == (30, 20, 1)
    assert report.stored_mean == pytest.approx(expected.mean())
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), expected)


def test_volumes_and_arrays_are_reported_over_all_slices(tmp_path):
    voxels = RANDOM.integers(-100, 900, (6, 7, 8)).astype(np.int16)
    report = look(tmp_path / "a.nii", nibabel.Nifti1Image(voxels, np.eye(4)).to_bytes())
    assert (report.format, report.rows, report.columns, report.frames) == ("NIfTI", 7, 6, 8)
    assert report.stored_mean == pytest.approx(voxels.mean())
    assert report.frame == 3
    stream = io.BytesIO()
    np.savez(stream, train_images=PIXELS)
    report = look(tmp_path / "a.npz", stream.getvalue())
    assert (report.format, report.rows, report.columns, report.frames) == ("NPZ", 30, 20, 4)
    assert report.stored_max == PIXELS.max()


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"", "unreadable", "empty"),
        (b"%PDF-1.4 " + bytes(90), "not_image", "PDF"),
        (b"notes on the study\n", "not_image", "text"),
        (bytes(range(256)) * 4, "unreadable", "no image format"),
        (b"<html></html>", "unreadable", "web page"),
    ],
)
def test_other_files_give_their_reason(tmp_path, data, kind, words):
    report = look(tmp_path / "a", data, png=str(tmp_path / "a.png"))
    assert report.kind == kind
    assert words in report.reason
    assert not (tmp_path / "a.png").exists()
    assert report.rows is None


def test_a_missing_file_and_a_missing_folder_for_the_picture_are_told_apart(tmp_path):
    command = InspectFile(file=str(tmp_path / "gone"))
    report = inspect_file(command, lambda event: None, Control())
    assert (report.kind, "isn't there" in report.reason) == ("unreadable", True)
    with pytest.raises(StorageError):
        look(tmp_path / "a", ct(), png=str(tmp_path / "no folder" / "a.png"))


def test_a_broken_frame_beside_a_sound_one_is_said(tmp_path):
    from pydicom.uid import JPEG2000Lossless

    from tests.helpers.dicom_files import compressed

    streams = []
    for _ in range(3):
        stream = io.BytesIO()
        Image.fromarray(PIXELS[0]).save(stream, "JPEG2000", no_jp2=True)
        streams.append(stream.getvalue())
    streams[2] = streams[2][:40] + bytes(len(streams[2]) - 40)
    report = look(tmp_path / "a", compressed(streams, JPEG2000Lossless, PIXELS[0]))
    assert (report.kind, report.frame, report.stored_mean) == ("image", 1, None)
    assert "Frame 2" in report.notes[-1]


def test_looking_at_many_frames_can_be_canceled(tmp_path):
    control = Control()
    control.cancel()
    (tmp_path / "a").write_bytes(ct())
    with pytest.raises(JobCanceled):
        inspect_file(InspectFile(file=str(tmp_path / "a")), lambda event: None, control)
