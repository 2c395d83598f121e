"""Keeps what an import read: pixels as they come, the records all at once at the end.

Until :meth:`ImportWriter.keep`, no record exists; an import that is canceled, fails, or is cut off
leaves the project's images as they were.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engine.contract.config import ImageContract
from engine.contract.records import SkippedFile
from engine.data.decoded import DecodedImage
from engine.data.pixels import pixel_kind, pixel_shape, pixel_type
from engine.data.sheet import Item
from engine.project.records import NewRecord
from engine.project.segments import SegmentWriter
from engine.project.store import Project
from engine.project.thumbnails import COLOUR_KIND, GREY_KIND, ThumbnailWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFile:
    """One file, read and made small.

    Attributes:
        image: Its facts; the full-size values have been let go.
        pixels: As the project's contract wants them.
        thumbnail: uint8, ``(128, 128)`` or ``(128, 128, 3)``.
    """

    item: Item
    facts: DecodedImage
    pixels: NDArray[Any]
    thumbnail: NDArray[np.uint8]
    window: tuple[float, float]
    status: os.stat_result
    sha256: str


@dataclass(frozen=True, slots=True)
class _Pending:
    record: NewRecord
    label: str | None
    patient: str | None
    study_uid: str | None


class ImportWriter:
    """Writes one import into a project; a context manager that discards what wasn't kept."""

    def __init__(self, project: Project, contract: ImageContract) -> None:
        """Prepare; nothing is written before the first file."""
        self._project = project
        self._contract = contract
        self._first_row = self._next_row = project.next_row()
        self._pending: list[_Pending] = []
        self._texts: dict[str, str] = {}
        self._is_kept = False
        self._kind = pixel_kind(contract)
        self._pixels = SegmentWriter(
            project, self._kind, pixel_shape(contract), pixel_type(contract)
        )
        self._thumbnails = ThumbnailWriter(project)

    def add(self, file: ReadFile, *, patient: str | None, allows_study: bool) -> None:
        """Write the pixels of a file and remember its facts.

        Args:
            file: What was read.
            patient: Raw patient id, kept in memory until it is hashed.
            allows_study: Whether the study may stand in for an unknown patient.

        Raises:
            StorageError: If the disk is full or read-only.
        """
        row = self._next_row
        self._pixels.append(file.pixels, [row])
        self._thumbnails.append(row, file.thumbnail)
        study_uid = file.facts.study_uid if patient is not None or allows_study else None
        self._pending.append(_Pending(self._record(file, row), file.item.label, patient, study_uid))
        self._next_row += 1

    def _record(self, file: ReadFile, row: int) -> NewRecord:
        facts, found = file.facts, file.facts.covariates
        return NewRecord(
            source_id=0,  # entered together with the records
            path=file.item.path,
            row=row,
            frame=facts.frame,
            format=facts.format,
            modality=facts.modality,
            photometric=facts.photometric,
            width=facts.width,
            height=facts.height,
            bits=facts.bits,
            window_center=file.window[0],
            window_width=file.window[1],
            view=found.get("view"),
            sex=found.get("sex"),
            age=float(found["age"]) if "age" in found else None,
            device=found.get("device"),
            # Most values are the same in thousands of files.
            dicom={name: self._texts.setdefault(t, t) for name, t in facts.dicom.items()},
            n_bytes=file.status.st_size,
            mtime_ns=file.status.st_mtime_ns,
            sha256=file.sha256,
        )

    def labels(self) -> list[str]:
        """Return the classes of the files read so far, in alphabetical order."""
        found = {p.label.casefold(): p.label for p in reversed(self._pending) if p.label}
        return [found[key] for key in sorted(found)]

    def keep(self, root: Path, kind: str, skipped: Iterable[SkippedFile]) -> dict[str, int]:
        """Make everything count, in one transaction, and return record ids by path.

        Args:
            root: The source folder.
            kind: Where its labels come from.
            skipped: Files that were left out.

        Raises:
            StorageError: If the disk is full or read-only.
        """
        self._pixels.commit()
        self._thumbnails.commit()
        project = self._project
        with project.transaction():
            source_id = project.add_source(root, kind)
            project.image_contract = self._contract
            records = self._entered(source_id)
            ids = project.add_records(records)
            project.add_skipped(source_id, skipped)
        self._is_kept = True
        return {record.path: id_ for record, id_ in zip(records, ids, strict=True)}

    def _entered(self, source_id: int) -> list[NewRecord]:
        """Return the records with the ids of their source, classes and patients."""
        project = self._project
        classes = {name.casefold(): project.add_class(name) for name in self.labels()}
        patients: dict[str, int] = {}
        records = []
        for pending in self._pending:
            raw, label = pending.patient, pending.label
            if raw is not None and raw not in patients:
                patients[raw] = project.patient(raw)
            changes: dict[str, Any] = {
                "source_id": source_id,
                "class_id": None if label is None else classes[label.casefold()],
                "patient_id": None if raw is None else patients[raw],
                "study": project.study(pending.study_uid),
            }
            records.append(replace(pending.record, **changes))
        return records

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_kept:
            return
        self._pixels.abort()
        self._thumbnails.abort()
        with self._project.transaction():
            self._project.db.execute(
                "DELETE FROM segments WHERE first_row >= ? AND kind IN (?, ?, ?)",
                (self._first_row, self._kind, GREY_KIND, COLOUR_KIND),
            )
