"""One image at full size and depth, as a file that the viewer maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.data.decoded import DecodedImage, VoiLut
from engine.data.images import read_image
from engine.data.rendering import in_square_pixels
from engine.data.voi import apply_window, effective_window, window_numbers
from engine.files import storage_error
from engine.project.store import Project

_TOP: Final = 65535.0


def write_view(project: Project, record: int, out: Path) -> dict[str, Any]:
    """Write an image's values as ``.npy`` and return how to show them.

    The values are those of the file in square pixels. Where the file is shown through a curve (a
    table or a sigmoid) rather than a window, they are what the curve makes of them, 0 to 65,535:
    the screen shows what the network sees.

    Returns:
        ``path``, ``window_center`` and ``window_width`` in the units of the values, and
        ``is_inverted``.

    Raises:
        UnreadableImageError: If the original can't be read any more.
        StorageError: If the file can't be written.
    """
    [original] = project.originals([record])
    image = read_image(original.file, frame=original.frame, axis=original.axis)
    values, (center, width) = _shown(image, project.image_contract.window)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("wb") as stream:
            np.save(stream, np.ascontiguousarray(values), allow_pickle=False)
    except OSError as error:
        raise storage_error(error, "the viewer's copy of the image") from error
    return {
        "path": str(out),
        "window_center": center,
        "window_width": width,
        "is_inverted": image.is_inverted,
    }


def _shown(image: DecodedImage, mode: str) -> tuple[NDArray[Any], tuple[float, float]]:
    """Return the values to be shown, and the centre and width of their window."""
    window = effective_window(image, mode)
    if isinstance(window, VoiLut) or window.kind == "sigmoid":
        levels = apply_window(image.values, window) * np.float32(_TOP)
        return in_square_pixels(np.rint(levels).astype(np.uint16), image), (_TOP / 2, _TOP)
    return in_square_pixels(image.values, image), window_numbers(image, mode)
