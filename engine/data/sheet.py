"""A label sheet matched with images: what is said about each image outside its file."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.contract.errors import DatasetError
from engine.contract.import_rules import ColumnMapping, LabelRule
from engine.contract.records import SkippedFile
from engine.data.covariates import read_age, read_sex, read_view
from engine.data.dates import date_readers
from engine.data.flags import cell_value, plain_number
from engine.data.joins import Images, Join, join_rows
from engine.data.label_values import read_labels
from engine.data.mapping import used_columns
from engine.data.numeric_columns import NumericColumns, numeric_columns
from engine.data.phrases import count_of, file_names, quoted, verb
from engine.data.row_labels import RowLabel, SheetLabels
from engine.data.tables import Table

__all__ = ["Item", "JoinCounts", "Matched", "count_of", "match_sheet", "verb"]

_LONGEST_FRAME: Final = 6
_TEXTS: Final = ("patient", "split", "study", "site", "scanner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An image to import and what is said about it outside its file.

    Attributes:
        path: File, relative to the source, with forward slashes.
        frame: Frame, page or slice from 0; None leaves the choice to the frame policy.
        label: Class name or grade; None while unlabelled.
        findings: Values by finding, of a source with several findings an image: 1 present, 0
            absent, None unknown. Empty where nothing is said. Items may share one: don't change it.
        patient: Raw patient id; memory only.
        split: The sheet's word for its split.
        study: Raw id of the study; memory only.
        site: Name of the institution; memory only.
        scanner: Device as the sheet names it.
        sex: ``M``, ``F`` or ``O``.
        age: In years, at most 90.
        view: Such as ``PA``.
        acquired: Day of the study; memory only.
        numbers: Numeric columns without a role, by name.
        is_case: Whether a frame is a case of its own, as those of a table of images are; other
            frames of a file are of one patient.
    """

    path: str
    frame: int | None = None
    label: str | None = None
    findings: Mapping[str, int | None] = field(default_factory=dict)
    patient: str | None = field(default=None, repr=False)
    split: str | None = None
    study: str | None = field(default=None, repr=False)
    site: str | None = field(default=None, repr=False)
    scanner: str | None = None
    sex: str | None = None
    age: float | None = None
    view: str | None = None
    acquired: datetime.date | None = field(default=None, repr=False)
    numbers: dict[str, float] = field(default_factory=dict)
    is_case: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinCounts:
    """How well a sheet fits the images, as in ``ScanResult``."""

    matched: int
    rows_without_file: int
    files_without_row: int
    conflicts: int


