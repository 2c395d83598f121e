"""From stored values to what the screen shows: windowing and a resolution pyramid.

The window function is LINEAR of DICOM PS3.3 C.11.2.1.2 for integers and LINEAR_EXACT for floats.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ImagePixels"]

_SMALL_PX = 512


class ImagePixels:
    """A greyscale or colour image with smaller copies, cut and windowed on demand.

    The smaller copies bound the work of a repaint by the size of the screen, not of the image.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        """Take an image.

        Args:
            array: uint8, uint16 or floating, shape ``(H, W)``; or uint8, shape ``(H, W, 3)``.

        Raises:
            ValueError: If shape or type is another one, or the image is empty.
        """
        if array.ndim not in (2, 3) or array.size == 0 or (array.ndim == 3 and array.shape[2] != 3):
            raise ValueError(f"An image has the shape (H, W) or (H, W, 3), not {array.shape}.")
        if array.dtype.kind == "f":
            array = np.nan_to_num(array.astype(np.float32, copy=False))
        elif array.dtype not in (np.uint8, np.uint16) or (array.ndim == 3 and array.dtype != "u1"):
            raise ValueError(f"An image of type {array.dtype} can't be shown.")
        self._levels = [array]
        self._default: tuple[float, float] | None = None
        self._table: tuple[tuple[float, float, bool], NDArray[np.uint8]] | None = None

    @property
    def width(self) -> int:
        """Columns of the image."""
        return int(self._levels[0].shape[1])

    @property
    def height(self) -> int:
        """Rows of the image."""
        return int(self._levels[0].shape[0])

    @property
    def is_color(self) -> bool:
        """Whether the image has three channels, which are shown as they are."""
        return self._levels[0].ndim == 3

    @property
    def is_float(self) -> bool:
        """Whether the values are floating numbers, whose window may be narrower than 1."""
        return self._levels[0].dtype.kind == "f"

    def default_window(self) -> tuple[float, float]:
        """Return centre and width: all 256 values for 8 bits, else 0.5 to 99.5 % of the pixels."""
        if self._default is None:
            self._default = self._find_window()
        return self._default

    def _find_window(self) -> tuple[float, float]:
        if self._levels[0].dtype == np.uint8:
            return 128.0, 256.0
        small = self._levels[0]
        step = max(1, max(small.shape[:2]) // _SMALL_PX)
        low, high = np.percentile(small[::step, ::step], (0.5, 99.5))
        tiny = 1.0 if small.dtype.kind == "u" else 1e-6
        return float(low + high) / 2, max(float(high - low), tiny)

    def value_range(self) -> float:
        """Return the span of values that a full drag across the window should cover."""
        return max(self.default_window()[1], 1e-6)

    def level_for(self, scale: float) -> int:
        """Return the smallest copy that is still at least as fine as the screen.

        Args:
            scale: Screen pixels per image pixel.
        """
        level = 0
        shortest = min(self.height, self.width)
        while scale * 2 ** (level + 1) <= 1.0 and shortest >> (level + 1) >= 1:
            level += 1
        return level

    def render(
        self,
        level: int,
        rows: slice,
        columns: slice,
        window: tuple[float, float],
        *,
        is_inverted: bool = False,
    ) -> NDArray[np.uint8]:
        """Return a windowed part of a level as contiguous uint8, ``(h, w)`` or ``(h, w, 3)``."""
        part = self.level(level)[rows, columns]
        if self.is_color:
            shown = 255 - part if is_inverted else part
            return np.ascontiguousarray(shown)
        center, width = window
        if part.dtype.kind == "f":
            return _window_exact(part, center, width, is_inverted=is_inverted)
        return np.take(self._lookup(center, width, is_inverted=is_inverted), part)

    def level(self, level: int) -> NDArray[Any]:
        """Return the image reduced ``2 ** level`` times by averaging, made on first use."""
        while len(self._levels) <= level:
            self._levels.append(_halve(self._levels[-1]))
        return self._levels[level]

    def _lookup(self, center: float, width: float, *, is_inverted: bool) -> NDArray[np.uint8]:
        key = (center, width, is_inverted)
        if self._table is None or self._table[0] != key:
            n_values = 256 if self._levels[0].dtype == np.uint8 else 65536
            values = np.arange(n_values, dtype=np.float64)
            if width <= 1:
                shown = np.where(values > center - 0.5, 255.0, 0.0)
            else:
                shown = ((values - (center - 0.5)) / (width - 1) + 0.5) * 255.0
            table = np.rint(np.clip(shown, 0.0, 255.0)).astype(np.uint8)
            self._table = (key, 255 - table if is_inverted else table)
        return self._table[1]


def _window_exact(
    part: NDArray[Any], center: float, width: float, *, is_inverted: bool
) -> NDArray[np.uint8]:
    shown = (part - (center - width / 2)) * (255.0 / width)
    np.clip(shown, 0.0, 255.0, out=shown)
    result = np.rint(shown).astype(np.uint8)
    return 255 - result if is_inverted else result


def _halve(array: NDArray[Any]) -> NDArray[Any]:
    rows, columns = array.shape[0] // 2 * 2, array.shape[1] // 2 * 2
    even = array[:rows, :columns]
    wide = np.float32 if array.dtype.kind == "f" else np.uint32
    total = np.add(even[::2, ::2], even[1::2, ::2], dtype=wide)
    total += even[::2, 1::2]
    total += even[1::2, 1::2]
    if array.dtype.kind == "f":
        mean: NDArray[Any] = total * np.float32(0.25)
        return mean
    rounded: NDArray[Any] = ((total + 2) >> 2).astype(array.dtype)
    return rounded
