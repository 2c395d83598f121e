"""A column of 0 and 1 for each finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from engine.contract.errors import DatasetError
from engine.contract.import_rules import LabelRule
from engine.data.flags import Flag, flag
from engine.data.label_names import ordered_classes
from engine.data.label_notes import both_notes, unsure_finding_notes, unsure_notes
from engine.data.phrases import count_of, quoted, verb
from engine.data.row_labels import NO_FINDING, RowLabel, SharedFindings, SheetLabels
from engine.data.tables import Table
from engine.project.classes import (
    MULTI,
    ORDINAL,
    SINGLE,
    clean_name,
    is_absence_of_all,
    is_negative_name,
)


class FlagColumns:
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
        shared, read, n_both = SharedFindings(names), [], 0
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
        notes = [*self.notes, *both_notes(n_both), *unsure_finding_notes(n_unsure, self._rule)]
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
        notes = (*self.notes, *unsure_notes(n_unsure, None, LabelRule()))
        return SheetLabels(task, tuple(classes), read, notes=notes)

    def _absence(self, names: Sequence[str]) -> str:
        """Return the class of rows without a finding."""
        if self._normal:
            return clean_name(self._normal[0])
        if len(names) == 1 and not is_negative_name(names[0]):
            return f"no {names[0]}"
        return NO_FINDING
