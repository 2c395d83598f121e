"""From stored depth to display levels: window, table or percentiles, then inversion.

Everything stays at full depth: the result is float32 in [0, 1], or the untouched bytes of an
8-bit image that is shown as it is.

References:
    DICOM PS3.3, C.11.2 (VOI LUT module) and C.7.6.3.1.2 (photometric interpretation).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.data.decoded import DecodedImage, VoiLut, Window

PERCENTILES: Final = (0.5, 99.5)
"""Shown from black to white where nothing in the file says otherwise."""
NAMED: Final = "name:"
"""How the ``window`` of an image contract begins that asks for a window by its name."""
_SAMPLE_PX: Final = 1_000_000
"""More pixels than this are thinned out evenly before their percentiles are taken."""
_GLANCE_PX: Final = 16_384
_TABLE_PX: Final = 1 << 16
"""From this many pixels on, a table over all 16-bit values costs less than the arithmetic."""
_FRAME_SHARE: Final = 0.5
"""One value in so much of the outermost pixels is no tissue, but what a device filled in."""
_AIR_HU: Final = -950.0
"""Below are air and what CT scanners fill in; the emptiest lung lies above."""
_ENOUGH_SHARE: Final = 0.01


def effective_window(image: DecodedImage, mode: str) -> Window | VoiLut:
    """Return the window or table that an image is shown with.

    Args:
        image: The image.
        mode: ``file``: the table or window of the file; without one, or if all of the image lies
            on one side of it, the full range of 8-bit and colour images and the percentiles of
            all others. ``name:LUNG``: the window or table that the file calls so, in any case of
            letters; where it has none of that name, as ``file``. ``robust``: always the
            percentiles. ``full``: the full range that the file could hold.
    """
    if mode == "full":
        return Window.between(*image.value_range)
    if mode != "robust":
        if (named := _named(image, mode)) is not None:
            return named
        if image.voi_lut is not None:
            return image.voi_lut
        if image.window is not None and _shows_something(image.window, image):
            return image.window
        if image.is_color or image.bits <= 8:
            return Window.between(*image.value_range)
    return percentile_window(image)


def _named(image: DecodedImage, mode: str) -> Window | VoiLut | None:
    if not mode.startswith(NAMED):
        return None
    wanted = mode.removeprefix(NAMED).strip().casefold()
    return next((view for view in image.named_views if view.name.casefold() == wanted), None)


def _shows_something(window: Window, image: DecodedImage) -> bool:
    """Return whether a window doesn't turn the whole image black or white.

    Some devices write windows for values that a later conversion shifted.
    """
    if window.kind == "sigmoid":
        return True
    sample = _without(_thinned(image.values, _GLANCE_PX).ravel(), image.padding)
    low, high = window.center - window.width / 2, window.center + window.width / 2
    # Counting asks the same of the percentiles in a tenth of the time that finding them takes.
    n_inside = min(np.count_nonzero(sample > low), np.count_nonzero(sample < high))
    return bool(n_inside > PERCENTILES[0] / 100 * (sample.size - 1))


def window_numbers(image: DecodedImage, mode: str) -> tuple[float, float]:
    """Return centre and width of the effective window; for a table, of the values it spans."""
    return numbers_of(effective_window(image, mode))


def numbers_of(window: Window | VoiLut) -> tuple[float, float]:
    """Return centre and width of a window; for a table, of the values it spans."""
    if isinstance(window, VoiLut):
        window = Window.between(window.first, window.first + len(window.levels) - 1)
    return float(window.center), float(window.width)


def percentile_window(image: DecodedImage) -> Window:
    """Return the window between the 0.5th and 99.5th percentile of the tissue.

    What is left out, as long as something else is left: padding that the file names; one value
    that fills at least half of the outermost pixels and is the lowest or highest of all (collimated
    borders, the surroundings of a reconstruction); in CT, air.

    The result depends on nothing but the values: large images are thinned out evenly.
    """
    values = image.values
    sample = _without(_thinned(values, _SAMPLE_PX).reshape(-1), image.padding)
    if values.ndim == 2:
        sample = _without(sample, _surroundings(values, sample))
    if image.modality == "CT":
        sample = _without(sample, (-np.inf, _AIR_HU))
    low, high = np.percentile(sample, PERCENTILES)
    if high <= low:
        low, high = float(sample.min()), float(sample.max())
    return (
        Window.between(float(low), float(high))
        if high > low
        else Window(center=float(low), width=1.0)
    )


def _thinned(values: NDArray[Any], n_pixels: int) -> NDArray[Any]:
    step = max(1, int(np.sqrt(values.size / n_pixels)))
    return values[::step, ::step]


def _without(sample: NDArray[Any], values: tuple[float, float] | None) -> NDArray[Any]:
    """Return a sample without a range of values, unless hardly anything would be left."""
    if values is None:
        return sample
    kept = sample[(sample < values[0]) | (sample > values[1])]
    return kept if kept.size > sample.size * _ENOUGH_SHARE else sample


def _surroundings(values: NDArray[Any], sample: NDArray[Any]) -> tuple[float, float] | None:
    """Return the value that surrounds the image, if one does."""
    frame = np.concatenate((values[0], values[-1], values[1:-1, 0], values[1:-1, -1]))
    for end in (sample.min(), sample.max()):
        if np.count_nonzero(frame == end) >= frame.size * _FRAME_SHARE:
            return float(end), float(end)
    return None


def apply_window(values: NDArray[Any], window: Window | VoiLut) -> NDArray[np.float32]:
    """Return display levels in [0, 1], float32, same shape; values outside saturate."""
    if isinstance(window, VoiLut):
        index = np.clip(np.rint(values).astype(np.int64) - window.first, 0, len(window.levels) - 1)
        levels: NDArray[np.float32] = window.levels[index]
        return levels
    precise = values.dtype.itemsize > 2
    x: NDArray[Any] = values.astype(np.float64 if precise else np.float32)
    center, width = window.center, window.width
    if window.kind == "sigmoid":
        curve = 1 / (1 + np.exp(np.clip(-4 * (x - center) / width, -80, 80)))
        return np.asarray(curve, dtype=np.float32)
    if window.kind == "linear" and width >= 1:
        center, width = center - 0.5, width - 1
        if width == 0:  # the standard's formula at width 1 is a threshold
            return np.asarray(x > center, dtype=np.float32)
    x -= np.asarray(center - width / 2, x.dtype)
    x *= np.asarray(1 / width, x.dtype)
    return np.asarray(np.clip(x, 0, 1, out=x), dtype=np.float32)


def display_levels(image: DecodedImage, mode: str) -> NDArray[Any]:
    """Return an image as it is shown: windowed, and black on white turned round.

    Returns:
        uint8 if the image is 8-bit and shown over its whole range, else float32 in [0, 1]; shape
        of ``image.values``.
    """
    return levels_through(image, effective_window(image, mode))


def levels_through(image: DecodedImage, window: Window | VoiLut) -> NDArray[Any]:
    """Return an image as it is shown through a window; see :func:`display_levels`."""
    values = image.values
    if values.dtype == np.uint8 and window == Window.between(0, 255):
        return np.bitwise_not(values) if image.is_inverted else values
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2 and values.size > _TABLE_PX:
        return _through_table(values, window, is_inverted=image.is_inverted)
    levels = apply_window(values, window)
    return np.subtract(1, levels, out=levels) if image.is_inverted else levels


def _through_table(
    values: NDArray[Any], window: Window | VoiLut, *, is_inverted: bool
) -> NDArray[np.float32]:
    """Apply a window by looking every value up, which is exact for integers up to 16 bits."""
    unsigned = np.dtype(f"u{values.dtype.itemsize}")
    every = np.arange(2 ** (8 * values.dtype.itemsize), dtype=unsigned)
    table = apply_window(every.view(values.dtype), window)
    if is_inverted:
        np.subtract(1, table, out=table)
    return np.take(table, values.view(unsigned))
