"""DICOM files: real ones of many flavours, and small ones made to measure."""

from __future__ import annotations

import csv
import io
import warnings

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from engine.contract.config import ImageContract
from engine.contract.errors import UnreadableImageError
from engine.data.decoded import Window
from engine.data.dicom_header import WHITELIST
from engine.data.dicom_pixels import decode_frame, ensure_transfer_syntax
from engine.data.dicom_streams import check_stream
from engine.data.images import decode_image, read_image
from engine.data.rendering import to_pixels
from engine.data.voi import display_levels

NOT_IMAGES = {
    "rtplan.dcm": "not an image: RT plan",
    "reportsi.dcm": "not an image: structured report",
    "waveform_ecg.dcm": "not an image: ECG waveform",
}
BROKEN = {
    "MR_truncated.dcm": "cut off",
    "no_meta.dcm": "its beginning is damaged",
    "meta_missing_tsyntax.dcm": "damaged",
    "badVR.dcm": "number of frames",
}


def dicom_file(pixels: np.ndarray, **fields) -> bytes:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    data.SOPInstanceUID = "1.2.3.4"
    data.Modality = "DX"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated = 8 * pixels.dtype.itemsize
    data.BitsStored, data.HighBit = data.BitsAllocated, data.BitsAllocated - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.add_new("PixelData", "OW", pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())
    for name, value in fields.items():
        setattr(data, name, value)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.fixture(scope="module")
def flavours(shared_data):
    folder = shared_data / "dicom_flavours"
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return folder, list(csv.DictReader(file))


def test_every_flavour_decodes_to_the_values_that_its_manifest_states(flavours):
    folder, rows = flavours
    n_checked = 0
    for row in rows:
        if row["decodes"] != "yes":
            continue
        dataset = pydicom.dcmread(folder / row["path"], force=True)
        ensure_transfer_syntax(dataset)
        n_frames = int(row["frames"] or 1)
        frames = [decode_frame(dataset, i, n_frames) for i in range(n_frames)]
        low, high = min(f.min() for f in frames), max(f.max() for f in frames)
        mean = float(np.mean([f.mean() for f in frames]))
        assert float(low) == pytest.approx(float(row["array_min"])), row["path"]
        assert float(high) == pytest.approx(float(row["array_max"])), row["path"]
        # Decoders of lossy 12-bit JPEG round differently.
        tolerance = 0.05 if row["transfer_syntax"].endswith(".4.51") else 0.001
        assert mean == pytest.approx(float(row["array_mean"]), abs=tolerance), row["path"]
        n_checked += 1
    assert n_checked > 50


def test_every_flavour_becomes_an_image_or_a_reason(flavours):
    folder, rows = flavours
    for row in rows:
        name = row["path"].rpartition("/")[2]
        if words := NOT_IMAGES.get(name) or BROKEN.get(name):
            with pytest.raises(UnreadableImageError, match=words):
                read_image(folder / row["path"])
            continue
        image = read_image(folder / row["path"])
        pixels = to_pixels(image, ImageContract(channels=3 if image.is_color else 1))
        assert pixels.dtype == np.uint8
        assert (image.height, image.width) == (int(row["rows"]), int(row["columns"]))


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
    assert plain.window == Window(center=40, width=400, kind="linear")


def test_an_old_file_without_preamble_and_syntax_is_read_in_colour(flavours):
    image = read_image(flavours[0] / "files" / "OT-PAL-8-face.dcm")
    assert image.is_color
    assert image.values.shape == (480, 640, 3)


def test_names_in_other_scripts_never_leave_the_file(flavours):
    for name in ("chrX1.dcm", "chrH31.dcm", "chrArab.dcm"):
        image = read_image(flavours[0] / "files" / name)
        raw = pydicom.dcmread(flavours[0] / "files" / name)
        shown = repr(image) + str(image.dicom) + str(image.covariates)
        assert str(raw.PatientName) not in shown


