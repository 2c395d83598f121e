"""From the numbers in a file to what they mean: Hounsfield units, counts, colours of a palette."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_TABLED_BITS: Final = 16
_INTEGER_TYPES: Final = (np.uint8, np.int16, np.uint16, np.int32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """A table from whole numbers to whole numbers.

    Attributes:
        first: Value that the first entry stands for; values outside take the nearest entry.
        entries: uint16, shape ``(N,)``.
        bits: Of the entries.
    """

    first: int
    entries: NDArray[np.uint16]
    bits: int

    def look_up(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """Return the entry of each value, uint16, same shape."""
        index = np.clip(values.astype(np.int64) - self.first, 0, len(self.entries) - 1)
        found: NDArray[np.uint16] = self.entries[index]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """From stored values to their units: a table, or slope and intercept."""

    slope: float = 1.0
    intercept: float = 0.0
    table: Table | None = None

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values in their units, as integers where they stay whole."""
        if self.table is not None:
            return _smallest(self.table.look_up(values))
        slope, intercept = self.slope, self.intercept
        if slope == 1 and intercept == 0:
            return values
        if values.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer():
            return _rescale_whole(values, int(slope), int(intercept))
        # Twice the precision where a float32 couldn't hold the stored value.
        scaled: NDArray[Any] = values.astype(
            np.float64 if values.dtype.itemsize > 2 else np.float32
        )
        scaled *= slope
        scaled += intercept
        return scaled.astype(np.float32, copy=False)

    def of_number(self, value: float) -> float:
        """Return one value in their units."""
        if self.table is not None:
            return float(self.table.look_up(np.array([round(value)]))[0])
        return value * self.slope + self.intercept


def possible_range(
    values: NDArray[Any], stored: NDArray[Any], bits: int, transform: Transform
) -> tuple[float, float]:
    """Return the smallest and largest value that a file could hold, in its units.

    Args:
        values: In their units.
        stored: As they were stored.
        bits: That the file has for each of them.
        transform: From ``stored`` to ``values``.

    Returns:
        What the image does hold, where what it could hold is open.
    """
    held = float(values.min()), float(values.max())
    if stored.dtype.kind == "f" or bits > _TABLED_BITS or transform.table is not None:
        return held
    is_signed = stored.dtype.kind == "i"
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if is_signed else (0, 2**bits)
    ends = transform.of_number(low), transform.of_number(high - 1)
    # Compressed frames may hold more than the header says.
    return min(*ends, held[0]), max(*ends, held[1])


def _rescale_whole(values: NDArray[Any], slope: int, intercept: int) -> NDArray[Any]:
    ends = [int(values.min()) * slope + intercept, int(values.max()) * slope + intercept]
    target = _type_for(min(ends), max(ends))
    if target is None:
        return values.astype(np.float64) * slope + intercept
    wide = np.int64 if target is np.int32 else np.int32
    scaled: NDArray[Any] = values.astype(wide)
    scaled *= slope
    scaled += intercept
    return scaled.astype(target)


def _smallest(values: NDArray[Any]) -> NDArray[Any]:
    target = _type_for(int(values.min()), int(values.max()))
    return values if target is None else values.astype(target, copy=False)


def _type_for(low: int, high: int) -> type[np.integer] | None:
    """Return the smallest integer type that holds both ends, or None."""
    for candidate in _INTEGER_TYPES:
        limits = np.iinfo(candidate)
        if limits.min <= low and high <= limits.max:
            return candidate
    return None
