"""DICOM files made to measure: frames, missing parts, and what may be kept of a header."""

from __future__ import annotations

import datetime
import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from engine.contract.errors import NotAnImageError, UnreadableImageError
from engine.data.dicom_header import WHITELIST, JoinKeys, read_join_keys
from engine.data.images import decode_image, open_image
from tests.helpers.dicom_files import (
    compressed,
    dicom_file,
    header,
    picture,
    saved,
    without_meta,
)

RANDOM = np.random.default_rng(0)
DEEP = RANDOM.integers(0, 4096, (12, 20)).astype(np.uint16)
BYTE = (DEEP >> 4).astype(np.uint8)
PLAIN = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


# --- frames --------------------------------------------------------------------------------------


def test_the_middle_frame_is_taken_and_any_other_on_request():
    frames = np.stack([np.full((8, 8), 10 * i, np.uint8) for i in range(5)])
    data = dicom_file(frames[0], NumberOfFrames=5, PixelData=frames.tobytes())
    middle = decode_image(data)
    assert (middle.frame, middle.n_frames, int(middle.values[0, 0])) == (2, 5, 20)
    assert int(decode_image(data, frame=4).values[0, 0]) == 40
    with pytest.raises(UnreadableImageError, match="5 frames; there is no frame 5"):
        decode_image(data, frame=5)


@pytest.mark.parametrize("has_table", [False, True])
@pytest.mark.parametrize("n_fragments", [1, 3])
def test_frames_in_several_fragments_are_put_together(has_table, n_fragments):
    streams = [picture(BYTE + np.uint8(i), "JPEG2000", no_jp2=True) for i in range(4)]
    data = header(BYTE, NumberOfFrames=4)
    raw = encapsulate(streams, fragments_per_frame=n_fragments, has_bot=has_table)
    data.add_new("PixelData", "OB", raw)
    data["PixelData"].is_undefined_length = True
    file = open_image(saved(data, JPEG2000Lossless))
    assert file.n_frames == 4
    for number in range(4):
        np.testing.assert_array_equal(file.stored(number), BYTE + np.uint8(number))


def broken_count(data: bytes, old: bytes, new: bytes) -> bytes:
    place = b"\x28\x00\x08\x00IS\x02\x00"
    assert place + old in data
    return data.replace(place + old, place + new)


def test_a_number_of_frames_that_is_none_is_counted_from_the_pixels():
    frames = np.stack([np.full((8, 8), i, np.uint16) for i in range(7)])
    plain = dicom_file(frames[0], NumberOfFrames=7, PixelData=frames.tobytes())
    file = open_image(broken_count(plain, b"7 ", b"1A"))
    assert file.n_frames == 7
    assert "no number" in file.notes[0]
    streams = [picture(BYTE + np.uint8(i), "JPEG2000", no_jp2=True) for i in range(5)]
    packed = compressed(streams, JPEG2000Lossless, BYTE)
    assert open_image(broken_count(packed, b"5 ", b"??")).n_frames == 5
    # Not a whole number of frames: nothing can be concluded.
    odd = dicom_file(frames[0], NumberOfFrames=7, PixelData=frames.tobytes()[:-50])
    with pytest.raises(UnreadableImageError, match="number of frames"):
        open_image(broken_count(odd, b"7 ", b"1A"))


def test_missing_frames_are_missed_and_trailing_bytes_are_not_read():
    frames = np.stack([np.full((8, 8), i, np.uint16) for i in range(3)])
    for n_frames in (4, 2_000_000_000):
        with pytest.raises(UnreadableImageError, match="cut off"):
            open_image(dicom_file(frames[0], NumberOfFrames=n_frames, PixelData=frames.tobytes()))
    padded = dicom_file(frames[0], NumberOfFrames=3, PixelData=frames.tobytes() + bytes(70))
    assert open_image(padded).n_frames == 3
    np.testing.assert_array_equal(open_image(padded).stored(2), frames[2])
    packed = compressed([picture(BYTE, "JPEG2000", no_jp2=True)], JPEG2000Lossless, BYTE)
    with pytest.raises(UnreadableImageError, match="cut off"):
        open_image(packed[:-40])
    np.testing.assert_array_equal(decode_image(packed + b"\0" * 100).values, BYTE)


