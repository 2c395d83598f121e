"""A column whose cells name several findings each, such as ``Effusion|Mass``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from engine.contract.import_rules import LabelRule
from engine.data.flags import is_uncertain
from engine.data.label_names import first_spellings, require_few
from engine.data.label_notes import both_notes, unsure_finding_notes
from engine.data.row_labels import RowLabel, SharedFindings, SheetLabels
from engine.project.classes import MULTI, clean_name, is_absence_of_all
from engine.project.grades import sorted_grades

_MAYBE: Final = re.compile(r"(?:possible|probable|suspected|可疑|疑似)\s*(.+)|(.+?)\s*[?？]", re.I)


def parts_of(cell: str | None, separator: str) -> list[str]:
    """Return what a cell names, without spaces around it."""
    if cell is None:
        return []
    found = cell.split(separator) if separator else [cell]
    return [part for text in found if (part := " ".join(text.split()))]


def are_several(parts: Sequence[Sequence[str]]) -> bool:
    """Return whether cells hold several findings, not the odd class name with a separator in it.

    Then a part stands in other cells too, or others say that there is no finding.
    """
    kinds = {tuple(sorted(_finding(part)[0].casefold() for part in cell)) for cell in parts}
    if all(len(kind) < 2 for kind in kinds):
        return False
    counts = Counter(part for kind in kinds for part in set(kind))
    return max(counts.values()) > 1 or any(map(is_absence_of_all, counts))


def read_findings(column: str, parts: Sequence[Sequence[str]], rule: LabelRule) -> SheetLabels:
    """Read the findings that each cell names; what it doesn't name is absent.

    Raises:
        DatasetError: If there are far too many findings.
    """
    read = [[_finding(part) for part in cell] for cell in parts]
    names = first_spellings(name for cell in read for name, _ in cell if name)
    names = {key: name for key, name in names.items() if not is_absence_of_all(name)}
    require_few(column, len(names), len(read))
    unsure = {"ignore": None, "negative": 0, "positive": 1}[rule.uncertain]
    rows, shared = [], SharedFindings(tuple(names.values()))
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
    notes = [*both_notes(n_both), *unsure_finding_notes(n_unsure, rule)]
    classes = tuple(sorted_grades(names.values()))
    return SheetLabels(MULTI, classes, rows, unites_rows=True, notes=tuple(notes))


def _finding(part: str) -> tuple[str, bool]:
    """Return the name of a finding, and whether it is sure; no name where nothing is."""
    if is_uncertain(part):
        return "", False
    found = _MAYBE.fullmatch(part)
    return (clean_name(part), True) if found is None else (clean_name(found[1] or found[2]), False)
