"""Images of an unfinished import: read and kept, but not yet part of the project.

An import that is cut off leaves them here, so that the next one of the same folder goes on from
there. What a file says is staged when it is read; what a label sheet says is joined when the import
ends, so it may change in between. Identifiers are hashed before they come here.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from engine.contract.config import ImageContract
from engine.contract.config_io import from_plain, to_plain
from engine.contract.import_rules import FramePolicy
from engine.contract.records import SkippedFile
from engine.project.folder import readable
from engine.project.records import ON_SECOND_IMPORT, RECORD_COLUMNS
from engine.project.sources import KnownFile, file_key
from engine.project.staged import Entry, EntrySummary, StagedImage, StagedKey
from engine.project.store import Project

_ROWS_PER_TRANSACTION: Final = 500
"""About 10 ms: the window's own changes never wait long for an import."""
_ROWS_PER_READ: Final = 5000
_MOST_FRAMES: Final = 1 << 20
_FROM_SHEET: Final = ("site", "acquired", "view", "sex", "age", "device", "numbers")
"""Columns that a label sheet may fill; what the file says stands where the sheet is silent."""
_OPEN: Final = ("source_id", "class_id", "patient_id", "split", "numbers")
_STAGED: Final = tuple(name for name in RECORD_COLUMNS if name not in (*_OPEN, "dicom"))
_staged_values: Final = attrgetter(*_STAGED)
_INSERT_STAGED: Final = f"""
    INSERT OR REPLACE INTO staged
        (import_id, patient, is_color, notes, dicom, {", ".join(_STAGED)})
    VALUES (?, ?, ?, ?, ?, {", ".join("?" * len(_STAGED))})
"""
_ENTRY_COLUMNS: Final = ("place", "staged", "label", "patient", "origin", "study", *_FROM_SHEET)
_INSERT_ENTRY: Final = f"""
    INSERT INTO temp.entries ({", ".join(_ENTRY_COLUMNS)})
    VALUES ({", ".join("?" * len(_ENTRY_COLUMNS))})
"""


