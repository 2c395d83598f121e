"""How the pixels of a DICOM file are laid out, and where each of its frames lies.

Broken or missing values are replaced by what the pixel data themselves say, where they leave no
doubt; sizes are checked before anything is allocated.

References:
    DICOM PS3.3, C.7.6.3 (image pixel), PS3.5, A.4 (encapsulated frames).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydicom.dataset import Dataset

from engine.contract.errors import UnreadableImageError
from engine.data.dicom_header import field_text, field_value, numbers
from engine.data.dicom_parse import REMEDY, ParsedDicom, PixelElement
from engine.data.pictures import check_size

_ITEM: Final = b"\xfe\xff\x00\xe0"
_END: Final = b"\xfe\xff\xdd\xe0"
_TRAILING_BYTES: Final = 64
"""Without an end the file must end, or go on with zeros."""
_STARTS: Final = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")
"""How a JPEG, JPEG-LS or JPEG 2000 frame begins; its further fragments begin otherwise."""
_MOST_FRAMES: Final = 1_000_000
_MOST_BITS: Final = 64
_FLOAT_BITS: Final = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
_SUBSAMPLED: Final = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFacts:
    """The Image Pixel module of a file, mended where it can be.

    Attributes:
        photometric: Upper case.
        allocated: Bits allocated to a sample.
        stored: Bits that are used.
        high_bit: Position of the highest used bit.
        planar: 0 colour by pixel, 1 by plane.
        keyword: Element that holds the pixels.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    allocated: int
    stored: int
    high_bit: int
    is_signed: bool
    planar: int
    keyword: str
    vr: str

    @property
    def frame_bits(self) -> int:
        """Bits of one uncompressed frame; those of 1-bit frames need not end with a byte."""
        samples = 2 if self.is_subsampled else self.samples
        return self.rows * self.columns * samples * self.allocated

    @property
    def is_subsampled(self) -> bool:
        """Whether two neighbours share their colour where nothing is compressed."""
        return self.photometric in _SUBSAMPLED and self.samples == 3


