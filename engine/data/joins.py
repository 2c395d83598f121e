"""Which images each row of a label sheet is about: by path, by UID, or by patient and date."""

from __future__ import annotations

import datetime
import re
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

from engine.contract.errors import DatasetError, UnreadableImageError
from engine.contract.import_rules import ColumnMapping
from engine.contract.records import SkippedFile
from engine.data.dates import ReadDate, date_readers
from engine.data.file_index import NOT_FOUND, FileIndex
from engine.data.flags import cell_value, plain_number
from engine.data.listing import Listing
from engine.data.phrases import count_of, verb
from engine.data.tables import Table

if TYPE_CHECKING:
    from engine.data.dicom_header import JoinKeys

PATH, SOP_UID, PATIENT_DATE = "path", "sop_uid", "patient_date"
Tick = Callable[[], None]
_UID: Final = re.compile(r"[0-2](\.(0|[1-9]\d*)){3,}")
_NO_FILE: Final = "The row names no file."
_OTHER_FILE: Final = "In the sheet, but the file of this name in the folder is another row's."


class PathIndex(Protocol):
    """What :class:`~engine.data.file_index.FileIndex` is; what is found is a key."""

    def find_by_path(self, written: str) -> str | None:
        """Return the image whose path a cell gives."""

    def find_by_name(self, written: str) -> str | None:
        """Return the one image with the name that a cell gives."""

    def find_folder(self, written: str) -> list[str]:
        """Return the images beneath the folder that a cell means."""

    def why_not(self, written: str) -> str:
        """Return why a cell means no image."""


class Images(ABC):
    """Images that a sheet may be about; ``key`` stands for one of them below."""

    @abstractmethod
    def index(self) -> PathIndex:
        """Return the images by their paths; what it finds are the keys."""

    @abstractmethod
    def by_sop_uid(self) -> dict[str, list[str]]:
        """Return keys by SOP Instance UID; reads the headers of all images."""

    @abstractmethod
    def of_patient(self, raw_id: str) -> Sequence[tuple[str, Hashable]]:
        """Return key and :meth:`day` of every image of a patient."""

    @abstractmethod
    def day(self, date: datetime.date) -> Hashable:
        """Return a date in the form in which :meth:`of_patient` has it."""