class Staging:
    """The unfinished import of one folder into one project.

    Attributes:
        id: Named by the segments that the import writes.
        source_id: What the source is, or will be, numbered.
        has_begun_before: Whether an earlier part was cut off.
    """

    def __init__(
        self, project: Project, root: Path, contract: ImageContract, policy: FramePolicy
    ) -> None:
        """Begin an import, or go on with the one that was cut off.

        What was read by another contract or for other frames is dropped: something else is wanted.

        Args:
            project: The project, which this process may write.
            root: Folder of the source.
            contract: How pixels are made.
            policy: Which frames of a file are taken.
        """
        self._project = project
        self._db = project.db
        self._root, self._contract, self._policy = root, contract, policy
        self._labels: dict[str, str] = {}
        self._drop_orphans()
        made_by = json.dumps(
            {"contract": to_plain(contract), "frames": to_plain(policy)}, sort_keys=True
        )
        found = self._db.one("SELECT id, made_by FROM imports WHERE root = ?", (_key(root),))
        self.id = 0 if found is None else int(found[0])
        if found is not None and found[1] != made_by:
            self.discard()
            found = None
        self.has_begun_before = found is not None
        if found is None:
            self.id = self._begin(made_by)
        source = project.source_at(root)
        self.source_id = project.next_source_id() if source is None else source

    def _begin(self, made_by: str) -> int:
        with self._project.transaction():
            cursor = self._db.execute(
                "INSERT INTO imports (root, made_by, began) VALUES (?, ?, ?)",
                (_key(self._root), made_by, time.time()),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    # --- while files are read -------------------------------------------------------------------

    def add(self, images: Sequence[StagedImage]) -> None:
        """Keep images whose segments count already."""
        for start in range(0, len(images), _ROWS_PER_TRANSACTION):
            batch = images[start : start + _ROWS_PER_TRANSACTION]
            with self._project.transaction():
                self._db.execute_many(
                    _INSERT_STAGED,
                    [
                        (
                            self.id,
                            image.patient,
                            image.is_color,
                            json.dumps(image.notes),
                            json.dumps(image.record.dicom, sort_keys=True),
                            *_staged_values(image.record),
                        )
                        for image in batch
                    ],
                )

    def add_skipped(self, files: Sequence[tuple[SkippedFile, tuple[int, int] | None]]) -> None:
        """Keep files that can't be read, with their size and time of change where known."""
        with self._project.transaction():
            self._db.execute_many(
                "INSERT OR REPLACE INTO staged_skipped VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (self.id, readable(file.path), *(stamp or (None, None)), file.reason, file.kind)
                    for file, stamp in files
                ],
            )

    def drop(self, paths: Iterable[str]) -> None:
        """Forget what was read of files, since they have changed or could not be read whole."""
        rows = [(self.id, path) for path in paths]
        for start in range(0, len(rows), _ROWS_PER_TRANSACTION):
            batch = rows[start : start + _ROWS_PER_TRANSACTION]
            with self._project.transaction():
                self._db.execute_many("DELETE FROM staged WHERE import_id = ? AND path = ?", batch)
                self._db.execute_many(
                    "DELETE FROM staged_skipped WHERE import_id = ? AND path = ?", batch
                )

    # --- what is there --------------------------------------------------------------------------

    def known_files(self) -> dict[tuple[str, int], KnownFile]:
        """Return what was read before, as ``SourceStore.known_files`` does; records are 0."""
        rows = self._db.all(
            "SELECT path, frame, n_bytes, mtime_ns, sha256, n_frames FROM staged "
            "WHERE import_id = ?",
            (self.id,),
        )
        return {(file_key(path), frame): KnownFile(0, *facts) for path, frame, *facts in rows}

    def skipped_files(self) -> dict[str, tuple[SkippedFile, tuple[int, int]]]:
        """Return files that could not be read before, with size and time, by ``file_key``."""
        rows = self._db.all(
            "SELECT path, reason, kind, n_bytes, mtime_ns FROM staged_skipped WHERE import_id = ?",
            (self.id,),
        )
        return {
            file_key(path): (SkippedFile(path=path, reason=reason, kind=kind), (n_bytes, mtime))
            for path, reason, kind, n_bytes, mtime in rows
        }

    def images(self) -> Iterator[StagedKey]:
        """Yield every staged image, in the order in which they were read."""
        last = 0
        while True:
            rows = self._db.all(
                "SELECT rowid, path, frame, n_frames, patient, study FROM staged "
                "WHERE import_id = ? AND rowid > ? ORDER BY rowid LIMIT ?",
                (self.id, last, _ROWS_PER_READ),
            )
            if not rows:
                return
            yield from (StagedKey(*row) for row in rows)
            last = rows[-1][0]

    # --- the end --------------------------------------------------------------------------------

    def decide(self, entries: Iterable[Entry]) -> EntrySummary:
        """Say what staged images become; those that aren't named don't become anything.

        Nobody waits for this: it writes to this connection's own memory.
        """
        self._labels = {}
        self._db.execute("DROP TABLE IF EXISTS temp.entries")
        others = ", ".join(_ENTRY_COLUMNS[1:])
        self._db.execute(f"CREATE TEMP TABLE entries (place INTEGER PRIMARY KEY, {others})")
        with self._project.db.snapshot():
            self._db.execute_many(_INSERT_ENTRY, (self._entry_row(entry) for entry in entries))
            return self._summary()

    def _entry_row(self, entry: Entry) -> tuple[Any, ...]:
        label = None if entry.label is None else entry.label.casefold()
        if entry.label is not None and label is not None:
            self._labels.setdefault(label, entry.label)
        numbers = json.dumps(entry.sheet.get("numbers") or {}, sort_keys=True)
        return (
            entry.place * _MOST_FRAMES + entry.staged.frame,
            entry.staged.id,
            label,
            entry.patient,
            entry.origin,
            entry.study,
            *(entry.sheet.get(column) for column in _FROM_SHEET[:-1]),
            numbers,
        )

    def _summary(self) -> EntrySummary:
        with_frames = f"SELECT path {_ENTERED} WHERE s.n_frames > 1"
        n_images, n_color = self._db.one(f"SELECT count(*), total(s.is_color) {_ENTERED}")
        notes: dict[str, int] = {}
        for text, n in self._db.all(f"SELECT s.notes, count(*) {_ENTERED} GROUP BY s.notes"):
            for note in json.loads(text):
                notes[note] = notes.get(note, 0) + n
        return EntrySummary(
            labels=tuple(self._labels.values()),
            n_images=n_images,
            n_color=int(n_color),
            n_frames=self._db.value(f"SELECT count(*) FROM ({with_frames})"),
            n_files_with_frames=self._db.value(f"SELECT count(DISTINCT path) FROM ({with_frames})"),
            modalities=dict(
                self._db.all(f"SELECT s.modality, count(*) {_ENTERED} GROUP BY s.modality")
            ),
            notes=notes,
        )

    def enter(self, kind: str, skipped: Iterable[SkippedFile]) -> dict[tuple[str, int], int]:
        """Make what was decided part of the project, all of it or nothing.

        This is the one transaction of an import that takes longer than a moment (a second for
        100,000 images): half an import must never be seen. On a local disk nobody who reads waits
        for it.

        Args:
            kind: Where the labels come from.
            skipped: Files that were left out.

        Returns:
            Record ids by path and frame.
        """
        project = self._project
        with project.transaction():
            source_id = project.add_source(self._root, kind)
            project.set_frame_policy(source_id, self._policy)
            project.image_contract = self._contract
            self._enter_classes()
            self._db.execute(_INSERT_PATIENTS)
            self._db.execute(_INSERT_RECORDS, {"source": source_id})
            self._db.execute(
                f"DELETE FROM skipped WHERE source_id = ? AND path IN (SELECT path {_ENTERED})",
                (source_id,),
            )
            project.add_skipped(source_id, skipped)
            self._db.execute("UPDATE segments SET import_id = NULL WHERE import_id = ?", (self.id,))
            self._db.execute("DELETE FROM imports WHERE id = ?", (self.id,))
            project.note_data_change()
        ids = self._db.all(
            f"SELECT r.path, r.frame, r.id {_ENTERED} JOIN records AS r "
            "ON r.source_id = ? AND r.path = s.path AND r.frame = s.frame",
            (source_id,),
        )
        return {(path, frame): id_ for path, frame, id_ in ids}

    def _enter_classes(self) -> None:
        self._db.execute("DROP TABLE IF EXISTS temp.entry_classes")
        self._db.execute("CREATE TEMP TABLE entry_classes (label PRIMARY KEY, class_id)")
        self._db.execute_many(
            "INSERT INTO temp.entry_classes VALUES (?, ?)",
            [(key, self._project.add_class(name)) for key, name in sorted(self._labels.items())],
        )

    def clean_up(self) -> None:
        """Delete what was staged for imports that have ended."""
        self._drop_orphans()

    def discard(self) -> None:
        """Forget the import and all that was read for it."""
        with self._project.transaction():
            self._db.execute("DELETE FROM segments WHERE import_id = ?", (self.id,))
            self._db.execute("DELETE FROM imports WHERE id = ?", (self.id,))
        self._drop_orphans()

    def _drop_orphans(self) -> None:
        """Delete the rows of imports that have ended, a few at a time where others remain."""
        if not self._db.value("SELECT count(*) FROM imports"):
            with self._project.transaction():
                self._db.execute("DELETE FROM staged")  # SQLite empties a whole table at once
                self._db.execute("DELETE FROM staged_skipped")
            return
        self._db.execute(
            "DELETE FROM staged_skipped WHERE import_id NOT IN (SELECT id FROM imports)"
        )
        n_deleted = 1
        while n_deleted:
            n_deleted = self._db.execute(_DELETE_ORPHANS).rowcount