def test_rescale_then_window_then_inversion():
    stored = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
    data = dicom_file(
        stored,
        BitsStored=12,
        HighBit=11,
        RescaleSlope=2,
        RescaleIntercept=-1000,
        WindowCenter=[1000, 5],
        WindowWidth=[2000, 7],
        PhotometricInterpretation="MONOCHROME1",
    )
    image = decode_image(data)
    units = stored.astype(int) * 2 - 1000
    np.testing.assert_array_equal(image.values, units)
    assert image.is_inverted
    expected = 1 - np.clip(((units - 999.5) / 1999) + 0.5, 0, 1)  # PS3.3 C.11.2.1.2.1
    np.testing.assert_allclose(display_levels(image, "file"), expected, atol=1e-6)


def test_a_fractional_slope_gives_float_values():
    stored = np.arange(256, dtype=np.int16).reshape(16, 16)
    image = decode_image(dicom_file(stored, RescaleSlope="0.5", RescaleIntercept="0.25"))
    assert image.values.dtype == np.float32
    np.testing.assert_allclose(image.values, stored * 0.5 + 0.25)


def test_rescaled_values_beyond_sixteen_bits_are_kept():
    stored = np.array([[0, 65_535], [1, 2]], np.uint16)
    image = decode_image(dicom_file(stored, RescaleSlope=4, RescaleIntercept=-100))
    assert image.values.tolist() == [[-100, 262_040], [-96, -92]]


def test_a_voi_table_is_applied():
    stored = np.array([[0, 1, 2, 3, 9]], np.uint16)
    item = Dataset()
    item.LUTDescriptor = [3, 1, 8]
    item["LUTDescriptor"].VR = "US"
    item.add_new("LUTData", "OW", np.array([0, 51, 255], "<u2").tobytes())
    image = decode_image(dicom_file(stored, VOILUTSequence=[item]))
    np.testing.assert_allclose(display_levels(image, "file"), [[0, 0, 0.2, 1, 1]], atol=1e-6)


def test_padding_is_left_out_of_the_percentiles():
    stored = np.full((64, 64), -2000, np.int16)
    stored[16:48, 16:48] = np.arange(1024).reshape(32, 32)
    data = dicom_file(stored)
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.add_new("PixelPaddingValue", "SS", -2000)
    stream = io.BytesIO()
    dataset.save_as(stream)
    image = decode_image(stream.getvalue())
    assert image.padding == (-2000, -2000)
    levels = display_levels(image, "file")
    assert levels[16:48, 16:48].mean() == pytest.approx(0.5, abs=0.01)


def test_the_middle_frame_is_taken_and_any_other_on_request():
    frames = np.stack([np.full((8, 8), 10 * i, np.uint8) for i in range(5)])
    data = dicom_file(frames[0], NumberOfFrames=5, PixelData=frames.tobytes())
    middle = decode_image(data)
    assert (middle.frame, middle.n_frames, int(middle.values[0, 0])) == (2, 5, 20)
    assert int(decode_image(data, frame=4).values[0, 0]) == 40


def test_identifiers_stay_in_memory_and_are_not_printed():
    data = dicom_file(
        np.zeros((8, 8), np.uint8),
        PatientID="HOSP-4711",
        IssuerOfPatientID="CITY",
        PatientName="Doe^Jane",
        PatientBirthDate="19300101",
        PatientAge="095Y",
        PatientSex="F",
        StudyInstanceUID="1.2.826.1",
        StudyDescription="Thorax, Dr. Smith",
        InstitutionName="General Hospital",
        AccessionNumber="A123",
        ViewPosition="pa",
        Manufacturer="ACME",
        ManufacturerModelName="X1",
    )
    image = decode_image(data)
    assert image.patient_id == "HOSP-4711\\CITY"
    assert image.study_uid == "1.2.826.1"
    assert image.covariates == {"view": "PA", "sex": "F", "age": "90", "device": "ACME X1"}
    assert image.dicom["Age"] == "90 or more"
    shown = repr(image) + str(image.dicom)
    for secret in ("HOSP", "CITY", "Doe", "1930", "095", "1.2.826", "Smith", "Hospital", "A123"):
        assert secret not in shown


