"""What the label columns of a sheet say: one class, several findings, or a grade for each row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.contract.errors import DatasetError
from engine.contract.import_rules import ColumnMapping, LabelRule
from engine.data.flags import (
    MINUS_ONE,
    UNCERTAIN_WORDS,
    Flag,
    cell_value,
    flag,
    is_uncertain,
    plain_number,
)
from engine.data.phrases import count_of, quoted, verb
from engine.data.tables import Table
from engine.project.classes import (
    MULTI,
    ORDINAL,
    SINGLE,
    clean_name,
    is_absence_of_all,
    is_negative_name,
    positive_of_two,
)
from engine.project.grades import sorted_grades

NO_FINDING: Final = "No finding"
_MANY_CLASSES: Final = 100


@dataclass(frozen=True, slots=True)
class RowLabel:
    """What one row says.

    Attributes:
        label: Class or grade; None where the row gives none.
        findings: Values by finding, of a sheet with several findings an image: 1 present, 0
            absent, None unknown. Empty where the row says nothing. Rows may share one.
        is_contradictory: Whether the row says two things at once that exclude each other.
    """

    label: str | None = None
    findings: Mapping[str, int | None] = field(default_factory=dict)
    is_contradictory: bool = False

    @property
    def is_blank(self) -> bool:
        """Whether the row says nothing."""
        return self.label is None and not self.findings and not self.is_contradictory


@dataclass(frozen=True, slots=True)
class SheetLabels:
    """Labels of a sheet.

    Attributes:
        task: ``single``, ``multi`` or ``ordinal``.
        classes: Classes, findings, or grades from lowest to highest.
        rows: One for each row of the table.
        unites_rows: Whether rows of one image add findings to it, each row naming some; else
            each row says everything.
        notes: What was assumed, in sentences.
    """

    task: str
    classes: tuple[str, ...]
    rows: list[RowLabel]
    unites_rows: bool = False
    notes: tuple[str, ...] = ()


def read_labels(table: Table, mapping: ColumnMapping, rule: LabelRule) -> SheetLabels:
    """Read the label column, or the 0/1 columns, of a sheet.

    Raises:
        DatasetError: If the columns don't hold what the rule says, there are far too many classes,
            or the rule's order leaves grades out.
    """
    if mapping.labels:
        return _Flags(table, mapping.labels, rule).read()
    if mapping.label is None:
        return SheetLabels(SINGLE, (), [RowLabel()] * len(table.rows))
    cells = [cell_value(cell) for cell in table.values(mapping.label)]
    separator = rule.separator.strip() or rule.separator
    parts = [_parts(cell, separator) for cell in cells]
    is_multi = rule.task == MULTI or (rule.task == "auto" and _are_several(parts))
    return (
        _named_findings(mapping.label, parts, rule)
        if is_multi
        else _one_class(mapping.label, cells, rule)
    )


def _parts(cell: str | None, separator: str) -> list[str]:
    if cell is None:
        return []
    found = cell.split(separator) if separator else [cell]
    return [part for text in found if (part := " ".join(text.split()))]


def _are_several(parts: Sequence[Sequence[str]]) -> bool:
    """Return whether cells hold several findings, not the odd class name with a separator in it.

    Then a part stands in other cells too, or others say that there is no finding.
    """
    kinds = {tuple(sorted(_finding(part)[0].casefold() for part in cell)) for cell in parts}
    if all(len(kind) < 2 for kind in kinds):
        return False
    counts = Counter(part for kind in kinds for part in set(kind))
    return max(counts.values()) > 1 or any(map(is_absence_of_all, counts))


# --- one class, or one grade, in a column --------------------------------------------------------


def _one_class(column: str, cells: Sequence[str | None], rule: LabelRule) -> SheetLabels:
    texts = [None if cell is None else clean_name(plain_number(cell)) for cell in cells]
    certain = _spellings(text for text in texts if text is not None)
    uncertain = _unsure_words(certain)
    for word in uncertain:
        certain.pop(word, None)
    _require_few(column, len(certain), sum(text is not None for text in texts))
    stand_in = _stand_in(list(certain.values()), rule.uncertain)
    rows, n_unsure = [], 0
    for text in texts:
        if text is not None and text.casefold() in uncertain:
            n_unsure += 1
            text = stand_in
        rows.append(RowLabel(None if text is None else certain.get(text.casefold(), text)))
    task = ORDINAL if rule.task == ORDINAL else SINGLE
    classes = ordered_classes(certain.values(), rule, task)
    return SheetLabels(task, classes, rows, notes=_unsure_notes(n_unsure, stand_in, rule))


def _unsure_words(words: Iterable[str]) -> frozenset[str]:
    """Return which labels say that the reader wasn't sure; ``u`` and -1 only among yes and no."""
    flags = [flag(word) for word in words if word not in (MINUS_ONE, "u")]
    is_yes_or_no = flags and set(flags) <= {Flag.PRESENT, Flag.ABSENT, Flag.UNCERTAIN}
    return UNCERTAIN_WORDS | {MINUS_ONE} if is_yes_or_no else UNCERTAIN_WORDS - {"u"}


