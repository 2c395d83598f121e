"""One frame of a DICOM file as an array of stored values, whatever its compression.

What a compressed frame says about itself decides the codec, not the transfer syntax: archives
convert files and forget to say so.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
)

from engine.contract.errors import UnreadableImageError
from engine.data.dicom_codecs import decode_8_bit_jpeg, decode_deep_jpeg
from engine.data.dicom_frames import Frames, PixelFacts
from engine.data.dicom_parse import GE_BIG_ENDIAN, ensure_transfer_syntax
from engine.data.dicom_streams import StreamFacts, check_stream

__all__ = ["decode_frame", "ensure_transfer_syntax"]

_ENCAPSULATED_PLAIN: Final = UID("1.2.840.10008.1.2.1.98")
_DEFLATED_FRAMES: Final = UID("1.2.840.10008.1.2.8.1")
_VIDEO_PREFIXES: Final = ("1.2.840.10008.1.2.4.10", "1.2.840.10008.1.2.7.")
_JPEG_XL: Final = frozenset(f"1.2.840.10008.1.2.4.11{i}" for i in range(3))
_REFERENCED: Final = frozenset(
    {"1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.204"}
)
# One codec per process, the sturdiest: left to itself pydicom tries all in turn, and GDCM ends
# the whole process on some damaged streams that the others refuse with an error.
_CODECS: Final = {
    "lossless": (JPEGLossless, "gdcm"),
    "jpeg_ls": (JPEGLSLossless, "pyjpegls"),
    "jpeg_2000": (JPEG2000, "pylibjpeg"),
}
_JPEG: Final = "1.2.840.10008.1.2.4."
_EXPECTED: Final = {
    "dct": tuple(f"{_JPEG}{n}" for n in (50, 51, 52, 53, 54, 55, 56)),
    "lossless": tuple(f"{_JPEG}{n}" for n in (57, 58, 65, 66, 70)),
    "jpeg_ls": tuple(f"{_JPEG}{n}" for n in (80, 81)),
    "jpeg_2000": tuple(f"{_JPEG}{n}" for n in (90, 91, 92, 93, 201, 202, 203)),
    "rle": ("1.2.840.10008.1.2.5",),
}
"""The transfer syntaxes of each process."""
_NAMES: Final = {
    "dct": "lossy JPEG",
    "lossless": "lossless JPEG",
    "jpeg_ls": "JPEG-LS",
    "jpeg_2000": "JPEG 2000",
    "rle": "RLE",
}
_END_OF_IMAGE: Final = b"\xff\xd9"
_RLE_HEADER_BYTES: Final = 64
_RLE_GAIN: Final = 64
"""Two bytes stand for at most 128."""
_PLAIN_BITS: Final = frozenset({8, 16, 32, 64})
_PARTIAL: Final = "YBR_PARTIAL"


def decode_frame(
    frames: Frames, frame: int, syntax: UID | None, *, is_little: bool
) -> tuple[NDArray[Any], list[str]]:
    """Return the stored values of one frame; YBR is turned into RGB, palettes are not applied.

    Args:
        frames: Of the file.
        frame: Which one, from 0.
        syntax: Transfer syntax, if the file states one.
        is_little: Byte order of the data set.

    Returns:
        ``(rows, columns)`` or ``(rows, columns, 3)`` in native byte order, and what had to be
        assumed.

    Raises:
        UnreadableImageError: If the compression isn't understood.
        Exception: Whatever the codecs raise; see ``dicom_parse.DECODER_ERRORS``.
    """
    try:
        values, notes = _decode(frames, frame, syntax, is_little=is_little)
    except BaseException as error:
        # A codec written in Rust panics on damaged data, past every "except Exception".
        if type(error).__name__ == "PanicException":
            raise ValueError("the codec gave up") from error
        raise
    if values.dtype.byteorder not in "=|":
        values = values.astype(values.dtype.newbyteorder("="))
    return values, notes


def _decode(
    frames: Frames, frame: int, syntax: UID | None, *, is_little: bool
) -> tuple[NDArray[Any], list[str]]:
    facts = frames.facts
    if not frames.element.is_encapsulated:
        is_little = is_little and syntax != GE_BIG_ENDIAN
        value = frames.element.value
        return _plain(value, frame, frames.n_frames, facts, is_little=is_little), []
    _refuse_what_no_codec_reads(syntax)
    stream = frames.stream(frame)
    if syntax == _ENCAPSULATED_PLAIN:
        return _plain(memoryview(stream), 0, 1, facts, is_little=True), []
    if syntax == _DEFLATED_FRAMES:
        whole = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream, facts.frame_bits // 8 + 2)
        return _plain(memoryview(whole), 0, 1, facts, is_little=True), []
    if _is_rle(stream):
        return _run_length(stream, facts), _surprise("rle", syntax)
    found = check_stream(stream, facts.rows, facts.columns, facts.samples, bits=16)
    notes = _surprise(found.process, syntax)
    if found.process == "dct":
        return (decode_8_bit_jpeg if found.bits <= 8 else decode_deep_jpeg)(stream, facts), notes
    return _compressed(stream, facts, found), notes


def _refuse_what_no_codec_reads(syntax: UID | None) -> None:
    kind = None
    if syntax is None:
        return
    if syntax.startswith(_VIDEO_PREFIXES):
        kind = "a video"
    elif syntax in _JPEG_XL:
        kind = "compressed with JPEG XL"
    elif syntax in _REFERENCED:
        raise UnreadableImageError(
            "The DICOM file holds no pixels: it only says on which server they are.",
            remedy="Export it from the archive with its pixels.",
        )
    if kind is not None:
        raise UnreadableImageError(
            f"The image in the DICOM file is {kind}, which RadTune doesn't read.",
            remedy="Export it again from the archive, uncompressed if possible.",
        )


def _surprise(process: str, syntax: UID | None) -> list[str]:
    """Return a note where a frame isn't compressed in the way that the file states."""
    if syntax in _EXPECTED[process]:
        return []
    return [f"The transfer syntax doesn't say so, but the pixels are {_NAMES[process]}."]


