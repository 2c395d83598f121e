"""The tables that DICOM keeps as numbers in its header: modality, VOI and palette.

References:
    DICOM PS3.3, C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.5 (palette), C.7.9.2
    (segmented palettes).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from engine.data.dicom_header import field_value, numbers
from engine.data.units import Table

_MOST_ENTRIES: Final = 1 << 16
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2  # kinds of segments


def lookup_table(item: Dataset, *, is_little: bool, is_signed: bool) -> Table:
    """Read an item of a Modality or VOI LUT Sequence.

    Args:
        item: With ``LUTDescriptor`` and ``LUTData``.
        is_little: Byte order of the data set.
        is_signed: Whether the table's input may be negative.

    Raises:
        ValueError: If it is no sound table.
    """
    count, first, bits = _descriptor(item, "LUTDescriptor", is_signed=is_signed)
    entries = _numbers(field_value(item, "LUTData"), count, is_little=is_little)
    return _table(entries, count, first, bits)


def palette(header: Dataset, color: str, *, is_little: bool, is_signed: bool) -> Table:
    """Read one of the palettes of a colour table, plain or segmented.

    Args:
        header: Of the file.
        color: ``Red``, ``Green`` or ``Blue``.
        is_little: Byte order of the data set.
        is_signed: Whether indices may be negative.

    Raises:
        ValueError: If there is none, or none that is sound.
    """
    name = f"{color}PaletteColorLookupTable"
    # Green and blue sometimes lack their own; the standard wants all three to be equal.
    described = name if f"{name}Descriptor" in header else "RedPaletteColorLookupTable"
    count, first, bits = _descriptor(header, f"{described}Descriptor", is_signed=is_signed)
    plain = field_value(header, f"{name}Data")
    if plain is not None:
        return _table(_numbers(plain, count, is_little=is_little), count, first, bits)
    segments = field_value(header, f"Segmented{name}Data")
    if not isinstance(segments, bytes):
        raise ValueError("no palette")
    letter = "u1" if bits <= 8 else "<u2" if is_little else ">u2"
    width = 1 if bits <= 8 else 2
    words = np.frombuffer(segments[: len(segments) // width * width], letter).tolist()
    return _table(np.array(_expanded(words, is_wide=bits > 8), np.uint16), count, first, bits)


def _descriptor(item: Dataset, keyword: str, *, is_signed: bool) -> tuple[int, int, int]:
    """Return number of entries, first value mapped, and bits of an entry."""
    found = numbers(item, keyword)
    if len(found) != 3:
        raise ValueError("no table descriptor")
    count, first, bits = (int(number) for number in found)
    count %= _MOST_ENTRIES  # read as signed where its type is ambiguous
    if is_signed and first >= 1 << 15:
        first -= _MOST_ENTRIES
    if not is_signed and first < 0:
        first += _MOST_ENTRIES
    if not 1 <= bits <= 16:
        raise ValueError("impossible bits")
    # The field has 16 bits, so that the largest table reads 0.
    return count or _MOST_ENTRIES, first, bits


def _numbers(value: Any, count: int, *, is_little: bool) -> NDArray[np.uint16]:
    if isinstance(value, bytes):
        if len(value) >= 2 * count:
            return np.frombuffer(value, "<u2" if is_little else ">u2", count).astype(np.uint16)
        entries = np.frombuffer(value, np.uint8)
        # Bytes in words: each pair comes in the order of a word.
        return (entries if is_little else _swapped(entries)).astype(np.uint16)
    if value is None:
        raise ValueError("no table")
    return np.atleast_1d(np.asarray(value)).astype(np.int64).astype(np.uint16)


def _swapped(entries: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return entries[: len(entries) // 2 * 2].reshape(-1, 2)[:, ::-1].ravel()


def _table(entries: NDArray[np.uint16], count: int, first: int, bits: int) -> Table:
    if len(entries) < min(count, 2):
        raise ValueError("a table without entries")
    entries = entries[:count]
    largest = int(entries.max())
    if largest >= 1 << bits:
        bits = largest.bit_length()  # the descriptor is wrong
    return Table(first=first, entries=entries, bits=bits)


def _expanded(words: list[int], *, is_wide: bool) -> list[int]:
    """Expand the segments of a palette: runs of values, ramps, and copies of earlier segments."""
    entries: list[int] = []
    at = 0
    while at + 1 < len(words) and len(entries) < _MOST_ENTRIES:
        kind, length = words[at], words[at + 1]
        if kind == _INDIRECT:
            n_words = 2 if is_wide else 4
            parts = words[at + 2 : at + 2 + n_words]
            offset = sum(part << (8 * (4 // n_words) * i) for i, part in enumerate(parts))
            entries += _copied(words, offset // (2 if is_wide else 1), length, entries)
            at += 2 + n_words
        else:
            segment, at = _segment(words, at, entries)
            entries += segment
    return entries[:_MOST_ENTRIES]


def _segment(words: list[int], at: int, before: list[int]) -> tuple[list[int], int]:
    """Return the entries of a run or a ramp, and where the next segment begins."""
    kind, length = words[at], words[at + 1]
    if kind == _DISCRETE:
        return words[at + 2 : at + 2 + length], at + 2 + length
    if kind != _LINEAR or not before or at + 2 >= len(words):
        raise ValueError("no segment")
    start, end = before[-1], words[at + 2]
    steps = range(1, length + 1)
    return [round(start + step * (end - start) / length) for step in steps], at + 3


def _copied(words: list[int], at: int, n_segments: int, before: list[int]) -> list[int]:
    """Repeat segments that were defined earlier; none of them may be a copy itself."""
    entries: list[int] = []
    for _ in range(n_segments):
        if at + 1 >= len(words):
            raise ValueError("a copy of nothing")
        segment, at = _segment(words, at, entries or before)
        entries += segment
        if len(entries) > _MOST_ENTRIES:
            break
    return entries
