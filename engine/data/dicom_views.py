"""What a DICOM header says on how its values are meant and shown: units, windows, padding, shape.

The order is that of the standard: modality LUT or rescale, then VOI LUT or window, then MONOCHROME1
turned round. The first step happens here; the others are facts of the image, applied when it is
shown.

References:
    DICOM PS3.3, C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.5.1.1.2 (padding), C.7.6.3.1.7
    (pixel aspect ratio), C.7.6.16 (functional groups of multi-frame files).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from engine.data.decoded import VoiLut, Window
from engine.data.dicom_frames import PixelFacts
from engine.data.dicom_header import field_text, field_value, numbers
from engine.data.dicom_tables import lookup_table, palette
from engine.data.units import Transform

_WINDOW_KINDS: Final = {
    "LINEAR": "linear",
    "LINEAR_EXACT": "linear_exact",
    "SIGMOID": "sigmoid",
}
_SHAPES: Final = (
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "PixelAspectRatio",
)
_PADDING: Final = (
    ("PixelPaddingValue", "PixelPaddingRangeLimit"),
    ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
    ("DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
)


class HeaderViews:
    """The views of one frame of a file."""

    def __init__(self, header: Dataset, facts: PixelFacts, frame: int, *, is_little: bool) -> None:
        """Remember where to look.

        Args:
            header: Of the file.
            facts: Layout of its pixels.
            frame: From 0; enhanced multi-frame files have values for each.
            is_little: Byte order of the data set.
        """
        self._header, self._facts, self._frame = header, facts, frame
        self._is_little = is_little

    def to_color(self, values: NDArray[Any]) -> tuple[NDArray[Any], int]:
        """Return an indexed image in RGB, and the bits of each colour.

        Palettes of 16 bits stay at 16 bits: nothing is reduced before it is windowed.

        Raises:
            ValueError: If the file has no sound palette.
        """
        tables = [
            palette(self._header, color, is_little=self._is_little, is_signed=self._facts.is_signed)
            for color in ("Red", "Green", "Blue")
        ]
        colored = np.stack([table.look_up(values) for table in tables], axis=-1)
        bits = max(table.bits for table in tables)
        if max(int(table.entries.max()) for table in tables) < 256:
            bits = 8  # 8-bit colours in a table that claims 16
        return (colored.astype(np.uint8) if bits <= 8 else colored), bits

    def to_units(self, values: NDArray[Any]) -> tuple[NDArray[Any], Transform]:
        """Apply the modality LUT or the rescale, keeping integers where they stay whole."""
        transform = self._transform()
        return transform.apply(values), transform

    def _transform(self) -> Transform:
        items = field_value(self._header, "ModalityLUTSequence")
        if items and values_are_whole(self._facts):
            try:
                table = lookup_table(
                    items[0], is_little=self._is_little, is_signed=self._facts.is_signed
                )
            except ValueError:
                pass  # a broken table is no reason to lose the image
            else:
                return Transform(table=table)
        place = self._group("PixelValueTransformationSequence") or self._header
        slopes, intercepts = numbers(place, "RescaleSlope"), numbers(place, "RescaleIntercept")
        slope = slopes[0] if slopes and slopes[0] != 0 else 1.0
        return Transform(slope=slope, intercept=intercepts[0] if intercepts else 0.0)

    def windows(self) -> tuple[Window, ...]:
        """Return the windows of the frame, in the order of the file.

        The half steps of LINEAR belong to whole numbers; files with float pixels mean
        LINEAR_EXACT.
        """
        for place in self._voi_places():
            found = list(self._windows_of(place))
            if found:
                return tuple(found)
        return ()

    def _windows_of(self, place: Dataset) -> Iterator[Window]:
        centers, widths = numbers(place, "WindowCenter"), numbers(place, "WindowWidth")
        names = _texts(field_value(place, "WindowCenterWidthExplanation"))
        kind = _WINDOW_KINDS.get(field_text(place, "VOILUTFunction").upper(), "linear")
        if kind == "linear" and not values_are_whole(self._facts):
            kind = "linear_exact"
        for i, (center, width) in enumerate(zip(centers, widths, strict=False)):
            if width > 0:
                name = names[i] if i < len(names) else ""
                yield Window(center=center, width=width, kind=kind, name=name)

    def voi_tables(self, values: NDArray[Any]) -> tuple[VoiLut, ...]:
        """Return the sound tables of the VOI LUT Sequence.

        Args:
            values: In modality units; their type tells whether the tables' input is signed.
        """
        for place in self._voi_places():
            found = []
            for item in field_value(place, "VOILUTSequence") or ():
                try:
                    table = lookup_table(
                        item, is_little=self._is_little, is_signed=values.dtype.kind != "u"
                    )
                except ValueError:
                    continue
                if len(table.entries) > 1:
                    levels = table.entries.astype(np.float32) / np.float32(2**table.bits - 1)
                    name = field_text(item, "LUTExplanation")
                    found.append(VoiLut(first=table.first, levels=levels, name=name))
            if found:
                return tuple(found)
        return ()

    def _voi_places(self) -> Iterator[Dataset]:
        if (group := self._group("FrameVOILUTSequence")) is not None:
            yield group
        yield self._header

    def padding(self, transform: Transform) -> tuple[float, float] | None:
        """Return the lowest and highest padding value in modality units."""
        for keyword, limit_keyword in _PADDING:
            value = numbers(self._header, keyword)
            if not value:
                continue
            limit = numbers(self._header, limit_keyword) or value
            ends = sorted(transform.of_number(self._as_stored(end)) for end in (value[0], limit[0]))
            return ends[0], ends[1]
        return None

    def _as_stored(self, value: float) -> float:
        """Mend a padding value that was read with the wrong sign, where its type is ambiguous."""
        facts = self._facts
        if not values_are_whole(facts):
            return value
        if facts.is_signed and value >= 1 << (facts.allocated - 1):
            return value - (1 << facts.allocated)
        if not facts.is_signed and value < 0:
            return value + (1 << facts.allocated)
        return value

    def pixel_aspect(self) -> float:
        """Return the height of a pixel as a multiple of its width; 1 where nothing says so.

        Physical spacing counts first, then the stated ratio.
        """
        place = self._group("PixelMeasuresSequence")
        found = [numbers(place, "PixelSpacing")] if place is not None else []
        found += [numbers(self._header, keyword) for keyword in _SHAPES]
        for sides in found:
            if len(sides) == 2 and min(sides) > 0:
                return sides[0] / sides[1]
        return 1.0

    def _group(self, keyword: str) -> Dataset | None:
        """Return an item of the functional groups of an enhanced multi-frame file."""
        for groups, index in (
            ("PerFrameFunctionalGroupsSequence", self._frame),
            ("SharedFunctionalGroupsSequence", 0),
        ):
            items = field_value(self._header, groups)
            if not items or index >= len(items):
                continue
            found = field_value(items[index], keyword)
            if found:
                item: Dataset = found[0]
                return item
        return None


def values_are_whole(facts: PixelFacts) -> bool:
    """Return whether the pixels of a file are integers."""
    return facts.keyword == "PixelData"


def _texts(value: Any) -> list[str]:
    """Return the words of a field with one or several of them."""
    if value is None:
        return []
    parts = value if isinstance(value, MultiValue | list | tuple) else [value]
    return [str(part).strip(" \x00") for part in parts]