# --- files that lack something -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("syntax", "words"),
    [
        (ImplicitVRLittleEndian, "implicit VR little endian was assumed"),
        (ExplicitVRLittleEndian, "explicit VR little endian"),
        (ExplicitVRBigEndian, "explicit VR big endian"),
    ],
)
def test_data_sets_without_preamble_and_meta_header_are_images(syntax, words):
    file = open_image(without_meta(dicom_file(DEEP, syntax)))
    np.testing.assert_array_equal(file.stored(0), DEEP)
    assert words in file.notes[0]
    assert file.transfer_syntax == ""


def test_a_compressed_data_set_without_meta_header_is_an_image():
    data = compressed([picture(DEEP, "JPEG2000", no_jp2=True)], JPEG2000Lossless, DEEP)
    np.testing.assert_array_equal(decode_image(without_meta(data)).values, DEEP)


def test_a_meta_header_without_preamble_is_enough():
    data = dicom_file(DEEP)
    np.testing.assert_array_equal(decode_image(data[132:]).values, DEEP)
    assert open_image(data[132:]).notes == ()


def test_a_preamble_without_meta_header_is_enough():
    bare = without_meta(dicom_file(DEEP))
    file = open_image(bytes(128) + b"DICM" + bare)
    np.testing.assert_array_equal(file.stored(0), DEEP)
    assert "no file meta header" in file.notes[0]


def test_a_missing_transfer_syntax_is_found_out():
    dataset = pydicom.dcmread(io.BytesIO(dicom_file(DEEP, ImplicitVRLittleEndian)))
    del dataset.file_meta.TransferSyntaxUID
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, implicit_vr=True, little_endian=True)
    file = open_image(b"\0" * 128 + b"DICM" + stream.getvalue().partition(b"DICM")[2])
    np.testing.assert_array_equal(file.stored(0), DEEP)
    assert "no transfer syntax" in file.notes[0]


def test_fields_that_can_be_told_from_the_pixels_may_be_missing():
    data = header(DEEP)
    for name in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(data, name)
    del data.SamplesPerPixel, data.PhotometricInterpretation
    data.add_new("PixelData", "OW", DEEP.tobytes())
    np.testing.assert_array_equal(decode_image(saved(data)).values, DEEP)


@pytest.mark.parametrize(
    ("class_uid", "words"),
    [
        ("1.2.840.10008.5.1.4.1.1.481.5", "RT plan"),
        ("1.2.840.10008.5.1.4.1.1.481.3", "RT structure set"),
        ("1.2.840.10008.5.1.4.1.1.88.33", "structured report"),
        ("1.2.840.10008.5.1.4.1.1.88.59", "key object selection"),
        ("1.2.840.10008.5.1.4.1.1.9.1.1", "ECG waveform"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "presentation state"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "PDF document"),
        ("1.2.840.10008.5.1.4.1.1.66", "raw data"),
        ("1.2.840.10008.5.1.4.1.1.66.5", "surface segmentation"),
        ("1.2.840.10008.5.1.4.1.1.4.2", "MR spectroscopy"),
        ("1.2.840.10008.5.1.4.38.1", "Hanging Protocol"),
        ("1.3.12.2.1107.5.9.1", "private object"),
    ],
)
def test_sound_objects_of_other_classes_are_named(class_uid, words):
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = class_uid, "1.2.3.4", "XX"
    with pytest.raises(NotAnImageError, match=f"not an image: .*{words}"):
        open_image(saved(data))


