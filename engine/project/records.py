"""Images of a project and the patients they belong to."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Any, Final

from engine.contract.records import ImageRecord
from engine.project.sources import SourceStore

_ROWS_PER_TRANSACTION: Final = 200
"""About 10 ms: the window's own changes never wait long for an import."""
_EPOCH: Final = datetime.date(2000, 1, 1).toordinal()
_LONGEST_SHIFT: Final = 36525  # a hundred years, in days
_IDS_PER_QUERY: Final = 900  # below the 999 parameters that old SQLite builds allow


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecord:
    """An image as the importer found it.

    Attributes:
        source_id: From :meth:`SourceStore.add_source`.
        path: Relative to the source, with forward slashes.
        row: Row in the thumbnail and pixel segments, never used before.
        patient_id: From :meth:`RecordStore.patient`; None keeps images of one ``study`` together,
            or without a study makes the file its own patient.
        study: From :meth:`RecordStore.study`.
        split: ``train``, ``val`` or ``test`` where a label sheet says so.
        window_center: Centre of the window used, in the file's rescaled units.
        age: In years.
        dicom: Whitelisted header fields by readable name; no identifiers.
        mtime_ns: Time of the file's last change, in nanoseconds.
        sha256: Of the file's bytes.
        site: Pseudonym of the institution, from :meth:`RecordStore.site`.
        acquired: Day of acquisition, from :meth:`RecordStore.day`.
        pixel_hash: SHA-256 of the decoded values with their shape, first 32 digits.
        burned_in: What the header says on text burned into the image: ``yes``, ``no`` or empty.
        n_frames: Frames of the file, of which this is one; 0 where nobody looked.
        numbers: Numeric columns of the label sheet that have no role, by name.
    """

    source_id: int
    path: str
    row: int
    frame: int = 0
    class_id: int | None = None
    patient_id: int | None = None
    study: str | None = None
    split: str | None = None
    format: str = ""
    modality: str = ""
    photometric: str = ""
    width: int = 0
    height: int = 0
    bits: int = 8
    window_center: float | None = None
    window_width: float | None = None
    view: str | None = None
    sex: str | None = None
    age: float | None = None
    device: str | None = None
    dicom: dict[str, str] = field(default_factory=dict)
    n_bytes: int = 0
    mtime_ns: int = 0
    sha256: str = ""
    site: str | None = None
    acquired: int | None = None
    pixel_hash: str = ""
    burned_in: str = ""
    n_frames: int = 0
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectCounts:
    """How much a project holds.

    Attributes:
        n_images: All images, left out ones included.
        n_excluded: Left out one by one by the user.
        n_unlabelled: Neither excluded nor labelled.
        by_split: Images that aren't excluded, by ``train``, ``val``, ``test`` and None.
    """

    n_images: int
    n_excluded: int
    n_unlabelled: int
    n_patients: int
    n_skipped: int
    by_split: dict[str | None, int]


def pseudonym(patient_id: int) -> str:
    """Return the readable name of a patient: ``P0001`` for the first that arrived."""
    return f"P{patient_id:04d}"


