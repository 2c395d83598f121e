"""The pixels that networks see, kept in the project: made at import, or on first use.

A kind of segment holds the pixels of one contract. Import writes the project's own; another size is
made from the originals when a run first asks for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.config import ImageContract
from engine.contract.control import Control
from engine.contract.errors import DatasetError, UnreadableImageError
from engine.data.decode_messages import PIXELS, DecodedFrame, DecodeSettings, Job
from engine.data.decode_pool import DecodePool, Limits, SourceGoneError
from engine.data.decoded import DecodedImage, ImageFile
from engine.data.images import open_image, read_bytes
from engine.data.rendering import to_pixels
from engine.files import require_space
from engine.project.segment_reader import SegmentReader
from engine.project.segments import SegmentWriter
from engine.project.sources import Original
from engine.project.store import Project

_LIMITS: Final = Limits(gone_s=10.0)


def pixel_kind(contract: ImageContract) -> str:
    """Return the kind of the segments that hold pixels made by a contract."""
    return f"pixels-{contract.key()}"


def pixel_shape(contract: ImageContract) -> tuple[int, ...]:
    """Return the shape of one image made by a contract."""
    side = contract.size_px
    return (side, side, 3) if contract.channels == 3 else (side, side)


def pixel_type(contract: ImageContract) -> type[np.uint8] | type[np.uint16]:
    """Return the element type of images made by a contract."""
    return np.uint8 if contract.depth_bits <= 8 else np.uint16


def load_pixels(
    path: Path, contract: ImageContract, *, frame: int | None = None, axis: str = "axial"
) -> tuple[NDArray[Any], DecodedImage]:
    """Return the pixels of one file as a contract wants them, and the image they come from.

    The same that an import and :func:`open_pixels` make in processes of their own.

    Args:
        path: Of any format that ``images.open_image`` knows.
        contract: How pixels are made.
        frame: Frame, page or slice; None takes the one that stands for the file.
        axis: Plane of the slices of a volume.

    Raises:
        UnreadableImageError: If the file can't be read, saying why.
    """
    return pixels_of(open_image(read_bytes(path), suffix=path.suffix, axis=axis), contract, frame)


def pixels_of(
    file: ImageFile, contract: ImageContract, frame: int | None = None
) -> tuple[NDArray[Any], DecodedImage]:
    """Return the pixels of one frame of an opened file, and the image they come from.

    Raises:
        UnreadableImageError: If the frame can't be read, saying why.
    """
    image = file.read(frame, contract.size_px)
    try:
        return to_pixels(image, contract), image
    except MemoryError as error:
        raise UnreadableImageError(
            "The image doesn't fit into memory.", remedy="Save it smaller."
        ) from error


def open_pixels(
    project: Project,
    contract: ImageContract,
    on_progress: Callable[[int, int], None] | None = None,
    control: Control | None = None,
) -> SegmentReader:
    """Return a reader for the pixels of every usable image, making those that are missing.

    Args:
        project: The project.
        contract: How pixels are made.
        on_progress: Called with images done and images to make, while any are made.
        control: Its safe points lie between images.

    Raises:
        DatasetError: If originals are needed and can't be read.
        JobCanceled: If the job was canceled; what was made stays.
        StorageError: If the disk is full or read-only.
    """
    reader = SegmentReader(project, pixel_kind(contract))
    table = project.training_table()
    missing = set(reader.missing(table.rows).tolist())
    wanted = [
        (int(record), int(row))
        for record, row in zip(table.record_ids, table.rows, strict=True)
        if int(row) in missing
    ]
    if wanted:
        _make(project, contract, wanted, on_progress, control or Control())
        reader.refresh()
    return reader


def _make(
    project: Project,
    contract: ImageContract,
    wanted: list[tuple[int, int]],
    on_progress: Callable[[int, int], None] | None,
    control: Control,
) -> None:
    shape, dtype = pixel_shape(contract), pixel_type(contract)
    require_space(project.folder, len(wanted) * int(np.prod(shape)) * np.dtype(dtype).itemsize)
    originals = project.originals([record for record, _ in wanted])
    rows = {_job(original): row for original, (_, row) in zip(originals, wanted, strict=True)}
    settings = DecodeSettings(contract=contract, parts=(PIXELS,))
    n_done = n_made = 0
    with (
        SegmentWriter(project, pixel_kind(contract), shape, dtype) as writer,
        DecodePool(safe_point=control.safe_point, limits=_LIMITS) as pool,
        contextlib.suppress(SourceGoneError),  # said below, together with single files
    ):
        for job, outcome in pool.decode(rows, settings):
            control.safe_point()
            if isinstance(outcome, DecodedFrame):
                assert outcome.pixels is not None
                writer.append(outcome.pixels, [rows[job]])
                n_made += 1
                continue
            n_done += 1
            if on_progress is not None:
                on_progress(n_done, len(wanted))
    if n_made < len(wanted):
        raise DatasetError(
            f"{len(wanted) - n_made:,} of {len(wanted):,} original images are needed at "
            f"{contract.size_px} pixels and can't be read where they were.",
            remedy="Connect their disk, show RadTune where the folder is now, or exclude them.",
        )


def _job(original: Original) -> Job:
    return Job(str(original.root), original.path, (original.frame,), original.axis)