@pytest.mark.parametrize(
    "class_uid",
    [
        "1.2.840.10008.5.1.4.1.1.2",
        "1.2.840.10008.5.1.4.1.1.66.4",
        "1.2.840.10008.5.1.4.1.1.481.2",
        "1.2.840.10008.5.1.4.1.1.30",
    ],
)
def test_an_image_class_without_pixels_is_incomplete(class_uid):
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = class_uid, "1.2.3.4", "XX"
    with pytest.raises(UnreadableImageError, match="no pixels") as caught:
        open_image(saved(data))
    assert not isinstance(caught.value, NotAnImageError)


# --- identifiers ---------------------------------------------------------------------------------


def identified() -> bytes:
    return dicom_file(
        np.zeros((8, 8), np.uint8),
        PatientID="HOSP-4711",
        IssuerOfPatientID="CITY",
        PatientName="Doe^Jane",
        PatientBirthDate="19300101",
        PatientAge="095Y",
        PatientSex="F",
        StudyInstanceUID="1.2.826.1",
        StudyDescription="Thorax, Dr. Smith",
        StudyDate="20200229",
        AcquisitionDate="2020.03.01",
        InstitutionName="General Hospital",
        AccessionNumber="A123",
        ViewPosition="pa",
        Manufacturer="ACME",
        ManufacturerModelName="X1",
        BurnedInAnnotation="YES",
    )


def test_identifiers_stay_in_memory_and_are_not_printed():
    image = decode_image(identified())
    assert image.patient_id == "HOSP-4711\\CITY"
    assert (image.study_uid, image.sop_uid) == ("1.2.826.1", "1.2.3.4")
    assert image.site == "General Hospital"
    assert image.acquired == datetime.date(2020, 3, 1)
    assert image.burned_in == "yes"
    assert image.covariates == {"view": "PA", "sex": "F", "age": "90", "device": "ACME X1"}
    assert image.dicom["Age"] == "90 or more"
    shown = repr(image) + str(image.dicom) + str(image.notes)
    for secret in (
        *("HOSP", "CITY", "Doe", "1930", "095", "1.2.826", "Smith", "Hospital", "A123"),
        *("2020", "1.2.3.4"),
    ):
        assert secret not in shown


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"StudyDate": "20200229"}, datetime.date(2020, 2, 29)),
        ({"AcquisitionDateTime": "20211231235959.5"}, datetime.date(2021, 12, 31)),
        ({"AcquisitionDate": "20210230", "StudyDate": "20200229"}, datetime.date(2020, 2, 29)),
        ({"StudyDate": "00010101"}, None),
        ({"StudyDate": "yesterday"}, None),
    ],
)
def test_the_day_of_acquisition_is_the_first_that_is_one(fields, expected):
    assert decode_image(dicom_file(BYTE, **fields)).acquired == expected


@pytest.mark.parametrize("syntax", [*PLAIN, DeflatedExplicitVRLittleEndian])
def test_join_keys_come_from_the_beginning_of_a_file_alone(tmp_path, syntax):
    large = RANDOM.integers(0, 9, (900, 900)).astype(np.uint16)
    data = dicom_file(large, syntax, PatientID="P7", IssuerOfPatientID="X", StudyDate="20200229")
    expected = JoinKeys(sop_uid="1.2.3.4", patient_id="P7", study_date=datetime.date(2020, 2, 29))
    path = tmp_path / "image"
    # Cut off: the end is never looked at.
    path.write_bytes(data[: len(data) // 2])
    assert read_join_keys(path) == expected
    assert "P7" not in repr(expected)
    path.write_bytes(b"no image")
    assert read_join_keys(path) == JoinKeys()
    with pytest.raises(UnreadableImageError, match="isn't there"):
        read_join_keys(tmp_path / "gone")


def test_the_whitelist_names_no_identifying_field():
    # Attributes that PS3.15 Annex E removes or replaces in its basic profile.
    for keyword, _ in WHITELIST:
        for part in ("Name", "Date", "Time", "UID", "Description", "Comment", "Institution", "ID"):
            assert not keyword.endswith(part) or keyword == "ManufacturerModelName", keyword