class Frames:
    """The frames of a file, found but not decoded."""

    def __init__(self, parsed: ParsedDicom) -> None:
        """Find them.

        Raises:
            UnreadableImageError: If the header's numbers can't be, frames are missing, or the
                image is too large.
        """
        if parsed.pixels is None:
            raise ValueError("no pixels")
        self.element: PixelElement = parsed.pixels
        self.notes: list[str] = []
        declared = _declared_frames(parsed.header)
        if self.element.is_encapsulated:
            self.facts = _facts(parsed, 0)
            self._parts = _grouped(*_fragments(self.element.value), declared)
            self.n_frames = len(self._parts)
        else:
            self.facts = _facts(parsed, len(self.element.value) // max(1, declared or 1))
            self.n_frames = self._plain_frames(declared)
        if declared is None:
            count = "1 frame" if self.n_frames == 1 else f"{self.n_frames:,} frames"
            self.notes.append(
                f"The number of frames in the header is no number; the pixel data hold {count}."
            )
        if self.n_frames > _MOST_FRAMES:
            raise UnreadableImageError(
                f"The file has {self.n_frames:,} frames, more than the million that RadTune reads.",
                remedy="Leave it out.",
            )

    def stream(self, frame: int) -> bytes:
        """Return the compressed bytes of one frame."""
        return b"".join(self._parts[frame])

    def _plain_frames(self, declared: int | None) -> int:
        """Count the uncompressed frames, and mend a layout that contradicts their length."""
        facts, n_bits = self.facts, 8 * len(self.element.value)
        whole = facts.rows * facts.columns * facts.samples * facts.allocated
        if facts.is_subsampled and n_bits >= whole * (declared or 1):
            # As long as without subsampling, so there is none.
            facts = replace(facts, photometric=facts.photometric.removesuffix("_422"))
            self.facts = facts
            self.notes.append("The colours are not subsampled, though the header says so.")
        available = n_bits // facts.frame_bits
        if declared is None:
            spare = n_bits - available * facts.frame_bits
            # Values are padded to an even number of bytes, and no further.
            if available < 1 or spare >= 16 or self.element.is_short:
                raise UnreadableImageError(
                    "The DICOM file is damaged: its number of frames is no number, and its pixel "
                    "data don't tell it.",
                    remedy=REMEDY,
                )
            return available
        if available < declared:
            raise _cut_off()
        return declared


def _cut_off() -> UnreadableImageError:
    return UnreadableImageError(
        "The DICOM file is cut off: pixel data are missing at its end.",
        remedy="Export it again from the archive, uncompressed if possible.",
    )


def _declared_frames(header: Dataset) -> int | None:
    """Return the number of frames in the header; 1 without one, None if it is no number."""
    value = field_value(header, "NumberOfFrames")
    if value is None:
        # An odd value may be there that pydicom can't even return.
        return None if "NumberOfFrames" in header and _has_value(header) else 1
    try:
        number = float(str(value).strip(" \x00"))
    except ValueError:
        return None
    return max(1, int(number)) if number.is_integer() else None


def _has_value(header: Dataset) -> bool:
    raw = header.get_item("NumberOfFrames")
    return bool(getattr(raw, "value", None))


def _facts(parsed: ParsedDicom, frame_bytes: int) -> PixelFacts:
    """Read the Image Pixel module.

    Args:
        parsed: The file.
        frame_bytes: Bytes of an uncompressed frame, where they are known.
    """
    header, element = parsed.header, parsed.pixels
    if element is None:
        raise ValueError("no pixels")
    rows, columns = _size(header)
    photometric = field_text(header, "PhotometricInterpretation").upper()
    samples = _samples(header, photometric)
    allocated = _FLOAT_BITS.get(element.keyword) or _whole(header, "BitsAllocated")
    if not allocated:
        allocated = 8 * frame_bytes // (rows * columns * samples) if frame_bytes else 16
    if not 1 <= allocated <= _MOST_BITS:
        raise UnreadableImageError(
            "The DICOM file is damaged: its number of bits per pixel can't be.", remedy=REMEDY
        )
    check_size(columns, rows, samples, allocated)
    stored, high = _whole(header, "BitsStored"), _whole(header, "HighBit")
    stored = stored if 1 <= stored <= allocated else allocated
    return PixelFacts(
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=photometric or ("MONOCHROME2" if samples == 1 else "RGB"),
        allocated=allocated,
        stored=stored,
        high_bit=high if stored - 1 <= high < allocated else stored - 1,
        is_signed=_whole(header, "PixelRepresentation") == 1,
        planar=1 if _whole(header, "PlanarConfiguration") == 1 else 0,
        keyword=element.keyword,
        vr=element.vr,
    )


def _size(header: Dataset) -> tuple[int, int]:
    rows, columns = _whole(header, "Rows"), _whole(header, "Columns")
    if rows and columns:
        return rows, columns
    raise UnreadableImageError(
        "The DICOM file is damaged: it doesn't say how many rows and columns it has.",
        remedy=REMEDY,
    )


def _samples(header: Dataset, photometric: str) -> int:
    """Return the values per pixel; without a number the kind of colours tells."""
    samples = _whole(header, "SamplesPerPixel")
    if not samples:
        return 3 if photometric.startswith(("RGB", "YBR")) else 1
    if samples in (1, 3):
        return samples
    raise UnreadableImageError(
        f"The image has {samples} values per pixel, which RadTune doesn't read.",
        remedy="Export it again in grey or RGB, or leave it out.",
    )


def _whole(header: Dataset, keyword: str) -> int:
    """Return a whole number of the header; 0 if it isn't there or none."""
    found = numbers(header, keyword)
    return int(found[0]) if found and found[0] >= 0 else 0


def _fragments(value: memoryview) -> tuple[list[memoryview], list[int]]:
    """Return the fragments of encapsulated pixels, and which of them begin a frame.

    Returns:
        The fragments, and the first fragment of each frame by the basic offset table; empty where
        the table is, or where it doesn't fit the fragments.

    Raises:
        UnreadableImageError: If there are none, the last one is cut off, or something else follows
            than the end of the sequence.
    """
    items: list[memoryview] = []
    starts: list[int] = []
    at = 0
    while bytes(value[at : at + 4]) == _ITEM and at + 8 <= len(value):
        [length] = struct.unpack_from("<L", value, at + 4)
        if at + 8 + length > len(value):
            raise _cut_off()
        items.append(value[at + 8 : at + 8 + length])
        starts.append(at)
        at += 8 + length
    if len(items) < 2:  # the first is the table
        raise _cut_off()
    if bytes(value[at : at + 4]) != _END and any(value[at : at + _TRAILING_BYTES]):
        raise UnreadableImageError(
            "The DICOM file is damaged: its compressed pixels don't follow each other.",
            remedy=REMEDY,
        )
    table, *fragments = items
    number_at = {start - starts[1]: number for number, start in enumerate(starts[1:])}
    offsets = struct.unpack(f"<{len(table) // 4}L", table[: len(table) // 4 * 4])
    firsts = [number_at[offset] for offset in offsets if offset in number_at]
    is_sound = len(firsts) == len(offsets) and firsts == sorted(set(firsts)) and firsts[:1] == [0]
    return fragments, firsts if is_sound else []


def _grouped(
    fragments: list[memoryview], firsts: list[int], declared: int | None
) -> Sequence[Sequence[memoryview]]:
    """Return the fragments of each frame.

    Raises:
        UnreadableImageError: If there are fewer frames than the header says.
    """
    if declared == len(fragments):
        return [[fragment] for fragment in fragments]
    if len(firsts) != declared or declared == 1:  # one offset may stand for what is missing
        firsts = [i for i, part in enumerate(fragments) if i == 0 or _begins_a_frame(part)]
    if declared is None and len(firsts) == 1:
        firsts = list(range(len(fragments)))
    if declared is not None and len(firsts) < declared:
        raise _cut_off()
    ends = [*firsts[1:], len(fragments)]
    groups = [fragments[start:end] for start, end in zip(firsts, ends, strict=True)]
    return groups if declared is None else groups[:declared]


def _begins_a_frame(fragment: memoryview) -> bool:
    return bytes(fragment[:12]).startswith(_STARTS)
