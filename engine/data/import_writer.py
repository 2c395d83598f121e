"""Keeps what an import read as it comes, so that it can be cut off and continued at any time.

Pixels and thumbnails go into segments, facts into the project's staging tables; both become part of
the project at the end, all at once. A power cut costs what was read in the last second, or in the
last fiftieth of the time.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from types import TracebackType
from typing import Final, Self

from engine.contract.config import ImageContract
from engine.contract.errors import EngineError
from engine.contract.records import SkippedFile
from engine.data.decode_messages import DecodedFrame, ImageFacts
from engine.data.pixels import pixel_kind, pixel_shape, pixel_type
from engine.project.records import NewRecord
from engine.project.segments import FullSegment, SegmentWriter
from engine.project.staged import StagedImage
from engine.project.staging import Staging
from engine.project.store import Project
from engine.project.thumbnails import ThumbnailWriter

_MOST_ROWS: Final = 2048
_LEAST_S: Final = 0.5
_SHARE_OF_TIME: Final = 0.02
_FEW: Final = 4096
Stamp = tuple[int, int]


class ImportWriter:
    """Writes one import; a context manager that keeps what was written, however it ends."""

    def __init__(self, project: Project, staging: Staging, contract: ImageContract) -> None:
        """Prepare; nothing is written before the first image."""
        self._project = project
        self._staging = staging
        self._next_row = project.next_row()
        self._pixels = SegmentWriter(
            project,
            pixel_kind(contract),
            pixel_shape(contract),
            pixel_type(contract),
            import_id=staging.id,
        )
        self._thumbnails = ThumbnailWriter(project, import_id=staging.id)
        self._images: list[StagedImage] = []
        self._skipped: list[tuple[SkippedFile, Stamp | None]] = []
        self._began = self._sealed_at = time.monotonic()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="seal")
        self._seal: _Seal | None = None
        self._hashed = lru_cache(_FEW)(project.hashed)
        self._study = lru_cache(_FEW)(project.study)
        self._site = lru_cache(_FEW)(project.site)
        self._day = lru_cache(_FEW)(project.day)

    def add(self, path: str, frame: DecodedFrame) -> None:
        """Write an image and remember its facts.

        Args:
            path: The file, relative to the source.
            frame: With pixels and thumbnail.

        Raises:
            StorageError: If the disk is full or read-only.
        """
        assert frame.pixels is not None
        assert frame.thumbnail is not None
        row = self._next_row
        self._next_row += 1
        try:
            self._pixels.append(frame.pixels, [row])
            self._thumbnails.append(row, frame.thumbnail)
        except EngineError:
            self._images = []  # what wasn't on the disk yet went with the segment
            raise
        facts = frame.facts
        patient = self._hashed(facts.patient_id) if facts.patient_id else None
        record = self._record(path, row, facts)
        self._images.append(StagedImage(record, patient, facts.is_color, facts.notes))

    def skip(self, file: SkippedFile, stamp: Stamp | None, *, has_images: bool) -> None:
        """Remember that a file can't be read.

        Args:
            file: The file and the reason.
            stamp: Its size and time of change, where known.
            has_images: Whether images of it came before, which are to be forgotten.
        """
        if has_images:
            if self._seal is not None:
                self._enter_seal()
            self._images = [image for image in self._images if image.record.path != file.path]
            self._staging.drop([file.path])
        self._skipped.append((file, stamp))

    def _record(self, path: str, row: int, facts: ImageFacts) -> NewRecord:
        found = facts.covariates
        date = None if facts.acquired is None else datetime.date.fromordinal(facts.acquired)
        return NewRecord(
            source_id=0,  # decided at the end, like class and patient
            path=path,
            row=row,
            frame=facts.frame,
            n_frames=facts.n_frames,
            study=self._study(facts.study_uid),
            site=self._site(facts.site),
            acquired=self._day(date),
            format=facts.format,
            modality=facts.modality,
            photometric=facts.photometric,
            width=facts.width,
            height=facts.height,
            bits=facts.bits,
            window_center=facts.window[0],
            window_width=facts.window[1],
            view=found.get("view"),
            sex=found.get("sex"),
            age=float(found["age"]) if "age" in found else None,
            device=found.get("device"),
            dicom=facts.dicom,
            burned_in=facts.burned_in,
            pixel_hash=facts.pixel_hash,
            n_bytes=facts.n_bytes,
            mtime_ns=facts.mtime_ns,
            sha256=facts.sha256,
        )

    def between_files(self) -> None:
        """Put what was read since the last time out of reach of a power cut, if it is time.

        The disk is waited for in another thread, while files go on being read.

        Raises:
            StorageError: If the disk is full or read-only.
        """
        if self._seal is not None:
            if not self._seal.is_on_disk:
                return
            self._enter_seal()
        now = time.monotonic()
        wanted_s = max(_LEAST_S, (now - self._began) * _SHARE_OF_TIME)
        if now - self._sealed_at >= wanted_s or len(self._images) >= _MOST_ROWS:
            self._begin_seal()
            self._sealed_at = now

    def finish(self) -> None:
        """Put everything that was read out of reach of a power cut.

        Raises:
            StorageError: If the disk is full or read-only.
        """
        if self._seal is not None:
            self._enter_seal()
        self._begin_seal()
        self._enter_seal()

    def _begin_seal(self) -> None:
        pixels = self._pixels.rotate()
        segments = [*([] if pixels is None else [pixels]), *self._thumbnails.rotate()]
        self._seal = _Seal(segments, self._images, self._skipped, self._disk)
        self._images, self._skipped = [], []

    def _enter_seal(self) -> None:
        """Let what is safely on the disk count: first the segments, then what refers to them."""
        assert self._seal is not None
        seal, self._seal = self._seal, None
        seal.wait()
        with self._project.transaction():
            for segment in seal.segments:
                segment.enter()
        self._staging.add(seal.images)
        self._staging.add_skipped(seal.skipped)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with contextlib.suppress(*([] if kind is None else [EngineError])):
                self.finish()
        finally:
            self._disk.shutdown(wait=True)
            self._pixels.abort()
            self._thumbnails.abort()


class _Seal:
    """Segments on their way to the disk, and what refers to them."""

    def __init__(
        self,
        segments: Sequence[FullSegment],
        images: Sequence[StagedImage],
        skipped: Sequence[tuple[SkippedFile, Stamp | None]],
        disk: ThreadPoolExecutor,
    ) -> None:
        self.segments, self.images, self.skipped = segments, images, skipped
        self._syncs: list[Future[None]] = [disk.submit(segment.sync) for segment in segments]

    @property
    def is_on_disk(self) -> bool:
        """Whether there is nothing to wait for."""
        return all(sync.done() for sync in self._syncs)

    def wait(self) -> None:
        """Wait for the disk.

        Raises:
            StorageError: If it is full or read-only.
        """
        for sync in self._syncs:
            sync.result()
