"""DICOM files made to measure: encodings, layouts and damage, and what may be kept of a header."""

from __future__ import annotations

import datetime
import io
import struct
import zlib

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import pack_bits
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from engine.contract.errors import NotAnImageError, UnreadableImageError
from engine.data.dicom_header import WHITELIST, JoinKeys, read_join_keys
from engine.data.dicom_streams import check_stream
from engine.data.images import decode_image, open_image
from tests.helpers.dicom_files import (
    compressed,
    dicom_file,
    encoded_by_gdcm,
    header,
    saved,
    with_syntax,
    without_meta,
)

RANDOM = np.random.default_rng(0)
DEEP = RANDOM.integers(0, 4096, (12, 20)).astype(np.uint16)
BYTE = (DEEP >> 4).astype(np.uint8)
COLOR = RANDOM.integers(0, 256, (12, 20, 3)).astype(np.uint8)
PLAIN = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
NO_CODEC = {
    "1.2.840.10008.1.2.4.100": "a video",
    "1.2.840.10008.1.2.4.102": "a video",
    "1.2.840.10008.1.2.4.107": "a video",
    "1.2.840.10008.1.2.4.110": "JPEG XL",
    "1.2.840.10008.1.2.4.94": "on which server",
}


# --- encodings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [*PLAIN, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
def test_every_plain_encoding_and_integer_type_keeps_its_values(syntax, kind):
    limits = np.iinfo(kind)
    pixels = RANDOM.integers(limits.min, limits.max, (7, 10), endpoint=True).astype(kind)
    file = open_image(dicom_file(pixels, syntax))
    np.testing.assert_array_equal(file.stored(0), pixels)
    assert file.stored(0).dtype == kind
    assert file.transfer_syntax == syntax


@pytest.mark.parametrize(("kind", "keyword"), [("<f4", "FloatPixelData"), ("<f8", "Double")])
def test_float_pixels_are_read(kind, keyword):
    values = RANDOM.normal(size=(6, 8)).astype(kind)
    data = header(values)
    for name in ("BitsStored", "HighBit", "PixelRepresentation"):
        delattr(data, name)
    data.BitsAllocated = 8 * values.dtype.itemsize
    name = keyword if keyword.startswith("Float") else "DoubleFloatPixelData"
    setattr(data, name, values.tobytes())
    data.FloatPixelPaddingValue = float(values[0, 0])
    image = decode_image(saved(data))
    np.testing.assert_allclose(image.values, values.astype(np.float32))
    assert image.padding is not None
    assert image.padding == pytest.approx((values[0, 0], values[0, 0]), rel=1e-6)


def test_one_bit_pixels_are_unpacked_frame_by_frame():
    frames = RANDOM.integers(0, 2, (3, 5, 7)).astype(np.uint8)  # frames end inside a byte
    data = header(frames[0], BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=3)
    data.add_new("PixelData", "OB", pack_bits(frames))
    file = open_image(saved(data))
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(file.stored(number), frame)
    assert file.read(0).value_range == (0, 1)


@pytest.mark.parametrize("bits", range(2, 16))
@pytest.mark.parametrize("is_signed", [False, True])
def test_unused_high_bits_and_overlays_in_them_do_not_count(bits, is_signed):
    low = -(2 ** (bits - 1)) if is_signed else 0
    values = RANDOM.integers(low, low + 2**bits, (6, 6))
    overlay = RANDOM.integers(0, 2, (6, 6)) << bits
    stored = (values & (2**bits - 1) | overlay).astype(np.uint16)
    data = dicom_file(stored, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=int(is_signed))
    np.testing.assert_array_equal(open_image(data).stored(0), values)


def test_values_in_the_high_bits_of_their_words_are_moved_down():
    aligned = dicom_file(DEEP << 4, BitsStored=12, HighBit=15)
    np.testing.assert_array_equal(open_image(aligned).stored(0), DEEP)
    # A header that says so without the pixels doing it.
    not_aligned = dicom_file(DEEP, BitsStored=12, HighBit=15)
    np.testing.assert_array_equal(open_image(not_aligned).stored(0), DEEP)


@pytest.mark.parametrize(("bits", "kind"), [(12, np.uint16), (24, np.uint32)])
def test_samples_of_an_odd_number_of_bits_are_unpacked(bits, kind):
    values = RANDOM.integers(0, 2**bits, (2, 4, 5)).astype(kind)
    # From the lowest bit on, without gaps (PS3.5 of 1993, 8.1).
    every = (values.ravel()[:, None] >> np.arange(bits)) & 1
    raw = np.packbits(every.ravel().astype(np.uint8), bitorder="little").tobytes()
    data = dicom_file(
        values[0],
        BitsAllocated=bits,
        BitsStored=bits,
        HighBit=bits - 1,
        NumberOfFrames=2,
        PixelData=raw,
    )
    file = open_image(data)
    np.testing.assert_array_equal(file.stored(0), values[0])
    np.testing.assert_array_equal(file.stored(1), values[1])


