"""The true proportions of images whose pixels aren't square."""

from __future__ import annotations

import math
from typing import Final

from engine.data.pictures import MAX_PIXELS

_SQUARE_ENOUGH: Final = 0.01
"""Pixels whose sides differ by less are taken for square: nobody sees it, and headers round."""
_MOST_UNLIKE: Final = 20.0


def shown_size(columns: int, rows: int, aspect: float) -> tuple[int, int, tuple[str, ...]]:
    """Return the size of an image in square pixels.

    The side along which pixels are longer is counted in the shorter unit, so that no detail is
    lost. Values stay on the grid of the file; whoever shows them scales once, to this shape
    (``rendering`` for networks and thumbnails, ``viewing`` for the screen).

    Args:
        columns: Of the stored image.
        rows: Likewise.
        aspect: Height of a pixel as a multiple of its width.

    Returns:
        Width, height, and a note where they aren't ``columns`` and ``rows``, or should not be.
    """
    if not math.isfinite(aspect) or aspect <= 0 or abs(aspect - 1) < _SQUARE_ENOUGH:
        return columns, rows, ()
    if not 1 / _MOST_UNLIKE <= aspect <= _MOST_UNLIKE:
        note = "The stated shape of the pixels is too unlikely to be true: taken as square."
        return columns, rows, (note,)
    width = columns if aspect >= 1 else max(1, round(columns / aspect))
    height = rows if aspect <= 1 else max(1, round(rows * aspect))
    if width * height > MAX_PIXELS:
        return columns, rows, ("The image is too large to be shown in its true proportions.",)
    return width, height, ("The pixels aren't square: shown in true proportions.",)