class RecordStore(SourceStore):
    """Patients and records of a project."""

    def patient(self, raw_id: str, *, origin: str = "patient") -> int:
        """Return the row id of a patient, adding it if it is new; the raw id is not stored.

        Many at once belong in one :meth:`transaction`, since each new one waits for the disk.

        Args:
            raw_id: As the file or the sheet gives it.
            origin: What the id really tells apart: ``patient``, ``study`` or ``file``.
        """
        return self._patient_by_hash(self.patient_hash(raw_id, origin=origin), origin)

    def _patient_by_hash(self, digest: str, origin: str) -> int:
        found = self.db.value("SELECT id FROM patients WHERE hash = ?", (digest,))
        if found is not None:
            return int(found)
        with self.transaction():
            # Asked again, now that no other process can write.
            self.db.execute(
                "INSERT INTO patients (hash, origin) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (digest, origin),
            )
            return int(self.db.value("SELECT id FROM patients WHERE hash = ?", (digest,)))

    def study(self, raw_uid: str | None) -> str | None:
        """Return what may be stored of a study's UID: a salted hash, or None without one."""
        return self.hashed(f"study:{raw_uid}") if raw_uid and raw_uid.strip() else None

    def site(self, raw_name: str | None) -> str | None:
        """Return the pseudonym of an institution: ``Site 1`` for the first that arrived.

        The name itself isn't stored; a salted hash tells institutions apart.
        """
        if not raw_name or not raw_name.strip():
            return None
        known: list[str] = json.loads(self._meta("sites") or "[]")
        digest = self.hashed(f"site:{' '.join(raw_name.split()).casefold()}")
        if digest not in known:
            known.append(digest)
            with self.transaction():
                self._set_meta("sites", json.dumps(known))
        return f"Site {known.index(digest) + 1}"

    def day(self, date: datetime.date | None) -> int | None:
        """Return a date as a day number that keeps order and distance but not the date.

        All days of a project are shifted by the same secret number of days.
        """
        if date is None:
            return None
        return date.toordinal() - _EPOCH - int(self.hashed("day shift")[:8], 16) % _LONGEST_SHIFT

    def next_row(self) -> int:
        """Return the first row that neither a record nor a segment uses."""
        return int(
            self.db.value(
                """
                SELECT max(coalesce((SELECT max(row) + 1 FROM records), 0),
                           coalesce((SELECT max(last_row) + 1 FROM segments), 0))
                """
            )
        )

    def add_records(self, records: Sequence[NewRecord]) -> list[int]:
        """Add images, a few hundred a transaction, and return their ids in order.

        A file (and frame) that the project already has keeps its id, its patient and what the user
        decided (label, exclusion, split); only what was read from the file is refreshed.

        Raises:
            ValueError: If a source, class or patient doesn't exist, or a row is used twice.
        """
        ids: list[int] = []
        for start in range(0, len(records), _ROWS_PER_TRANSACTION):
            with self.transaction():
                batch = records[start : start + _ROWS_PER_TRANSACTION]
                ids += [self._add_record(record) for record in batch]
                self.db.execute_many(
                    "DELETE FROM skipped WHERE source_id = ? AND path = ?",
                    {(record.source_id, record.path) for record in batch},
                )
                self.note_data_change()
        return ids

    def _add_record(self, record: NewRecord) -> int:
        patient = record.patient_id or self._own_patient(record)
        header = json.dumps(record.dicom, sort_keys=True)
        numbers = json.dumps(record.numbers, sort_keys=True)
        row = self.db.one(_UPSERT, (*_plain_values(record), header, numbers, patient))
        return int(row[0])

    def _own_patient(self, record: NewRecord) -> int:
        return self._patient_by_hash(
            *self.own_patient_hash(record.source_id, record.path, record.study)
        )

    def own_patient_hash(self, source_id: int, path: str, study: str | None) -> tuple[str, str]:
        """Return what stands for the patient of an image where no patient is known, and its origin.

        Args:
            source_id: The source.
            path: The file, whose frames stay together; with a frame, a case of a table of images.
            study: From :meth:`study`; images of one study stay together.
        """
        if study:
            return self.patient_hash(study, origin="study"), "study"
        return self.patient_hash(f"{source_id}/{path}", origin="file"), "file"

    def patient_hash(self, raw_id: str, *, origin: str = "patient") -> str:
        """Return the hash under which :meth:`patient` finds a patient."""
        return self.hashed(raw_id if origin == "patient" else f"{origin}:{raw_id}")

    def records(self, ids: Sequence[int] | None = None) -> list[ImageRecord]:
        """Return images as the browser shows them: all by id, or ``ids`` in the order given.

        Raises:
            ValueError: If one of ``ids`` doesn't exist.
        """
        if ids is None:
            return _image_records(self.db.all(f"{_SELECT} ORDER BY id"), self._findings(_FINDINGS))
        wanted = [int(record) for record in ids]
        found: dict[int, ImageRecord] = {}
        for part in _parts(wanted, _IDS_PER_QUERY):
            marks = ",".join("?" * len(part))
            rows = self.db.all(f"{_SELECT} WHERE id IN ({marks})", part)
            where = f"{_FINDINGS} WHERE record_id IN ({marks})"
            records = _image_records(rows, self._findings(where, part))
            found.update((record.id, record) for record in records)
        if missing := next((record for record in wanted if record not in found), None):
            raise ValueError(f"there is no record {missing}")
        return [found[record] for record in wanted]

    def _findings(self, select: str, parameters: Sequence[int] = ()) -> Findings:
        """Return the findings of records; records with the same ones share a mapping."""
        rows = self.db.all(f"{select} GROUP BY record_id", parameters)
        known: dict[str, dict[int, int | None]] = {}
        found: Findings = {}
        for record, text in rows:
            if text not in known:
                known[text] = dict(map(_finding, text.split(",")))
            found[record] = known[text]
        return found

    def counts(self) -> ProjectCounts:
        """Return how much the project holds, counted by the database."""
        with self.db.snapshot():
            n_images, n_excluded = self.db.one("SELECT count(*), count(exclusion) FROM records")
            by_split = self.db.all(
                "SELECT split, count(*) FROM records WHERE exclusion IS NULL GROUP BY split"
            )
            return ProjectCounts(
                n_images=n_images,
                n_excluded=n_excluded,
                n_unlabelled=self.db.value(
                    "SELECT count(*) FROM records WHERE class_id IS NULL AND exclusion IS NULL"
                ),
                n_patients=self.db.value("SELECT count(DISTINCT patient_id) FROM records"),
                n_skipped=self.db.value("SELECT count(*) FROM skipped"),
                by_split=dict(by_split),
            )