@dataclass
class Matched:
    """What a sheet gives for images.

    Attributes:
        items: One for each image, or for each of its frames that the sheet names.
        join: How the rows were matched.
        labels: What the label columns say.
        n_conflicts: Images whose rows disagree on the label.
        skipped: Rows without an image, with the reason.
        notes: Sentences for the user.
    """

    items: list[Item]
    join: Join
    labels: SheetLabels
    n_conflicts: int = 0
    skipped: list[SkippedFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def match_sheet(
    table: Table,
    mapping: ColumnMapping,
    images: Images,
    rule: LabelRule | None = None,
    *,
    on_row: Callable[[], None] | None = None,
    insists_on_split: bool = False,
    with_labels: bool = True,
) -> Matched:
    """Give every row its images, and every image one label, patient and split.

    Rows that repeat an image are merged. Where they disagree on the class it stays unlabelled;
    where they disagree on one of several findings, that one is unknown. An image in two splits at
    once belongs to none, since either would let the other leak.

    Args:
        table: The sheet.
        mapping: Its columns.
        images: What rows may be about.
        rule: What the label columns mean.
        on_row: Called again and again; may raise to give up.
        insists_on_split: Whether the user chose the split column: then an image in two splits is
            an error.
        with_labels: Whether the labels are wanted, not only what else the sheet says.

    Raises:
        DatasetError: If the columns don't hold what they should, or as said above.
    """
    tick = on_row or (lambda: None)
    labels = (
        read_labels(table, mapping, rule or LabelRule())
        if with_labels
        else SheetLabels("single", (), [RowLabel()] * len(table.rows))
    )
    join = join_rows(table, mapping, images, tick)
    result = Matched([], join, labels, skipped=list(join.skipped))
    result.notes += [*join.notes, *labels.notes]
    numbers = _numbers(table, mapping, result.notes)
    rows = _Rows(table, mapping, numbers)
    groups = _rows_by_image(join, rows, table, result)
    _Merge(rows, labels, result, insists_on_split).all(groups)
    return result


def _numbers(table: Table, mapping: ColumnMapping, notes: list[str]) -> NumericColumns:
    identifiers = [c for c in (mapping.path, mapping.patient, mapping.study) if c is not None]
    numbers = numeric_columns(table, used_columns(mapping), identifiers)
    if n := len(numbers.withheld):
        notes.append(
            f"{count_of(n, 'column', 'looks')} like an identifier, a date or a phone number and "
            f"{verb(n, 'was')} not kept: {quoted(numbers.withheld)}."
        )
    return numbers


def _rows_by_image(
    join: Join, rows: _Rows, table: Table, result: Matched
) -> dict[tuple[str, int | None], list[int]]:
    """Return the rows of every image; where rows name frames, of every frame that is named."""
    groups: dict[tuple[str, int | None], list[int]] = {}
    with_frames: set[str] = set()
    for row, keys in enumerate(join.keys):
        frame = rows.frame(row)
        for key in keys:
            groups.setdefault((key, frame), []).append(row)
            if frame is not None:
                with_frames.add(key)
    for key in with_frames:
        for row in groups.pop((key, None), []):
            name = f"row {table.numbers[row]}"
            reason = "The row names no frame, unlike others of this file."
            result.skipped.append(SkippedFile(path=name, reason=reason, kind="unmatched"))
            join.keys[row] = ()
    return groups


class _Rows:
    """Values of rows by their role."""

    def __init__(self, table: Table, mapping: ColumnMapping, numbers: NumericColumns) -> None:
        positions = {name: position for position, name in enumerate(table.columns)}
        self._rows = table.rows
        self._numbers = numbers
        self._at = {
            role: positions[column]
            for role in (*_TEXTS, "frame", "sex", "age", "view", "date")
            if (column := getattr(mapping, role)) is not None
        }
        dates = table.values(mapping.date) if mapping.date is not None else []
        self._read_date = date_readers(dates)[0]

    def text(self, row: int, role: str) -> str | None:
        """Return a value without what whole numbers get from a column of floats."""
        if role not in self._at:
            return None
        value = cell_value(self._rows[row][self._at[role]])
        return None if value is None or value == "?" else plain_number(value)

    def frame(self, row: int) -> int | None:
        """Return the frame that a row names."""
        text = self.text(row, "frame")
        is_number = text is not None and text.isdecimal() and len(text) <= _LONGEST_FRAME
        return int(text) if text is not None and is_number else None

    def facts(self, row: int) -> dict[str, object]:
        """Return what a row says besides its label, as fields of :class:`Item`."""
        found: dict[str, object] = {role: self.text(row, role) for role in _TEXTS}
        for role, field_name, read in (
            ("sex", "sex", read_sex),
            ("age", "age", read_age),
            ("view", "view", read_view),
            ("date", "acquired", self._read_date),
        ):
            text = self.text(row, role)
            found[field_name] = None if text is None else read(text)
        found["numbers"] = self._numbers.of_row(row)
        return found


class _Merge:
    """Makes one item of all rows of an image, and counts where they disagree."""

    def __init__(
        self, rows: _Rows, labels: SheetLabels, result: Matched, insists_on_split: bool
    ) -> None:
        self._rows, self._labels, self._result = rows, labels, result
        self._insists_on_split = insists_on_split
        self._repeated: list[str] = []
        self._conflicting: list[str] = []
        self._two_patients: list[str] = []
        self._two_splits: list[str] = []
        self._shared: dict[tuple[tuple[str, int | None], ...], Mapping[str, int | None]] = {}

    def all(self, groups: Mapping[tuple[str, int | None], Sequence[int]]) -> None:
        """Fill in the result."""
        for (path, frame), rows in groups.items():
            self._result.items.append(self._item(path, frame, rows))
        self._result.n_conflicts = len(self._conflicting)
        if self._two_splits and self._insists_on_split:
            raise DatasetError(
                f"The label sheet puts {count_of(len(self._two_splits), 'image')} into two splits "
                f"at once, for example {file_names(self._two_splits[:1])}.",
                remedy="Correct the split column, or choose none and let RadTune divide the "
                "patients.",
            )
        self._result.notes += self._notes()

    def _item(self, path: str, frame: int | None, rows: Sequence[int]) -> Item:
        facts = self._rows.facts(rows[0])
        if len(rows) > 1:
            for row in rows[1:]:
                for name, value in self._rows.facts(row).items():
                    if not facts[name]:
                        facts[name] = value
            self._compare(path, rows, facts)
        label, findings = self._label(path, rows)
        return Item(path=path, frame=frame, label=label, findings=findings, **facts)  # type: ignore[arg-type]

    def _compare(self, path: str, rows: Sequence[int], facts: dict[str, object]) -> None:
        patients = _distinct(self._rows.text(row, "patient") for row in rows)
        splits = _distinct(self._rows.text(row, "split") for row in rows)
        self._two_patients += [path] * (len(patients) > 1)
        if len(splits) > 1:
            self._two_splits.append(path)
            facts["split"] = None

    def _label(self, path: str, rows: Sequence[int]) -> tuple[str | None, Mapping[str, int | None]]:
        said = [self._labels.rows[row] for row in rows]
        said = [label for label in said if not label.is_blank]
        if any(label.is_contradictory for label in said):
            self._conflicting.append(path)
            return None, {}
        if len(rows) == 1 and said:
            return said[0].label, said[0].findings
        names = _distinct(label.label for label in said)
        findings = self._united(said) if any(label.findings for label in said) else {}
        disagrees = len(names) > 1 or self._disagree(said)
        (self._conflicting if disagrees else self._repeated).extend([path] * (len(rows) > 1))
        return (names[0] if len(names) == 1 else None), findings

    def _disagree(self, said: Sequence[RowLabel]) -> bool:
        """Return whether two rows say the opposite; rows that each name some findings don't."""
        values = [set(label.findings.values()) for label in said if label.findings]
        if self._labels.unites_rows:
            says_none = [not (found - {0}) for found in values]
            return any(says_none) and not all(says_none)
        return any(
            {label.findings.get(name) for label in said if label.findings} >= {0, 1}
            for name in self._labels.classes
        )

    def _united(self, said: Sequence[RowLabel]) -> Mapping[str, int | None]:
        """Return the findings of several rows together.

        Rows that each name some findings unite: a finding is present if one of them names it. Of
        rows that say everything, those that are opposed leave a finding unknown.
        """
        united: dict[str, int | None] = {}
        for name in self._labels.classes:
            values = {label.findings.get(name) for label in said if label.findings}
            if self._labels.unites_rows:
                united[name] = 1 if 1 in values else None if None in values else 0
            else:
                known = values - {None}
                united[name] = known.pop() if len(known) == 1 else None
        return self._shared.setdefault(tuple(united.items()), united)

    def _notes(self) -> list[str]:
        notes = []
        if n := len(self._repeated):
            notes.append(
                f"{count_of(n, 'image', 'stands')} more than once in the sheet; each was imported "
                "once."
            )
        if n := len(self._conflicting):
            notes.append(self._conflict_note(n))
        if n := len(self._two_patients):
            notes.append(
                f"{count_of(n, 'image', 'has')} different patients in different rows; the "
                f"first was taken: {file_names(self._two_patients)}."
            )
        if n := len(self._two_splits):
            notes.append(
                f"{count_of(n, 'image', 'is')} in two splits at once and {verb(n, 'belongs')} to "
                f"none, so that nothing leaks: {file_names(self._two_splits)}."
            )
        items = self._result.items
        n = sum(item.label is None and not item.findings for item in items) - self._n_unlabelled()
        if n and (self._labels.classes or self._labels.notes):
            notes.append(
                f"{count_of(n, 'image', 'has')} no label in the sheet and {verb(n, 'stays')} "
                "unlabelled."
            )
        return notes

    def _n_unlabelled(self) -> int:
        """Return how many images are unlabelled since their rows disagree."""
        return 0 if self._labels.task == "multi" else len(self._conflicting)

    def _conflict_note(self, n: int) -> str:
        names = file_names(self._conflicting)
        if self._labels.task == "multi":
            return f"{count_of(n, 'image', 'has')} rows that contradict one another: {names}."
        return (
            f"{count_of(n, 'image', 'has')} different labels in different rows and "
            f"{verb(n, 'stays')} unlabelled: {names}. If an image may have several findings, "
            "import them as such."
        )


def _distinct(values: Iterable[str | None]) -> list[str]:
    """Return the values that differ by more than case, without None."""
    found: dict[str, str] = {}
    for value in values:
        if value is not None:
            found.setdefault(value.casefold(), value)
    return list(found.values())
