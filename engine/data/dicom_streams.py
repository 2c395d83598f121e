"""A look at a compressed frame before a codec sees it.

Codecs believe the sizes in their own stream: a damaged one can ask for many gigabytes or minutes.
The data set says how large the image is, so a stream that disagrees is refused first.

References:
    ISO/IEC 10918-1 (JPEG), 14495-1 (JPEG-LS), 15444-1 (JPEG 2000), annexes on markers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_J2K_START: Final = b"\xff\x4f\xff\x51"  # start of codestream, then the image size marker
_J2K_SEARCHED_BYTES: Final = 4096  # a JP2 wrapper may come first, though DICOM forbids it
_MOST_TILES: Final = 4096
_MOST_LEVELS: Final = 32
_LOSSLESS_FRAMES: Final = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_DCT_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Baseline, extended and progressive, with Huffman or arithmetic coding; not hierarchical."""
_PLAIN_LOSSLESS_FRAME: Final = 0xC3
_JPEG_LS_FRAME: Final = 0xF7
# Start of frame of every JPEG process, and of JPEG-LS; not the tables between them.
_FRAMES: Final = (frozenset(range(0xC0, 0xD0)) | {_JPEG_LS_FRAME}) - {0xC4, 0xC8, 0xCC}
_HUFFMAN, _SCAN = 0xC4, 0xDA
# Tables, restart interval, JPEG-LS parameters, application data and comments.
_SKIPPED: Final = frozenset({0xCC, 0xDB, 0xDD, 0xF8, 0xFE, *range(0xE0, 0xF0)})
_AFTER_SCAN: Final = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
"""The next marker in coded data, other than stuffing and restarts."""
_MAY_FOLLOW: Final = frozenset({0xD9, _HUFFMAN, _SCAN, *_SKIPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFacts:
    """What a compressed frame says about itself.

    Attributes:
        process: ``dct`` (baseline, extended or progressive JPEG), ``lossless`` (JPEG), ``jpeg_ls``
            or ``jpeg_2000`` (also High-Throughput).
        bits: Bits per sample.
    """

    process: str
    rows: int
    columns: int
    samples: int
    bits: int


def check_stream(stream: bytes, rows: int, columns: int, samples: int, bits: int) -> StreamFacts:
    """Check that a JPEG, JPEG-LS or JPEG 2000 stream holds such an image and is well-formed.

    Args:
        stream: One frame.
        rows: As in the data set.
        columns: Likewise.
        samples: Samples per pixel.
        bits: Most bits per sample that there is room for.

    Returns:
        What the stream says, which decides the codec: a transfer syntax can be wrong.

    Raises:
        ValueError: If it doesn't, or is no such stream.
    """
    start = stream.find(_J2K_START, 0, _J2K_SEARCHED_BYTES)
    if start >= 0:
        facts = _jpeg_2000_facts(stream, start + 4)
    else:
        facts = _jpeg_facts(stream, samples, bits)
    if (facts.rows, facts.columns) != (rows, columns):
        size = f"{facts.rows} x {facts.columns}"
        raise ValueError(f"the stream holds {size} pixels, not {rows} x {columns}")
    if facts.samples != samples:
        raise ValueError(f"the stream holds {facts.samples} components, not {samples}")
    return facts


def _jpeg_2000_facts(stream: bytes, at: int) -> StreamFacts:
    """Read the SIZ marker: extent, offset, tile size and tile offset of the reference grid."""
    fields = [_number(stream, at + 4 + 4 * i, 4) for i in range(8)]
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top = fields
    width, height = right - left, bottom - top
    if min(tile_width, tile_height) < 1 or tile_left > left or tile_top > top:
        raise ValueError("impossible tiles")
    n_tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    if n_tiles > _MOST_TILES:
        raise ValueError(f"{n_tiles} tiles")
    coding = stream.find(b"\xff\x52", at, at + 4096)  # COD
    if coding >= 0 and _number(stream, coding + 9, 1) > _MOST_LEVELS:
        raise ValueError("too many decomposition levels")
    depth = _number(stream, at + 38, 1)  # the highest bit says whether it is signed
    return StreamFacts(
        process="jpeg_2000",
        rows=height,
        columns=width,
        samples=_number(stream, at + 36, 2),
        bits=(depth & 127) + 1,
    )


def _jpeg_facts(stream: bytes, samples: int, bits: int) -> StreamFacts:
    """Walk the marker segments to the first scan and return what the frame header says."""
    at, frame, size, depth = 2, 0, (0, 0), 0
    if not stream.startswith(b"\xff\xd8"):
        raise ValueError("no JPEG stream")
    while True:
        if _number(stream, at, 1) != 0xFF:
            raise ValueError("no marker where one belongs")
        marker = _number(stream, at + 1, 1)
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        body = stream[at + 4 : at + 2 + _number(stream, at + 2, 2)]
        if marker == _SCAN:
            break
        if marker in _FRAMES and not frame:
            frame, size, depth = marker, _frame_size(body, samples, bits), body[0]
        elif marker == _HUFFMAN:
            _check_huffman(body)
        elif marker not in _SKIPPED:
            raise ValueError(f"unexpected marker {marker:x}")
        at += 4 + len(body)
    _check_scan(body, frame, samples)
    if frame != _JPEG_LS_FRAME:  # stuffed in another way
        _check_coded(stream, at + 4 + len(body))
    return StreamFacts(
        process=_process(frame), rows=size[0], columns=size[1], samples=samples, bits=depth
    )


def _process(frame: int) -> str:
    if frame in _DCT_FRAMES:
        return "dct"
    if frame == _PLAIN_LOSSLESS_FRAME:
        return "lossless"
    if frame == _JPEG_LS_FRAME:
        return "jpeg_ls"
    raise ValueError("a process that no codec here knows")


def _frame_size(body: bytes, samples: int, bits: int) -> tuple[int, int]:
    n_components = _number(body, 5, 1)
    if n_components != samples or len(body) != 6 + 3 * n_components:
        raise ValueError("another number of components")
    if not 2 <= body[0] <= bits:
        raise ValueError(f"{body[0]} bits where there is room for {bits}")
    for factors, table in zip(body[7::3], body[8::3], strict=True):
        if not (1 <= factors >> 4 <= 4 and 1 <= factors & 15 <= 4 and table < 4):
            raise ValueError("impossible component")
    return _number(body, 1, 2), _number(body, 3, 2)


def _check_huffman(body: bytes) -> None:
    at = 0
    while at < len(body):
        if body[at] >> 4 > 1 or body[at] & 15 > 3:
            raise ValueError("impossible table")
        n_codes = sum(body[at + 1 : at + 17])
        at += 17 + n_codes
        if n_codes > 256 or at > len(body):
            raise ValueError("impossible table")


def _check_scan(body: bytes, frame: int, samples: int) -> None:
    n_components = _number(body, 0, 1)
    if not frame or not 1 <= n_components <= samples or len(body) != 4 + 2 * n_components:
        raise ValueError("impossible scan")
    if frame in _LOSSLESS_FRAMES and not 1 <= body[1 + 2 * n_components] <= 7:
        raise ValueError("impossible predictor")


def _check_coded(stream: bytes, at: int) -> None:
    """Check that the first scan is followed by what may follow one, or by nothing."""
    found = _AFTER_SCAN.search(stream, at)
    if found is not None and found[1][0] not in _MAY_FOLLOW:
        raise ValueError(f"unexpected marker {found[1][0]:x}")


def _number(stream: bytes, at: int, n_bytes: int) -> int:
    field = stream[at : at + n_bytes]
    if len(field) < n_bytes:
        raise ValueError("the stream is truncated")
    return int.from_bytes(field, "big")