RECORD_COLUMNS: Final = tuple(NewRecord.__dataclass_fields__)
_PLAIN_COLUMNS: Final = tuple(
    name for name in RECORD_COLUMNS if name not in ("dicom", "numbers", "patient_id")
)
_plain_values: Final = attrgetter(*_PLAIN_COLUMNS)
_DECIDED: Final = ("source_id", "path", "frame", "class_id", "patient_id", "study", "split")
"""What a second import of a file leaves alone."""
ON_SECOND_IMPORT: Final = f"""
    ON CONFLICT (source_id, path, frame) DO UPDATE SET
        class_id = coalesce(class_id, excluded.class_id),
        {", ".join(f"{name} = excluded.{name}" for name in RECORD_COLUMNS if name not in _DECIDED)}
"""
"""Ends a statement that inserts records."""
_UPSERT: Final = f"""
    INSERT INTO records ({", ".join(_PLAIN_COLUMNS)}, dicom, numbers, patient_id)
    VALUES ({", ".join("?" * len(_PLAIN_COLUMNS))}, ?, ?, ?)
    {ON_SECOND_IMPORT}
    RETURNING id
"""
_SELECT: Final = """
    SELECT id, row, path, class_id, patient_id, split, exclusion, format, modality, width, height,
           bits, frame, window_center, window_width, dicom, study, site, acquired, view, sex, age
    FROM records
"""


Findings = dict[int, dict[int, int | None]]
_NO_FINDINGS: Final[dict[int, int | None]] = {}
# One number for class and value: text is put together in twice the time.
_FINDINGS: Final = """
    SELECT record_id, group_concat(3 * class_id + coalesce(value, 2)) FROM record_findings
"""


@cache
def _finding(code: str) -> tuple[int, int | None]:
    """Return class and value of a number of the statement above; there are few different ones."""
    class_id, value = divmod(int(code), 3)
    return class_id, None if value == 2 else value


def _image_records(rows: list[tuple[Any, ...]], findings: Findings) -> list[ImageRecord]:
    # All headers are parsed in one call, a third of the time of a call for each.
    headers = json.loads(f"[{','.join(row[15] for row in rows)}]")
    return [
        ImageRecord(
            id=row[0],
            row=row[1],
            path=row[2],
            class_id=row[3],
            patient=f"P{row[4]:04d}",  # pseudonym(), without 100,000 calls
            patient_id=row[4],
            split=row[5],
            excluded=row[6],
            format=row[7],
            modality=row[8],
            width=row[9],
            height=row[10],
            bits=row[11],
            frame=row[12],
            window_center=row[13],
            window_width=row[14],
            dicom=header,
            findings=findings.get(row[0], _NO_FINDINGS),
            study=row[16],
            site=row[17],
            acquired=row[18],
            view=row[19],
            sex=row[20],
            age=row[21],
        )
        for row, header in zip(rows, headers, strict=True)
    ]


def _parts(items: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