def _stand_in(classes: Sequence[str], uncertain: str) -> str | None:
    """Return the class that an uncertain label counts as; None leaves the image unlabelled."""
    if uncertain == "ignore" or len(classes) != 2:
        return None
    positive = positive_of_two(classes)
    return classes[positive if uncertain == "positive" else 1 - positive]


def _unsure_notes(n_unsure: int, stand_in: str | None, rule: LabelRule) -> tuple[str, ...]:
    if not n_unsure:
        return ()
    rows = count_of(n_unsure, "row", "says")
    if stand_in is not None:
        return (
            f"{rows} that the reader was not sure and {verb(n_unsure, 'counts')} as {stand_in}.",
        )
    why = "" if rule.uncertain == "ignore" else ", as there are not exactly two classes"
    return (f"{rows} that the reader was not sure and {verb(n_unsure, 'has')} no label{why}.",)


def _require_few(column: str, n_classes: int, n_labelled: int) -> None:
    if n_classes > _MANY_CLASSES and n_classes * 2 > n_labelled:
        raise DatasetError(
            f"The column “{column}” holds {n_classes:,} different values in {n_labelled:,} rows: "
            "these are no classes.",
            remedy="Choose the column that holds the class, or shorten its texts to class names.",
        )


def ordered_classes(names: Iterable[str], rule: LabelRule, task: str) -> tuple[str, ...]:
    """Return classes in the order of counting, or grades in the order that the user gave.

    Raises:
        DatasetError: If the user's order leaves a grade out.
    """
    names = list(names)
    if task != ORDINAL or not rule.order:
        return tuple(sorted_grades(names))
    order = {clean_name(name).casefold(): place for place, name in enumerate(rule.order)}
    missing = [name for name in names if name.casefold() not in order]
    if missing:
        raise DatasetError(
            f"The order of the grades leaves out {quoted(missing)}.",
            remedy="Name every grade of the sheet, from the lowest to the highest.",
        )
    return tuple(sorted(names, key=lambda name: order[name.casefold()]))


def _spellings(texts: Iterable[str]) -> dict[str, str]:
    """Return the first spelling of each name, by its form without case."""
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(text.casefold(), text)
    return found


# --- several findings in a cell ------------------------------------------------------------------

_MAYBE: Final = re.compile(r"(?:possible|probable|suspected|可疑|疑似)\s*(.+)|(.+?)\s*[?？]", re.I)


