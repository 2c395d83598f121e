"""A label sheet matched with the files of a folder: which row belongs to which file."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from engine.contract.errors import DatasetError
from engine.contract.records import ColumnMapping, SkippedFile
from engine.data.tables import Table, list_columns

_NO_VALUE: Final = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "?"})
NOT_FOUND: Final = "In the sheet but not found."
_FEW: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A file to import and what is said about it outside the file.

    Attributes:
        path: Relative to the source, with forward slashes.
        label: Class name; None while unlabelled.
        patient: Raw patient id; memory only.
        split: The sheet's word for its split.
    """

    path: str
    label: str | None = None
    patient: str | None = None
    split: str | None = None


@dataclass
class Matched:
    """What a sheet gives for a folder."""

    items: list[Item]
    skipped: list[SkippedFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    n_rows: int = 0


class FileIndex:
    """Finds files by how people write their paths."""

    def __init__(self, root: Path, sheet_folder: Path, files: Sequence[str]) -> None:
        """Index the files.

        Args:
            root: The source folder.
            sheet_folder: Folder of the sheet, which its paths may be relative to.
            files: Relative to ``root``, with forward slashes.
        """
        self._root = PurePosixPath(root.as_posix())
        self._sheet_folder = PurePosixPath(sheet_folder.as_posix())
        self._exact = set(files)
        self._by_key: dict[str, list[str]] = defaultdict(list)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for file in files:
            key = _key(file)
            name = key.rpartition("/")[2]
            self._by_key[key].append(file)
            self._by_name[name].append(file)
            self._by_stem[name.rpartition(".")[0] or name].append(file)

    def find(self, written: str) -> str | None:
        """Return the file that a cell of the sheet means, or None.

        Tried in this order: the path relative to the sheet, relative to the source, both without
        regard to case and to how accents are written; then its last part, if only one file has
        that name; then the same without a suffix.
        """
        for candidate in self._relative(written):
            if candidate in self._exact:
                return candidate
            if len(found := self._by_key.get(_key(candidate), [])) == 1:
                return found[0]
        name = _key(written.replace("\\", "/")).rstrip("/").rpartition("/")[2]
        for index in (self._by_name, self._by_stem):
            if len(found := index.get(name, [])) == 1:
                return found[0]
        return None

    def _relative(self, written: str) -> list[str]:
        """Return what a path may be relative to the source."""
        text = written.strip().strip('"').replace("\\", "/")
        candidates = []
        for base in (self._sheet_folder, self._root):
            whole = _normal(text if _is_absolute(text) else f"{base}/{text}")
            root = _normal(str(self._root))
            prefix = root if root.endswith("/") else root + "/"
            if whole.startswith(prefix):
                candidates.append(whole[len(prefix) :])
        return candidates


def _is_absolute(text: str) -> bool:
    return text.startswith("/") or re.match(r"[A-Za-z]:/", text) is not None


def _normal(path: str) -> str:
    """Resolve ``.`` and ``..`` without looking at the disk."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts and parts[-1] not in ("", ".."):
                parts.pop()
        elif part != "." and (part or not parts):
            parts.append(part)
    return "/".join(parts) or "/"


def _key(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def require_columns(columns: Sequence[str], mapping: ColumnMapping) -> None:
    """Check that a sheet says where the files and where the classes are.

    Raises:
        DatasetError: Naming the columns there are and how to choose one.
    """
    missing = [
        (role, what)
        for role, what in (("path", "the image file"), ("label", "the class"))
        if getattr(mapping, role) is None
    ]
    if missing:
        what = " and ".join(text for _, text in missing)
        options = " and ".join(f"--{role}-column" for role, _ in missing)
        raise DatasetError(
            f"The label sheet has no column whose name says that it holds {what}; its columns "
            f"are: {list_columns(columns)}.",
            remedy=f"Choose the column where the sheet is shown, or name it with {options}.",
        )


def match_sheet(
    table: Table,
    mapping: ColumnMapping,
    index: FileIndex,
    *,
    on_row: Callable[[], None] | None = None,
) -> Matched:
    """Give every row its file, and every file one label, patient and split.

    Rows that repeat a file are merged. Where they disagree on the class the file stays unlabelled;
    files in two splits are refused, since no split could be taken from such a sheet.

    Raises:
        DatasetError: If a file is in two splits.
    """
    columns = {name: position for position, name in enumerate(table.columns)}
    at = {role: columns.get(getattr(mapping, role) or "") for role in _ROLES}
    result = Matched([], n_rows=len(table.rows))
    rows_of: dict[str, list[_Row]] = {}
    n_without_path = 0
    for number, cells in enumerate(table.rows, start=2):  # as a spreadsheet counts, from 1
        if on_row is not None:
            on_row()
        row = _Row(number, *(_value(cells, at[role]) for role in _ROLES))
        if row.path is None:
            n_without_path += 1
        elif (file := index.find(row.path)) is None:
            result.skipped.append(SkippedFile(path=row.path, reason=NOT_FOUND))
        else:
            rows_of.setdefault(file, []).append(row)
    if n_without_path:
        result.notes.append(
            f"{count_of(n_without_path, 'row')} of the sheet "
            f"{verb(n_without_path, 'names')} no file."
        )
    _merge(rows_of, result)
    return result


_ROLES: Final = ("path", "label", "patient", "split")


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    path: str | None
    label: str | None
    patient: str | None
    split: str | None


def _value(cells: Sequence[str], position: int | None) -> str | None:
    if position is None:
        return None
    text = " ".join(cells[position].split())
    return None if text.casefold() in _NO_VALUE else text


def _merge(rows_of: dict[str, list[_Row]], result: Matched) -> None:
    repeated: list[str] = []
    conflicting: list[str] = []
    two_patients: list[str] = []
    two_splits: list[int] = []
    for file, rows in rows_of.items():
        labels = _distinct(row.label for row in rows)
        patients = _distinct(row.patient for row in rows)
        splits = _distinct(row.split for row in rows)
        repeated += [file] * (len(rows) > 1 and len(labels) <= 1)
        conflicting += [file] * (len(labels) > 1)
        two_patients += [file] * (len(patients) > 1)
        two_splits += [rows[-1].number] * (len(splits) > 1)
        result.items.append(
            Item(
                path=file,
                label=labels[0] if len(labels) == 1 else None,
                patient=patients[0] if patients else None,
                split=splits[0] if splits else None,
            )
        )
    if two_splits:
        raise DatasetError(
            f"The label sheet puts {count_of(len(two_splits), 'file')} into two splits at once, "
            f"for example in row {two_splits[0]}.",
            remedy="Correct the split column, or remove it to let RadTune divide the patients.",
        )
    result.notes += _notes_on_repeats(repeated, conflicting, two_patients)
    n_unlabelled = sum(item.label is None for item in result.items) - len(conflicting)
    if n_unlabelled:
        result.notes.append(
            f"{count_of(n_unlabelled, 'image', 'has')} no label in the sheet "
            f"and {verb(n_unlabelled, 'stays')} unlabelled."
        )


def _notes_on_repeats(
    repeated: list[str], conflicting: list[str], two_patients: list[str]
) -> list[str]:
    notes = []
    if n := len(repeated):
        notes.append(
            f"{count_of(n, 'file', 'stands')} more than once in the sheet; each was imported once."
        )
    if n := len(conflicting):
        notes.append(
            f"{count_of(n, 'file', 'has')} different labels in different rows and "
            f"{verb(n, 'stays')} unlabelled: {_names(conflicting)}."
        )
    if n := len(two_patients):
        notes.append(
            f"{count_of(n, 'file', 'has')} different patients in different rows; the "
            f"first was taken: {_names(two_patients)}."
        )
    return notes


def _distinct(values: Iterable[str | None]) -> list[str]:
    """Return the values that differ by more than case, without None."""
    found: dict[str, str] = {}
    for value in values:
        if value is not None:
            found.setdefault(value.casefold(), value)
    return list(found.values())


def _names(files: Sequence[str]) -> str:
    names = ", ".join(file.rpartition("/")[2] for file in files[:_FEW])
    return f"{names} and {len(files) - _FEW} more" if len(files) > _FEW else names


def count_of(n: int, noun: str, does: str = "") -> str:
    """Return a number with its noun and verb: ``1 image has``, ``1,200 images have``.

    Args:
        n: The number.
        noun: In the singular.
        does: The verb in the form for one; may be left out.
    """
    counted = f"{n:,} {noun}{'' if n == 1 else 's'}"
    return f"{counted} {verb(n, does)}" if does else counted


def verb(n: int, does: str) -> str:
    """Return a verb that agrees with a number, given its form for one."""
    if n == 1:
        return does
    return {"has": "have", "is": "are", "was": "were"}.get(does, does.removesuffix("s"))
