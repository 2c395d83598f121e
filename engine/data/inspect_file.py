"""What one file is and holds, for people and scripts that want to check before they import."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.contract.commands import InspectFile
from engine.contract.config import ImageContract
from engine.contract.control import Control
from engine.contract.errors import NotAnImageError, UnreadableImageError
from engine.contract.records import FileReport
from engine.data.decoded import DecodedImage, ImageFile
from engine.data.file_kinds import HEAD_BYTES
from engine.data.images import image_kind, open_image, read_bytes
from engine.data.progress import Emit, Progress
from engine.data.rendering import in_square_pixels
from engine.data.voi import display_levels, window_numbers
from engine.files import write_atomic

KIND: Final = "inspect"
_MODE: Final = ImageContract().window


def inspect_file(command: InspectFile, emit: Emit, control: Control) -> FileReport:
    """Look at one file.

    Args:
        command: Which file, which frame, and where the picture goes.
        emit: Takes ``JobProgressed`` events.
        control: Its safe points lie between frames.

    Raises:
        UnreadableImageError: If the file has no such frame.
        StorageError: If the picture can't be written.
        JobCanceled: If the job was canceled.
    """
    path, data = Path(command.file), b""
    try:
        data = read_bytes(path)
        file = open_image(data, suffix=path.suffix)
    except UnreadableImageError as error:
        kind = "not_image" if isinstance(error, NotAnImageError) else "unreadable"
        seems = image_kind(data[:HEAD_BYTES]) or ""
        return FileReport(kind=kind, reason=error.message, format=seems)
    frame = file.chosen(command.frame)
    try:
        image = file.read(frame)
    except UnreadableImageError as error:
        return FileReport(kind="unreadable", reason=error.message, format=file.format)
    extent = _extent(file, Progress(emit, KIND, "Reading frames", file.n_frames), control)
    if command.png is not None:
        write_atomic(Path(command.png), _png(image))
    return _report(file, image, extent, command.png)


@dataclass
class _Extent:
    """Smallest, largest and mean of the stored values, over frames."""

    low: float = math.inf
    high: float = -math.inf
    total: float = 0.0
    n: int = 0
    problem: str = ""

    def add(self, values: NDArray[Any]) -> None:
        """Count the values of a frame, without those that are no numbers."""
        if values.dtype.kind == "f":
            values = values[np.isfinite(values)]
        if values.size:
            self.low = min(self.low, float(values.min()))
            self.high = max(self.high, float(values.max()))
            self.total += float(values.sum(dtype=np.float64))
            self.n += values.size

    @property
    def is_known(self) -> bool:
        """Whether all frames could be read."""
        return not self.problem and self.n > 0


def _extent(file: ImageFile, progress: Progress, control: Control) -> _Extent:
    extent = _Extent()
    for frame in range(file.n_frames):
        control.safe_point()
        try:
            extent.add(file.stored(frame))
        except UnreadableImageError as error:
            extent.problem = f"Frame {frame} (from 0) can't be read. {error.message}"
            break
        progress.step()
    return extent


def _report(file: ImageFile, image: DecodedImage, extent: _Extent, png: str | None) -> FileReport:
    center, width = window_numbers(image, _MODE)
    rows, columns = image.values.shape[:2]
    return FileReport(
        kind="image",
        format=file.format,
        rows=rows,
        columns=columns,
        frames=file.n_frames,
        photometric=file.photometric,
        transfer_syntax=file.transfer_syntax,
        stored_min=extent.low if extent.is_known else None,
        stored_max=extent.high if extent.is_known else None,
        stored_mean=extent.total / extent.n if extent.is_known else None,
        value_min=float(image.values.min()),
        value_max=float(image.values.max()),
        window_center=center,
        window_width=width,
        frame=image.frame,
        display_png=png,
        notes=(*image.notes, *([extent.problem] if extent.problem else [])),
    )


def _png(image: DecodedImage) -> bytes:
    """Return the image as it is shown: windowed, upright, in square pixels, 8 bits."""
    levels = in_square_pixels(display_levels(image, _MODE), image)
    if levels.dtype != np.uint8:
        levels = np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "PNG")
    return stream.getvalue()