def test_the_whitelist_names_no_identifying_field():
    # Attributes that PS3.15 Annex E removes or replaces in its basic profile.
    for keyword, _ in WHITELIST:
        for part in ("Name", "Date", "Time", "UID", "Description", "Comment", "Institution", "ID"):
            assert not keyword.endswith(part) or keyword == "ManufacturerModelName", keyword


def test_a_presentation_state_is_no_image():
    data = dicom_file(
        np.zeros((8, 8), np.uint8), Modality="PR", SOPClassUID="1.2.840.10008.5.1.4.1.1.11.1"
    )
    dataset = pydicom.dcmread(io.BytesIO(data))
    del dataset.PixelData
    stream = io.BytesIO()
    dataset.save_as(stream)
    with pytest.raises(UnreadableImageError, match="not an image: presentation state"):
        decode_image(stream.getvalue())


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_dicom_file_cut_anywhere_gives_a_reason(share):
    pixels = np.random.default_rng(0).integers(0, 4096, (64, 64)).astype(np.uint16)
    data = dicom_file(pixels, PatientID="X", RescaleSlope=1, RescaleIntercept=0)
    with pytest.raises(UnreadableImageError):
        decode_image(data[: int(len(data) * share)], suffix=".dcm")


def test_random_damage_never_raises_anything_else(flavours):
    generator = np.random.default_rng(0)
    folder, rows = flavours
    small = [row for row in rows if int(row["bytes"]) < 20_000]
    for row in small:
        data = np.frombuffer((folder / row["path"]).read_bytes(), np.uint8).copy()
        for _ in range(3):
            hurt = data.copy()
            where = generator.integers(0, min(len(hurt), 2000), 12)
            hurt[where] = generator.integers(0, 256, 12)
            try:
                decode_image(hurt.tobytes(), suffix=".dcm")
            except UnreadableImageError as error:
                assert error.message
                assert error.remedy


def jpeg(height: int = 30, width: int = 40) -> bytes:
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG")
    return stream.getvalue()


def test_a_sound_stream_passes():
    check_stream(jpeg(), 30, 40, samples=1, bits=8)


# Each of these ends the process, or asks for gigabytes, when some codec is given it.
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x08\x00\x1e\x00\x28\x01", b"\x08\xff\x1e\xff\x28\x01"),  # another size
        (b"\x08\x00\x1e\x00\x28\x01", b"\x4c\x00\x1e\x00\x28\x01"),  # 76 bits
        (b"\x08\x00\x1e\x00\x28\x01", b"\x08\x00\x1e\x00\x28\x03"),  # three components
        (b"\xff\xdb", b"\xff\xfa"),  # a marker that isn't known
        (b"\xff\xc4", b"\xff\x00"),
        (b"\xff\xda\x00\x08\x01", b"\xff\xda\x00\x08\x04"),  # a scan of four
    ],
)
def test_a_damaged_stream_is_refused_before_a_codec_sees_it(old, new):
    whole = jpeg()
    assert old in whole
    with pytest.raises(ValueError):
        check_stream(whole.replace(old, new, 1), 30, 40, samples=1, bits=8)


def test_a_jpeg_2000_stream_of_another_size_or_of_countless_tiles_is_refused(flavours):
    data = (flavours[0] / "files" / "693_J2KI.dcm").read_bytes()
    assert decode_image(data).values.shape == (512, 512)
    at = data.index(b"\xff\x4f\xff\x51") + 8
    for offset, damage in ((0, b"\0\x10\0\0"), (16, b"\0\0\0\1" * 2)):  # its width; a tile's size
        hurt = bytearray(data)
        hurt[at + offset : at + offset + len(damage)] = damage
        with pytest.raises(UnreadableImageError):
            decode_image(bytes(hurt))