def _plain(
    value: memoryview, frame: int, n_frames: int, facts: PixelFacts, *, is_little: bool
) -> NDArray[Any]:
    """Read an uncompressed frame."""
    if facts.allocated not in _PLAIN_BITS:
        return _packed(value, frame, facts, is_little=is_little)
    n_bytes = -(-n_frames * facts.frame_bits // 8)
    syntax = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
    options = _options(facts) | {
        "bits_stored": facts.high_bit + 1,
        "number_of_frames": n_frames,
        "pixel_vr": facts.vr,
    }
    is_partial = facts.photometric.startswith(_PARTIAL)
    if is_partial:
        options["photometric_interpretation"] = (
            "YBR_FULL_422" if facts.is_subsampled else "YBR_FULL"
        )
    source = value[: n_bytes + n_bytes % 2]
    values, _ = get_decoder(syntax).as_array(source, index=frame, raw=is_partial, **options)
    if is_partial:
        return _from_partial(values)
    return _low_aligned(values, facts)


def _options(facts: PixelFacts) -> dict[str, Any]:
    """Return the layout of one frame in pydicom's words."""
    options: dict[str, Any] = {
        "rows": facts.rows,
        "columns": facts.columns,
        "number_of_frames": 1,
        "samples_per_pixel": facts.samples,
        "photometric_interpretation": facts.photometric,
        "pixel_keyword": facts.keyword,
        "bits_allocated": facts.allocated,
        "bits_stored": facts.stored,
        "pixel_representation": int(facts.is_signed),
    }
    if facts.samples > 1:
        options["planar_configuration"] = facts.planar
    return options


def _low_aligned(values: NDArray[Any], facts: PixelFacts) -> NDArray[Any]:
    """Shift values that fill the high bits of their words (old archives) to the low ones.

    Headers that say so without the pixels doing it are common; then the high bits are empty.
    """
    shift = facts.high_bit + 1 - facts.stored
    if shift == 0 or values.dtype.kind not in "iu":
        return values
    lowest = values & ((1 << shift) - 1)
    if lowest.any() and int(values.max()) < 1 << facts.stored and int(values.min()) >= 0:
        return values
    shifted: NDArray[Any] = values >> shift
    return shifted


def _packed(value: memoryview, frame: int, facts: PixelFacts, *, is_little: bool) -> NDArray[Any]:
    """Read samples of a number of bits that no type has: single ones, the 12 of old archives.

    Samples and frames follow each other without gaps, from the lowest bit of each 16-bit word on
    (PS3.5 of 1993, 8.1), which is that of each byte where the order is little endian.
    """
    if facts.allocated > 32 or facts.is_subsampled or facts.keyword != "PixelData":
        raise UnreadableImageError(
            f"The image has {facts.allocated} bits per pixel, which RadTune doesn't read.",
            remedy="Export it again with 8 or 16 bits, or leave it out.",
        )
    start = frame * facts.frame_bits
    raw = np.frombuffer(value[start // 8 : -(-(start + facts.frame_bits) // 8) + 1], np.uint8)
    if not is_little and facts.vr == "OW":
        raw = raw[: len(raw) // 2 * 2].reshape(-1, 2)[:, ::-1].ravel()
    n_samples = facts.rows * facts.columns * facts.samples
    bits = np.unpackbits(raw, bitorder="little")[start % 8 :][: n_samples * facts.allocated]
    numbers = np.zeros(n_samples, np.int64)
    for place in range(facts.allocated):
        numbers |= bits[place :: facts.allocated].astype(np.int64) << place
    numbers &= (1 << (facts.high_bit + 1)) - 1
    numbers >>= facts.high_bit + 1 - facts.stored
    is_signed = facts.is_signed and facts.allocated > 1
    if is_signed:
        numbers[numbers >= 1 << (facts.stored - 1)] -= 1 << facts.stored
    shape: tuple[int, ...] = (facts.rows, facts.columns)
    if facts.samples > 1:
        shape = (facts.samples, *shape) if facts.planar else (*shape, facts.samples)
    shaped: NDArray[Any] = numbers.reshape(shape)
    if facts.samples > 1 and facts.planar:
        shaped = shaped.transpose(1, 2, 0)
    n_bytes = 1 if facts.allocated <= 8 else 2 if facts.allocated <= 16 else 4
    return shaped.astype(f"{'i' if is_signed else 'u'}{n_bytes}")


def _is_rle(stream: bytes) -> bool:
    """Return whether a frame begins with a table of RLE segments (PS3.5, G.5)."""
    if len(stream) < _RLE_HEADER_BYTES:
        return False
    n_segments, first = struct.unpack_from("<2L", stream)
    return bool(1 <= n_segments <= 15 and first == _RLE_HEADER_BYTES)


def _run_length(stream: bytes, facts: PixelFacts) -> NDArray[Any]:
    n_segments = facts.samples * -(-facts.allocated // 8)
    if struct.unpack_from("<L", stream)[0] != n_segments:
        raise ValueError("another number of segments")
    if facts.frame_bits // 8 > _RLE_GAIN * len(stream):
        raise ValueError("less than expected: the stream can't hold so many pixels")
    # Segments of a compressed frame are whole, never subsampled.
    options = _options(facts) | {"bits_stored": facts.high_bit + 1}
    decoder = get_decoder(RLELossless)
    values, _ = decoder.as_array(
        _encapsulated(stream), index=0, decoding_plugin="pylibjpeg", **options
    )
    return _low_aligned(values, facts)


def _compressed(stream: bytes, facts: PixelFacts, found: StreamFacts) -> NDArray[Any]:
    """Decode lossless JPEG, JPEG-LS or JPEG 2000, in the depth of the stream."""
    syntax, plugin = _CODECS[found.process]
    if found.process == "jpeg_ls":
        # Without an end marker CharLS counts to two billion before it gives up on a damaged
        # stream; a second one does no harm.
        stream += _END_OF_IMAGE
    options = _options(facts) | {
        "bits_allocated": 8 if found.bits <= 8 else 16 if found.bits <= 16 else 32,
        "bits_stored": max(found.bits, min(facts.stored, 8 if found.bits <= 8 else 32)),
    }
    values, _ = get_decoder(syntax).as_array(
        _encapsulated(stream), index=0, decoding_plugin=plugin, **options
    )
    return values


def _encapsulated(stream: bytes) -> bytes:
    """Return one frame as the encapsulated pixel data of a file of one frame."""
    item = b"\xfe\xff\x00\xe0"
    padded = stream + b"\0" * (len(stream) % 2)
    return item + bytes(4) + item + struct.pack("<L", len(padded)) + padded


def _from_partial(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Turn YBR of limited range (16 to 235 and 240) into RGB (ITU-R BT.601, PS3.3 C.7.6.3.1.2)."""
    scaled = values.astype(np.float32)
    scaled[..., 0] = (scaled[..., 0] - 16) * (255 / 219)
    scaled[..., 1:] = (scaled[..., 1:] - 128) * (255 / 224) + 128
    full = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    rgb: NDArray[np.uint8] = convert_color_space(full, "YBR_FULL", "RGB")
    return rgb
