"""Reads the files of an import in the pool's processes and hands what comes to the writer."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from engine.contract.config import ImageContract
from engine.contract.control import Control
from engine.contract.events import Warned
from engine.contract.import_rules import FramePolicy
from engine.contract.records import SkippedFile
from engine.data.decode_messages import DecodedFrame, DecodeSettings, Job
from engine.data.decode_pool import DecodePool, Failed
from engine.data.import_division import jobs_for, n_items_of
from engine.data.import_writer import ImportWriter
from engine.data.progress import Emit, Progress
from engine.data.sheet import Item
from engine.files import long_path

_SAMPLE: Final = 12
_COLOR_SHARE: Final = 0.25
"""From this share of colour images on, a project keeps colour."""


class Waiting:
    """Tells the user once that a disk is being waited for, and again if that happens later."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._is_told = False
        self.progress: Progress | None = None

    def tell(self, sentence: str) -> None:
        """Say what is being waited for."""
        if not self._is_told:
            self._is_told = True
            remedy = "Check the connection to the disk. What was read so far is kept."
            self._emit(Warned(message=sentence, remedy=remedy))
        if self.progress is not None:
            self.progress.say("Waiting for the disk with the images")

    def is_over(self) -> None:
        """Say that it goes on."""
        self._is_told = False


def choose_channels(
    pool: DecodePool, root: Path, items: Sequence[Item], contract: ImageContract
) -> ImageContract:
    """Return a contract for grey or for colour, by a sample of the files."""
    step = max(1, len(items) // _SAMPLE)
    jobs = list(jobs_for(root, items[::step][:_SAMPLE]))
    settings = DecodeSettings(contract=contract, policy=FramePolicy(), parts=())
    is_color = [
        outcome.facts.is_color
        for _, outcome in pool.decode(jobs, settings)
        if isinstance(outcome, DecodedFrame)
    ]
    share = sum(is_color) / max(1, len(is_color))
    return replace(contract, channels=3 if share >= _COLOR_SHARE else 1)


def read_files(
    pool: DecodePool,
    root: Path,
    items: Sequence[Item],
    settings: DecodeSettings,
    writer: ImportWriter,
    step: Callable[[int], None],
    control: Control,
) -> list[SkippedFile]:
    """Read the files of items, and return those that have no image.

    Args:
        pool: Reads them.
        root: The source folder.
        items: What to read.
        settings: How.
        writer: Takes images and failures.
        step: Told how many items are done.
        control: Its safe points lie between images.

    Raises:
        JobCanceled: If the user gave up.
        StorageError: If a disk is full or gone.
    """
    skipped: dict[str, SkippedFile] = {}
    n_images: Counter[Job] = Counter()
    for job, outcome in pool.decode(jobs_for(root, items), settings):
        control.safe_point()
        if isinstance(outcome, DecodedFrame):
            writer.add(job.path, outcome)
            n_images[job] += 1
            continue
        if isinstance(outcome, Failed):
            file = SkippedFile(path=job.path, reason=outcome.reason, kind=outcome.kind)
            skipped[job.path] = file
            stamp = outcome.stamp or _stamp(root / job.path)
            # Frames that a sheet names one by one stand for themselves.
            writer.skip(file, stamp, has_images=job.frames is None and job in n_images)
        n_images.pop(job, None)
        writer.between_files()
        step(n_items_of(job))
    return list(skipped.values())


def _stamp(path: Path) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        status = long_path(path).stat()
        return status.st_size, status.st_mtime_ns
    return None
