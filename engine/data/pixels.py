"""The pixels that networks see, kept in the project: made at import, or on first use.

A kind of segment holds the pixels of one contract. Import writes the project's own; another size is
made from the originals when a run first asks for it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.contract.config import ImageContract
from engine.contract.control import Control
from engine.contract.errors import DatasetError, UnreadableImageError
from engine.data.decoded import DecodedImage
from engine.data.images import decode_image, read_bytes
from engine.data.rendering import to_pixels
from engine.files import require_space
from engine.project.segments import SegmentReader, SegmentWriter
from engine.project.store import Project

MAX_THREADS: Final = 4
_AHEAD_PER_THREAD: Final = 2
In = TypeVar("In")
Out = TypeVar("Out")


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


def decode_for(
    data: bytes, contract: ImageContract, *, suffix: str = "", frame: int | None = None
) -> DecodedImage:
    """Decode a file as far as a contract needs it; the same wherever it is used.

    Raises:
        UnreadableImageError: See ``images.decode_image``.
    """
    return decode_image(data, suffix=suffix, frame=frame, at_least_px=contract.size_px)


def load_pixels(
    path: Path, contract: ImageContract, *, frame: int | None = None
) -> tuple[NDArray[Any], DecodedImage]:
    """Return the pixels of one file as a contract wants them, and the image they come from.

    Raises:
        UnreadableImageError: If the file can't be read, saying why.
    """
    image = decode_for(read_bytes(path), contract, suffix=path.suffix, frame=frame)
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
    ids = [record for record, _ in wanted]
    paths = project.original_paths(ids)
    frames = [record.frame for record in project.records(ids)]
    shape, dtype = pixel_shape(contract), pixel_type(contract)
    require_space(project.folder, len(wanted) * int(np.prod(shape)) * np.dtype(dtype).itemsize)

    def load(job: tuple[Path, int]) -> NDArray[Any] | None:
        try:
            return load_pixels(job[0], contract, frame=job[1])[0]
        except UnreadableImageError:
            return None

    n_failed = 0
    with SegmentWriter(project, pixel_kind(contract), shape, dtype) as writer:
        results = in_order(load, zip(paths, frames, strict=True))
        for done, ((_, row), pixels) in enumerate(zip(wanted, results, strict=True), start=1):
            control.safe_point()
            if pixels is None:
                n_failed += 1
            else:
                writer.append(pixels, [row])
            if on_progress is not None:
                on_progress(done, len(wanted))
    if n_failed:
        raise DatasetError(
            f"{n_failed:,} of {len(wanted):,} original images are needed at {contract.size_px} "
            "pixels and can't be read where they were.",
            remedy="Connect their disk, show RadTune where the folder is now, or exclude them.",
        )


def in_order(work: Callable[[In], Out], jobs: Iterable[In]) -> Generator[Out, None, None]:
    """Do jobs on a few threads and return their results in order.

    Codecs let go of the interpreter's lock while they work. Only a few jobs run ahead, so that
    large images don't fill the memory; when the caller stops early, waiting jobs are dropped.
    """
    n_threads = max(1, min(MAX_THREADS, os.cpu_count() or 1))
    waiting: deque[Future[Out]] = deque()
    with ThreadPoolExecutor(n_threads, thread_name_prefix="read") as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) > n_threads * _AHEAD_PER_THREAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
