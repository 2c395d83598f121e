"""Pixels of DICOM files made to measure: every layout, depth and compression."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
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

from engine.contract.errors import UnreadableImageError
from engine.data.images import decode_image, open_image
from tests.helpers.dicom_files import (
    compressed,
    dicom_file,
    encoded_by_gdcm,
    header,
    picture,
    rle_frame,
    saved,
    with_syntax,
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


@pytest.mark.parametrize("bits", [8, 12])
def test_the_highest_bit_of_signed_lossy_jpeg_is_its_sign(tmp_path, bits):
    half = 2 ** (bits - 1)
    ramp = np.add.outer(np.arange(32), np.arange(40)) * (2**bits // 80)
    pixels = ramp.astype(np.uint8 if bits == 8 else np.uint16)
    plain = dicom_file(pixels, BitsStored=bits, HighBit=bits - 1)
    data = encoded_by_gdcm(plain, "JPEGExtendedProcess2_4", tmp_path)
    place = b"\x28\x00\x03\x01US\x02\x00"  # pixel representation
    signed = data.replace(place + b"\0\0", place + b"\1\0")
    assert signed != data
    unsigned_values = open_image(data).stored(0).astype(int)
    expected = np.where(unsigned_values >= half, unsigned_values - 2 * half, unsigned_values)
    np.testing.assert_array_equal(open_image(signed).stored(0), expected)


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
