"""About how large the images of a source are, from the headers of a few of its files."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from engine.contract.errors import NotAnImageError, UnreadableImageError
from engine.data.array_files import ARRAY_SUFFIX
from engine.data.npz import shorter_side
from engine.data.pictures import PILLOW_ERRORS
from engine.files import long_path

_N_LOOKED_AT: Final = 24
_LARGE_BYTES: Final = 1 << 20
"""A picture file of this size is no tiny picture, so that it needn't be opened."""
_LARGE_PX: Final = 1024
_PICTURES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp")


def median_side(root: Path, names: Sequence[str], tick: Callable[[], None]) -> int:
    """Return the median shorter side in px of pictures and arrays; 0 where that isn't known.

    No image is decoded. DICOM files and volumes are not looked at: they are never tiny pictures.

    Args:
        root: Of the source.
        names: Its images, relative to ``root``.
        tick: Called before each file; may raise to give up.
    """
    sides = []
    places = np.linspace(0, len(names) - 1, min(len(names), _N_LOOKED_AT)).round().astype(int)
    for name in (names[place] for place in places):
        tick()
        path = root / name
        if path.suffix.lower() not in (*_PICTURES, ARRAY_SUFFIX):
            return 0
        with contextlib.suppress(*PILLOW_ERRORS, NotAnImageError, UnreadableImageError):
            sides.append(_side(path))
    return int(np.median(sides)) if sides else 0


def _side(path: Path) -> int:
    if path.suffix.lower() == ARRAY_SUFFIX:
        return shorter_side(path)
    if path.stat().st_size > _LARGE_BYTES:
        return _LARGE_PX
    with warnings.catch_warnings(), Image.open(long_path(path)) as picture:
        warnings.simplefilter("ignore")
        return min(picture.size)