def _key(root: Path) -> bytes:
    return os.fsencode(file_key(os.path.abspath(root)))  # noqa: PTH100 - as add_source


def unfinished_contract(project: Project, root: Path) -> ImageContract | None:
    """Return how the pixels of an unfinished import of a folder are made; None without one."""
    text = project.db.value("SELECT made_by FROM imports WHERE root = ?", (_key(root),))
    if text is None:
        return None
    contract: ImageContract = from_plain(ImageContract, json.loads(text)["contract"])
    return contract


_ENTERED: Final = "FROM temp.entries AS e JOIN staged AS s ON s.rowid = e.staged"
_INSERT_PATIENTS: Final = """
    INSERT INTO patients (hash, origin)
    SELECT patient, origin FROM temp.entries WHERE true GROUP BY patient ORDER BY min(place)
    ON CONFLICT DO NOTHING
"""


def _value_of(column: str) -> str:
    """Return where a column of a new record comes from."""
    decided = {"source_id": ":source", "class_id": "c.class_id", "patient_id": "p.id"}
    if column in decided:
        return decided[column]
    if column == "split":  # adopted later, if it is sound
        return "NULL"
    if column in ("study", "numbers"):
        return f"e.{column}"
    return f"coalesce(e.{column}, s.{column})" if column in _FROM_SHEET else f"s.{column}"


_INSERT_RECORDS: Final = f"""
    INSERT INTO records ({", ".join(RECORD_COLUMNS)})
    SELECT {", ".join(map(_value_of, RECORD_COLUMNS))}
    {_ENTERED}
    JOIN patients AS p ON p.hash = e.patient
    LEFT JOIN temp.entry_classes AS c ON c.label = e.label
    WHERE true ORDER BY e.place
    {ON_SECOND_IMPORT}
"""
_DELETE_ORPHANS: Final = """
    DELETE FROM staged WHERE rowid IN (
        SELECT rowid FROM staged WHERE import_id NOT IN (SELECT id FROM imports) LIMIT 1000
    )
"""
