"""Damaged, cut off and malicious DICOM files: each gives a reason, soon and in little memory."""

from __future__ import annotations

import contextlib
import io
import time
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from engine.contract.errors import UnreadableImageError
from engine.data.dicom_streams import check_stream
from engine.data.images import decode_image, open_image
from tests.helpers.dicom_files import (
    compressed,
    dicom_file,
    picture,
    rle_frame,
)

RANDOM = np.random.default_rng(0)
DEEP = RANDOM.integers(0, 4096, (12, 20)).astype(np.uint16)


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


def test_damaged_jpeg_ls_is_given_up_at_once():
    import jpeg_ls

    pixels = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    stream = bytes(jpeg_ls.encode(pixels))
    generator = np.random.default_rng(0)
    begin = time.monotonic()
    for _ in range(60):
        hurt = np.frombuffer(stream, np.uint8).copy()
        where = generator.integers(30, len(hurt), 3)
        hurt[where] = generator.integers(0, 256, 3)
        end = int(generator.integers(60, len(hurt)))  # without an end marker
        with contextlib.suppress(UnreadableImageError):
            decode_image(compressed([hurt.tobytes()[:end]], JPEGLSLossless, pixels))
    assert time.monotonic() - begin < 5


def test_fragments_that_do_not_follow_each_other_are_refused():
    data = compressed([picture(DEEP, "JPEG2000", no_jp2=True)], JPEG2000Lossless, DEEP)
    at = data.rindex(b"\xfe\xff\xdd\xe0")
    with pytest.raises(UnreadableImageError, match="follow each other"):
        open_image(data[: at - 3] + data[at:] + b"\1\2\3")
    np.testing.assert_array_equal(open_image(data[:at]).stored(0), DEEP)


def test_a_jpeg_2000_stream_of_another_size_or_of_countless_tiles_is_refused(shared_data):
    data = (shared_data / "dicom_flavours" / "files" / "693_J2KI.dcm").read_bytes()
    assert decode_image(data).values.shape == (512, 512)
    at = data.index(b"\xff\x4f\xff\x51") + 8
    for offset, damage in ((0, b"\0\x10\0\0"), (16, b"\0\0\0\1" * 2)):  # its width; a tile's size
        hurt = bytearray(data)
        hurt[at + offset : at + offset + len(damage)] = damage
        with pytest.raises(UnreadableImageError):
            decode_image(bytes(hurt))