def _named_findings(column: str, parts: Sequence[Sequence[str]], rule: LabelRule) -> SheetLabels:
    """Read cells such as ``Effusion|Mass``; what a cell doesn't name is absent."""
    read = [[_finding(part) for part in cell] for cell in parts]
    names = _spellings(name for cell in read for name, _ in cell if name)
    names = {key: name for key, name in names.items() if not is_absence_of_all(name)}
    _require_few(column, len(names), len(read))
    unsure = {"ignore": None, "negative": 0, "positive": 1}[rule.uncertain]
    rows, shared = [], _Shared(tuple(names.values()))
    n_both = n_unsure = 0
    for cell in read:
        if not cell:
            rows.append(RowLabel())
            continue
        says_none = any(name and is_absence_of_all(name) for name, _ in cell)
        rest = unsure if any(not name for name, _ in cell) else 0
        values: dict[str, int | None] = dict.fromkeys(names, rest)
        for name, is_sure in cell:
            if name.casefold() in names:
                values[name.casefold()] = 1 if is_sure else unsure
        n_both += says_none and any(values.values())
        n_unsure += not all(is_sure for _, is_sure in cell)
        rows.append(RowLabel(findings=shared.of(tuple(values.values()))))
    notes = [*_both_notes(n_both), *_finding_notes(n_unsure, rule)]
    classes = tuple(sorted_grades(names.values()))
    return SheetLabels(MULTI, classes, rows, unites_rows=True, notes=tuple(notes))


def _finding(part: str) -> tuple[str, bool]:
    """Return the name of a finding, and whether it is sure; no name where nothing is."""
    if is_uncertain(part):
        return "", False
    found = _MAYBE.fullmatch(part)
    return (clean_name(part), True) if found is None else (clean_name(found[1] or found[2]), False)