class FolderImages(Images):
    """Images of a source folder; keys are paths relative to it."""

    def __init__(
        self, listing: Listing, names: Sequence[str], index: FileIndex, tick: Tick
    ) -> None:
        """Take the images.

        Args:
            listing: The source.
            names: Those of its files that may be images.
            index: All of its files.
            tick: Called for every file whose header is read; may raise to give up.
        """
        self._listing, self._names, self._index, self._tick = listing, names, index, tick

    def index(self) -> FileIndex:
        """Return all files; rows of files that are no images are not unmatched for that."""
        return self._index

    def by_sop_uid(self) -> dict[str, list[str]]:
        """Return files by UID."""
        found: dict[str, list[str]] = defaultdict(list)
        for name, keys in self._headers:
            if keys.sop_uid:
                found[keys.sop_uid].append(name)
        return found

    def of_patient(self, raw_id: str) -> Sequence[tuple[str, Hashable]]:
        """Return files and dates of a patient."""
        exact = self._patients.get(raw_id.casefold())
        if exact is not None:
            return exact
        # A spreadsheet takes the zeros from 00123; the id must then be the only one like it.
        alike = self._without_zeros.get(raw_id.casefold().lstrip("0"), [])
        return self._patients[alike[0]] if len(alike) == 1 else []

    def day(self, date: datetime.date) -> Hashable:
        """Return the date itself."""
        return date

    @cached_property
    def _headers(self) -> list[tuple[str, JoinKeys]]:
        from engine.data.dicom_header import read_join_keys  # pydicom takes a while to import

        found = []
        for name in self._names:
            self._tick()
            try:
                found.append((name, read_join_keys(self._listing.path(name))))
            except UnreadableImageError:
                continue  # the import says so when its turn comes
        return found

    @cached_property
    def _patients(self) -> dict[str, list[tuple[str, Hashable]]]:
        found: dict[str, list[tuple[str, Hashable]]] = defaultdict(list)
        for name, keys in self._headers:
            if keys.patient_id:
                found[keys.patient_id.casefold()].append((name, keys.study_date))
        return dict(found)

    @cached_property
    def _without_zeros(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for patient in self._patients:
            found[patient.lstrip("0")].append(patient)
        return found


@dataclass
class Join:
    """What a sheet's rows are about.

    Attributes:
        kind: ``path``, ``sop_uid`` or ``patient_date``.
        keys: Images of each row; none where there are none.
        skipped: Rows without an image, with the reason. Only a path is quoted: other keys identify.
        notes: Sentences for the user.
    """

    kind: str
    keys: list[Sequence[str]]
    skipped: list[SkippedFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def n_matched(self) -> int:
        """Rows with at least one image."""
        return sum(bool(keys) for keys in self.keys)


def join_rows(table: Table, mapping: ColumnMapping, images: Images, tick: Tick) -> Join:
    """Find the images of every row.

    ``mapping.join`` says how. ``auto`` tries the path; if that finds nothing, UIDs in the same
    column; if that finds nothing either, patient and study date.

    Raises:
        DatasetError: If the columns that the chosen way needs aren't known.
    """
    ways = {PATH: _by_path, SOP_UID: _by_sop_uid, PATIENT_DATE: _by_patient}
    if mapping.join != "auto":
        _require_key_columns(mapping)
        return ways[mapping.join](table, mapping, images, tick)
    join: Join | None = None
    if mapping.path is not None:
        join = _by_path(table, mapping, images, tick)
        if not join.n_matched and _holds_uids(table, mapping.path):
            join = _first_that_finds(join, _by_sop_uid(table, mapping, images, tick))
    if mapping.patient is not None and (join is None or not join.n_matched):
        join = _first_that_finds(join, _by_patient(table, mapping, images, tick))
    if join is None:
        raise DatasetError(
            "Nothing in the label sheet says which image a row is about.",
            remedy="Choose the column with the file, or those with the patient and the date.",
        )
    return join


def _first_that_finds(first: Join | None, second: Join) -> Join:
    return second if first is None or second.n_matched else first


def _require_key_columns(mapping: ColumnMapping) -> None:
    if mapping.join == PATIENT_DATE and mapping.patient is None:
        raise DatasetError(
            "Rows are to be matched by patient and date, but no column is known to hold the "
            "patient.",
            remedy="Choose the patient column, or name it with --patient-column.",
        )
    if mapping.join != PATIENT_DATE and mapping.path is None:
        raise DatasetError(
            "No column of the label sheet is known to hold the file or the UID.",
            remedy="Choose the column, or name it with --path-column.",
        )


def _by_path(table: Table, mapping: ColumnMapping, images: Images, tick: Tick) -> Join:
    assert mapping.path is not None
    index = images.index()
    written = [cell_value(cell) for cell in table.values(mapping.path)]
    found: list[str | None] = []
    for cell in written:
        tick()
        found.append(None if cell is None else index.find_by_path(cell))
    taken = {file for file in found if file is not None}
    _find_by_name(index, written, found, taken)
    join = Join(PATH, [() if file is None else (file,) for file in found])
    n_folders = 0
    for row, cell in enumerate(written):
        if cell is not None and found[row] is None:
            inside = index.find_folder(cell)
            if inside:
                join.keys[row] = inside
                n_folders += 1
                continue
        if not join.keys[row]:
            join.skipped.append(_without_file(table, row, cell, index, taken))
    if n_folders:
        join.notes.append(
            f"{count_of(n_folders, 'row', 'names')} a folder and {verb(n_folders, 'counts')} for "
            "every image inside."
        )
    return join


def _find_by_name(
    index: PathIndex, written: Sequence[str | None], found: list[str | None], taken: set[str]
) -> None:
    """Fill in files that are known by their name alone.

    A name must lead from one path only: ``train/1.png`` and ``test/1.png`` can't both be the one
    ``1.png`` of the folder, nor can either if a third row gives the file's own path.
    """
    by_file: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, cell in enumerate(written):
        if cell is not None and found[row] is None:
            file = index.find_by_name(cell)
            if file is not None and file not in taken:
                by_file[file][cell.casefold()].append(row)
    for file, cells in by_file.items():
        if len(cells) == 1:
            for row in next(iter(cells.values())):
                found[row] = file
        taken.add(file)


def _without_file(
    table: Table, row: int, cell: str | None, index: PathIndex, taken: set[str]
) -> SkippedFile:
    if cell is None:
        return _unmatched_row(table, row, _NO_FILE)
    is_taken = index.find_by_name(cell) in taken
    reason = _OTHER_FILE if is_taken else index.why_not(cell)
    return SkippedFile(path=cell, reason=reason, kind="unmatched")


def _unmatched_row(table: Table, row: int, reason: str) -> SkippedFile:
    return SkippedFile(path=f"row {table.numbers[row]}", reason=reason, kind="unmatched")


def _holds_uids(table: Table, column: str) -> bool:
    cells = [cell for cell in table.values(column)[:200] if cell]
    return 2 * sum(_UID.fullmatch(cell) is not None for cell in cells) > len(cells)


def _by_sop_uid(table: Table, mapping: ColumnMapping, images: Images, tick: Tick) -> Join:
    assert mapping.path is not None
    by_uid = images.by_sop_uid()
    join = Join(SOP_UID, [])
    for row, cell in enumerate(table.values(mapping.path)):
        tick()
        keys = by_uid.get(cell.strip(), [])
        join.keys.append(keys)
        if not keys:
            reason = _NO_FILE if cell_value(cell) is None else NOT_FOUND
            join.skipped.append(_unmatched_row(table, row, reason))
    return join


def _by_patient(table: Table, mapping: ColumnMapping, images: Images, tick: Tick) -> Join:
    """Match by patient and date, in whichever order of day and month finds more.

    Without a date column a row is about all images of the patient, if they are of one day.
    """
    assert mapping.patient is not None
    patients = [cell_value(cell) for cell in table.values(mapping.patient)]
    patients = [None if patient is None else plain_number(patient) for patient in patients]
    if mapping.date is None:
        return _by_patient_alone(table, patients, images, tick)
    dates = table.values(mapping.date)
    ways = [_by_day(table, patients, dates, read, images, tick) for read in date_readers(dates)]
    best = max(ways, key=lambda join: join.n_matched)
    if len(ways) == 2 and ways[0].n_matched == ways[1].n_matched > 0:
        best.notes.append("Dates such as 03/04/2024 were read with the day first.")
    return best


def _by_day(
    table: Table,
    patients: Sequence[str | None],
    dates: Sequence[str],
    read: ReadDate,
    images: Images,
    tick: Tick,
) -> Join:
    join = Join(PATIENT_DATE, [])
    for row, (patient, written) in enumerate(zip(patients, dates, strict=True)):
        tick()
        date = read(written)
        keys, reason = [], "The row names no patient or no date."
        if patient is not None and date is not None:
            of_patient = images.of_patient(patient)
            day = images.day(date)
            keys = [key for key, other in of_patient if other == day]
            reason = (
                "No image of this patient is of this date."
                if of_patient
                else "There is no image of this patient."
            )
        join.keys.append(keys)
        if not keys:
            join.skipped.append(_unmatched_row(table, row, reason))
    return join


def _by_patient_alone(
    table: Table, patients: Sequence[str | None], images: Images, tick: Tick
) -> Join:
    join = Join(PATIENT_DATE, [])
    for row, patient in enumerate(patients):
        tick()
        of_patient = [] if patient is None else images.of_patient(patient)
        n_days = len(Counter(day for _, day in of_patient))
        join.keys.append([key for key, _ in of_patient] if n_days == 1 else [])
        if n_days != 1:
            reason = "There is no image of this patient."
            if patient is None:
                reason = "The row names no patient."
            elif n_days:
                reason = "The images of this patient are of several days; the sheet has no date."
            join.skipped.append(_unmatched_row(table, row, reason))
    return join
