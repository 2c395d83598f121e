"""One image at full size and depth, as a file that the viewer maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engine.data.images import read_image
from engine.data.voi import window_numbers
from engine.files import storage_error
from engine.project.store import Project


def write_view(project: Project, record: int, out: Path) -> dict[str, Any]:
    """Write an image's values as ``.npy`` and return how to show them.

    Returns:
        ``path``, ``window_center`` and ``window_width`` in the units of the values, and
        ``is_inverted``.

    Raises:
        UnreadableImageError: If the original can't be read any more.
        StorageError: If the file can't be written.
    """
    [shown] = project.records([record])
    image = read_image(project.original_path(record), frame=shown.frame)
    center, width = window_numbers(image, project.image_contract.window)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("wb") as stream:
            np.save(stream, np.ascontiguousarray(image.values), allow_pickle=False)
    except OSError as error:
        raise storage_error(error, "the viewer's copy of the image") from error
    return {
        "path": str(out),
        "window_center": center,
        "window_width": width,
        "is_inverted": image.is_inverted,
    }