class _Shared:
    """Findings of rows that say the same are one mapping: a sheet has few different rows."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._known: dict[tuple[int | None, ...], dict[str, int | None]] = {}

    def of(self, values: tuple[int | None, ...]) -> dict[str, int | None]:
        if values not in self._known:
            self._known[values] = dict(zip(self._names, values, strict=True))
        return self._known[values]


def _both_notes(n_both: int) -> list[str]:
    if not n_both:
        return []
    return [
        f"{count_of(n_both, 'row', 'names')} a finding and “no finding” at once; the finding "
        "counts."
    ]


def _finding_notes(n_unsure: int, rule: LabelRule) -> list[str]:
    if not n_unsure:
        return []
    count = {"ignore": "as unknown", "negative": "as absent", "positive": "as present"}
    return [
        f"{count_of(n_unsure, 'row', 'has')} findings that the reader was not sure of; these count "
        f"{count[rule.uncertain]}."
    ]


# --- a column of 0 and 1 for each finding --------------------------------------------------------


class _Flags:
    """Columns of 0 and 1, yes and no, or marks."""

    def __init__(self, table: Table, columns: Sequence[str], rule: LabelRule) -> None:
        self._rule = rule
        self._flags = {name: [flag(cell) for cell in table.values(name)] for name in columns}
        self._n_rows = len(table.rows)
        self._normal = [name for name in columns if is_absence_of_all(name)]
        self._findings = [name for name in columns if name not in self._normal]
        if not self._findings:  # "normal" alone
            self._findings, self._normal = self._normal, []
        self.notes: list[str] = []
        self._blanks: dict[bool, list[str]] = {True: [], False: []}
        for name in columns:
            self._check(name, table.values(name))

    def read(self) -> SheetLabels:
        """Return what the columns say."""
        says_something = [
            any(self._flags[name][row] not in (Flag.BLANK, Flag.OTHER) for name in self._flags)
            for row in range(self._n_rows)
        ]
        values = {name: self._values(name, says_something) for name in self._findings}
        self.notes += [
            f"Blank cells of {quoted(names)} count as {'absent' if is_absent else 'unknown'}."
            for is_absent, names in self._blanks.items()
            if names
        ]
        rows = list(zip(*values.values(), strict=True))
        is_multi = any(
            row.count(1) > 1 for row, said in zip(rows, says_something, strict=True) if said
        )
        if self._rule.task == MULTI or (self._rule.task == "auto" and is_multi):
            return self._several(rows, says_something)
        return self._one(rows, says_something)

    def _check(self, name: str, cells: Sequence[str]) -> None:
        """Count cells that are neither yes nor no; a column of them is none of 0 and 1."""
        kinds = Counter(self._flags[name])
        n_said = self._n_rows - kinds[Flag.BLANK]
        if not kinds[Flag.OTHER]:
            return
        if kinds[Flag.OTHER] * 2 > n_said:
            raise DatasetError(
                f"The column “{name}” doesn't hold 0 and 1 (or yes and no).",
                remedy="Choose it as the label column instead, or leave it out.",
            )
        example = next(c for c, f in zip(cells, self._flags[name], strict=True) if f is Flag.OTHER)
        self.notes.append(
            f"{count_of(kinds[Flag.OTHER], 'cell')} of “{name}” {verb(kinds[Flag.OTHER], 'is')} "
            f"neither yes nor no, such as “{example[:20]}”: unknown."
        )

    def _values(self, name: str, says_something: Sequence[bool]) -> list[int | None]:
        flags = self._flags[name]
        kinds = Counter(f for f, said in zip(flags, says_something, strict=True) if said)
        is_absent = self._rule.blank == "absent" or (
            self._rule.blank == "auto" and kinds[Flag.BLANK] > kinds[Flag.ABSENT]
        )
        if kinds[Flag.BLANK] and kinds[Flag.ABSENT]:
            self._blanks[is_absent].append(name)
        meaning: dict[Flag, int | None] = {
            Flag.PRESENT: 1,
            Flag.ABSENT: 0,
            Flag.BLANK: 0 if is_absent else None,
            Flag.UNCERTAIN: {"ignore": None, "negative": 0, "positive": 1}[self._rule.uncertain],
            Flag.OTHER: None,
        }
        return [meaning[f] for f in flags]

    def _several(
        self, rows: Sequence[tuple[int | None, ...]], says_something: Sequence[bool]
    ) -> SheetLabels:
        names = tuple(clean_name(name) for name in self._findings)
        shared, read, n_both = _Shared(names), [], 0
        for number, (row, said) in enumerate(zip(rows, says_something, strict=True)):
            if not said:
                read.append(RowLabel())
                continue
            if self._is_normal(number):
                n_both += 1 in row
                row = tuple(self._none_unless(number, k, v) for k, v in enumerate(row))
            read.append(RowLabel(findings=shared.of(row)))
        n_unsure = sum(
            any(self._flags[name][row] is Flag.UNCERTAIN for name in self._findings)
            for row in range(self._n_rows)
        )
        notes = [*self.notes, *_both_notes(n_both), *_finding_notes(n_unsure, self._rule)]
        return SheetLabels(MULTI, names, read, notes=tuple(notes))

    def _none_unless(self, row: int, k: int, value: int | None) -> int | None:
        """Return 0 for a blank cell of a row that says "no finding"."""
        is_blank = self._flags[self._findings[k]][row] is Flag.BLANK
        return 0 if is_blank else value

    def _is_normal(self, row: int) -> bool:
        return any(self._flags[name][row] is Flag.PRESENT for name in self._normal)

    def _one(
        self, rows: Sequence[tuple[int | None, ...]], says_something: Sequence[bool]
    ) -> SheetLabels:
        """Return the one class of each row: the column with the 1, or the absence of all."""
        names = [clean_name(name) for name in self._findings]
        none = self._absence(names)
        read, n_unsure = [], 0
        for number, (row, said) in enumerate(zip(rows, says_something, strict=True)):
            is_normal = self._is_normal(number)
            if not said:
                read.append(RowLabel())
            elif row.count(1) + is_normal > 1:
                read.append(RowLabel(is_contradictory=True))
            elif 1 in row:
                read.append(RowLabel(names[row.index(1)]))
            elif is_normal or None not in row:
                read.append(RowLabel(none))
            else:
                n_unsure += 1
                read.append(RowLabel())
        task = ORDINAL if self._rule.task == ORDINAL else SINGLE
        used = {row.label for row in read}
        order = [none, *names] if none not in names else names
        classes = [name for name in order if name in used]
        if task == ORDINAL and self._rule.order:
            classes = list(ordered_classes(classes, self._rule, task))
        notes = (*self.notes, *_unsure_notes(n_unsure, None, LabelRule()))
        return SheetLabels(task, tuple(classes), read, notes=notes)

    def _absence(self, names: Sequence[str]) -> str:
        """Return the class of rows without a finding."""
        if self._normal:
            return clean_name(self._normal[0])
        if len(names) == 1 and not is_negative_name(names[0]):
            return f"no {names[0]}"
        return NO_FINDING