@pytest.mark.parametrize("syntax", PLAIN)
def test_planes_and_pixels_of_colour_are_told_apart(syntax):
    by_pixel = dicom_file(COLOR, syntax)
    planes = np.ascontiguousarray(COLOR.transpose(2, 0, 1))
    by_plane = dicom_file(COLOR, syntax, PlanarConfiguration=1, PixelData=planes.tobytes())
    np.testing.assert_array_equal(decode_image(by_pixel).values, COLOR)
    np.testing.assert_array_equal(decode_image(by_plane).values, COLOR)


def ybr_of(rgb: np.ndarray) -> np.ndarray:
    """Return full-range YCbCr by the formula of PS3.3, C.7.6.3.1.2."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])
    ybr: np.ndarray = np.clip(np.rint(rgb @ matrix.T + [0, 128, 128]), 0, 255)
    return ybr.astype(np.uint8)


def test_uncompressed_ybr_is_turned_into_rgb_once():
    image = decode_image(dicom_file(ybr_of(COLOR), PhotometricInterpretation="YBR_FULL"))
    assert abs(image.values.astype(int) - COLOR).max() <= 2


def test_uncompressed_ybr_of_limited_range_is_spread_out():
    # ITU-R BT.601: black is 16 and white 235.
    limited = np.full((4, 4, 3), 128, np.uint8)
    limited[:2, :, 0], limited[2:, :, 0] = 16, 235
    data = dicom_file(limited, PhotometricInterpretation="YBR_PARTIAL_422")
    image = decode_image(data)
    assert image.values.tolist() == [[0] * 4] * 2 + [[255] * 4] * 2


def test_subsampled_ybr_is_read_and_a_wrong_claim_of_it_mended():
    pairs = np.repeat(RANDOM.integers(0, 256, (6, 5, 3)), 2, axis=1).astype(np.uint8)
    ybr = ybr_of(pairs)
    subsampled = np.stack(
        [ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], axis=-1
    )
    said = {"PhotometricInterpretation": "YBR_FULL_422"}
    right = decode_image(dicom_file(ybr, PixelData=subsampled.tobytes(), **said))
    assert abs(right.values.astype(int) - pairs).max() <= 2
    wrong = decode_image(dicom_file(ybr, **said))
    np.testing.assert_array_equal(wrong.values, right.values)
    assert "not subsampled" in wrong.notes[0]


def rle_frame(planes: list[bytes]) -> bytes:
    """Return segments of literal runs (PS3.5, Annex G)."""
    segments = []
    for plane in planes:
        parts = [plane[i : i + 128] for i in range(0, len(plane), 128)]
        body = b"".join(bytes([len(part) - 1]) + part for part in parts)
        segments.append(body + b"\0" * (len(body) % 2))
    starts = np.cumsum([64, *map(len, segments)])[:-1].tolist()
    numbers = [len(segments), *starts, *[0] * (15 - len(segments))]
    return struct.pack("<16L", *numbers) + b"".join(segments)


def test_rle_of_every_depth_is_read():
    for pixels in (BYTE, DEEP, DEEP.astype(np.uint32) * 70_000):
        words = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
        size = pixels.dtype.itemsize
        stream = rle_frame([words[i::size] for i in range(size)])
        file = open_image(compressed([stream] * 2, RLELossless, pixels))
        np.testing.assert_array_equal(file.stored(1), pixels)
    stream = rle_frame([COLOR[..., c].tobytes() for c in range(3)])
    image = decode_image(compressed([stream], RLELossless, COLOR))
    np.testing.assert_array_equal(image.values, COLOR)


def picture(pixels: np.ndarray, format_: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format_, **options)
    return stream.getvalue()


def test_jpeg_2000_in_any_depth_and_syntax_is_read():
    for pixels in (BYTE, DEEP, COLOR):
        stream = picture(pixels, "JPEG2000", no_jp2=True)
        for syntax in (JPEG2000Lossless, JPEG2000, "1.2.840.10008.1.2.4.92"):
            photometric = "YBR_RCT" if pixels.ndim == 3 else "MONOCHROME2"
            said = {"PhotometricInterpretation": photometric}
            file = open_image(compressed([stream], syntax, pixels, **said))
            np.testing.assert_array_equal(file.stored(0), pixels)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_ls_is_read(bits):
    import jpeg_ls

    pixels = RANDOM.integers(0, 2**bits, (30, 20)).astype(np.uint8 if bits == 8 else np.uint16)
    stream = bytes(jpeg_ls.encode(pixels))
    data = compressed([stream], JPEGLSLossless, pixels, BitsStored=bits, HighBit=bits - 1)
    np.testing.assert_array_equal(open_image(data).stored(0), pixels)


# Smooth, so that the colours survive the compression.
RAMP = np.broadcast_to(np.arange(0, 256, 8, dtype=np.uint8), (32, 32))
SMOOTH = np.stack([RAMP, RAMP.T, np.full((32, 32), 90, np.uint8)], axis=-1)


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "YBR_FULL", "RGB"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("is_progressive", [False, True])
def test_jpeg_colours_are_turned_once_whatever_the_header_says(
    photometric, subsampling, is_progressive
):
    stream = picture(
        SMOOTH, "JPEG", quality=95, subsampling=subsampling, progressive=is_progressive
    )  # YCbCr with a JFIF marker
    syntax = "1.2.840.10008.1.2.4.55" if is_progressive else JPEGBaseline8Bit
    said = {"PhotometricInterpretation": photometric}
    image = decode_image(compressed([stream], syntax, SMOOTH, **said))
    assert abs(image.values.astype(int) - SMOOTH).mean() < 4


def test_jpeg_of_rgb_without_any_marker_stays_rgb():
    stream = picture(SMOOTH, "JPEG", quality=95, keep_rgb=True)
    said = {"PhotometricInterpretation": "RGB"}
    image = decode_image(compressed([stream], JPEGBaseline8Bit, SMOOTH, **said))
    assert abs(image.values.astype(int) - SMOOTH).mean() < 4


@pytest.mark.parametrize("process", ["JPEGLosslessProcess14", "JPEGLosslessProcess14_1"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16])
def test_lossless_jpeg_of_every_depth_is_read(tmp_path, process, kind):
    limits = np.iinfo(kind)
    pixels = RANDOM.integers(limits.min, limits.max, (24, 16), endpoint=True).astype(kind)
    data = encoded_by_gdcm(dicom_file(pixels), process, tmp_path)
    np.testing.assert_array_equal(open_image(data).stored(0), pixels)


def test_lossless_jpeg_in_colour_is_read(tmp_path):
    data = encoded_by_gdcm(dicom_file(COLOR), "JPEGLosslessProcess14", tmp_path)
    np.testing.assert_array_equal(decode_image(data).values, COLOR)


@pytest.mark.parametrize(
    "process",
    [
        "JPEGExtendedProcess2_4",
        "JPEGSpectralSelectionProcess6_8",
        "JPEGFullProgressionProcess10_12",
    ],
)
@pytest.mark.parametrize("bits", [8, 12])
def test_lossy_jpeg_of_every_process_and_depth_is_read(tmp_path, process, bits):
    ramp = np.add.outer(np.arange(32), np.arange(40)) * (2**bits // 80)
    pixels = ramp.astype(np.uint8 if bits == 8 else np.uint16)
    plain = dicom_file(pixels, BitsStored=bits, HighBit=bits - 1)
    file = open_image(encoded_by_gdcm(plain, process, tmp_path))
    assert abs(file.stored(0).astype(int) - pixels).max() <= 2**bits // 100


def test_a_stream_in_its_own_file_format_is_read():
    stream = picture(DEEP, "JPEG2000")  # in the boxes of JP2, which the standard forbids
    data = compressed([stream], JPEG2000Lossless, DEEP)
    np.testing.assert_array_equal(open_image(data).stored(0), DEEP)


def test_the_stream_decides_where_the_transfer_syntax_is_wrong():
    stream = picture(DEEP, "JPEG2000", no_jp2=True)
    for syntax in (JPEGBaseline8Bit, RLELossless, ExplicitVRLittleEndian):
        data = compressed([stream], JPEG2000Lossless, DEEP)
        image = decode_image(with_syntax(data, syntax))
        np.testing.assert_array_equal(image.values, DEEP)
        assert "the pixels are JPEG 2000" in image.notes[0]


def test_a_container_deeper_than_the_stream_does_no_harm():
    stream = picture(BYTE, "JPEG2000", no_jp2=True)
    data = compressed([stream], JPEG2000Lossless, DEEP, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(open_image(data).stored(0), BYTE)


@pytest.mark.parametrize(("syntax", "words"), NO_CODEC.items())
def test_what_no_codec_reads_is_named(syntax, words):
    with pytest.raises(UnreadableImageError, match=words):
        decode_image(compressed([bytes(200)], syntax, BYTE))


def test_frames_that_are_encapsulated_without_compression_are_read():
    frames = [DEEP.tobytes(), (DEEP + 1).tobytes()]
    deflated = []
    for frame in frames:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        deflated.append(deflater.compress(frame) + deflater.flush())
    for syntax, streams in (
        ("1.2.840.10008.1.2.1.98", frames),
        ("1.2.840.10008.1.2.8.1", deflated),
    ):
        file = open_image(compressed(streams, syntax, DEEP))
        np.testing.assert_array_equal(file.stored(1), DEEP + 1)


def test_big_endian_pixels_behind_a_little_endian_header_are_read():
    data = dicom_file(DEEP, ImplicitVRLittleEndian, PixelData=DEEP.astype(">u2").tobytes())
    general_electric = with_syntax(data, "1.2.840.113619.5.2")
    np.testing.assert_array_equal(open_image(general_electric).stored(0), DEEP)


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


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_dicom_file_cut_anywhere_gives_a_reason(share):
    pixels = np.random.default_rng(0).integers(0, 4096, (64, 64)).astype(np.uint16)
    data = dicom_file(pixels, PatientID="X", RescaleSlope=1, RescaleIntercept=0)
    with pytest.raises(UnreadableImageError):
        decode_image(data[: int(len(data) * share)], suffix=".dcm")


def test_random_damage_never_raises_anything_else(shared_data):
    generator = np.random.default_rng(0)
    for path in sorted((shared_data / "dicom_flavours" / "files").iterdir()):
        if path.stat().st_size >= 20_000:
            continue
        data = np.frombuffer(path.read_bytes(), np.uint8).copy()
        for _ in range(3):
            hurt = data.copy()
            where = generator.integers(0, min(len(hurt), 2000), 12)
            hurt[where] = generator.integers(0, 256, 12)
            try:
                decode_image(hurt.tobytes(), suffix=".dcm")
            except UnreadableImageError as error:
                assert error.message
                assert error.remedy


def peak_bytes(data: bytes) -> int:
    """Return how much memory refusing a file takes."""
    import tracemalloc

    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImageError) as caught:
            decode_image(data)
        assert caught.value.remedy
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_size_bombs_are_refused_before_memory_is_used():
    def claim(rows: int, columns: int, **fields) -> bytes:
        return dicom_file(DEEP, Rows=rows, Columns=columns, **fields)

    large = {"Rows": 9000, "Columns": 9000}
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    zeros = b"".join(deflater.compress(bytes(1 << 24)) for _ in range(40)) + deflater.flush()
    plain = dicom_file(DEEP, DeflatedExplicitVRLittleEndian)
    meta = 132 + 12 + pydicom.dcmread(io.BytesIO(plain)).file_meta.FileMetaInformationGroupLength
    bombs = {
        "rows and columns": claim(60_000, 60_000),
        "pixels that aren't there": claim(9000, 9000),
        "frames": claim(12, 20, NumberOfFrames=2_000_000_000),
        "run-length coding": compressed([rle_frame([bytes(9)] * 2)], RLELossless, DEEP, **large),
        "another size than the stream": compressed(
            [picture(DEEP, "JPEG2000", no_jp2=True)], JPEG2000Lossless, DEEP, **large
        ),
        "deflated zeros": plain[:meta] + zeros,
    }
    for name, data in bombs.items():
        limit = (1 << 29) + (1 << 25) if name == "deflated zeros" else 1 << 22
        assert peak_bytes(data) < limit, name


def jpeg(height: int = 30, width: int = 40) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    return picture(noise, "JPEG")


def test_a_sound_stream_passes_and_says_what_it_is():
    facts = check_stream(jpeg(), 30, 40, samples=1, bits=8)
    assert (facts.process, facts.rows, facts.columns, facts.samples) == ("dct", 30, 40, 1)
    assert facts.bits == 8


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


def test_a_jpeg_2000_stream_of_another_size_or_of_countless_tiles_is_refused(shared_data):
    data = (shared_data / "dicom_flavours" / "files" / "693_J2KI.dcm").read_bytes()
    assert decode_image(data).values.shape == (512, 512)
    at = data.index(b"\xff\x4f\xff\x51") + 8
    for offset, damage in ((0, b"\0\x10\0\0"), (16, b"\0\0\0\1" * 2)):  # its width; a tile's size
        hurt = bytearray(data)
        hurt[at + offset : at + offset + len(damage)] = damage
        with pytest.raises(UnreadableImageError):
            decode_image(bytes(hurt))
