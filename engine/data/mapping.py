"""Which column of a label sheet holds what: by its name, else by its values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from engine.contract.errors import DatasetError
from engine.contract.import_rules import ColumnMapping
from engine.data.column_names import ROLES, columns_by_role, list_columns, name_key
from engine.data.flags import Flag, flag
from engine.data.tables import Table

_LOOKED_AT: Final = 5_000
FEWEST_FLAG_COLUMNS: Final = 2
_FEW_ROWS: Final = 10
_SOME_ROWS: Final = 20
_NO_FINDINGS: Final = frozenset(
    map(
        name_key,
        (
            "exclude excluded include included valid usable quality is_train is_val is_test train "
            "val test smoker smoking contrast portable bedside reviewed checked icu inpatient "
            "排除 吸烟 增强"
        ).split(),
    )
)
"""Columns of 0 and 1 that describe the image or the patient, not a finding."""


def guess_columns(columns: Sequence[str]) -> ColumnMapping:
    """Return which columns hold what, by their names; None where no name fits."""
    found: dict[str, Any] = dict(columns_by_role(columns))
    return ColumnMapping(**found)


def guess_mapping(table: Table, is_file: Callable[[str], bool] | None = None) -> ColumnMapping:
    """Return which columns hold what, by their names and values; see :func:`complete_mapping`."""
    return complete_mapping(table, ColumnMapping(), is_file)


def flag_columns(table: Table, mapping: ColumnMapping) -> tuple[str, ...]:
    """Return the columns of 0 and 1 that seem to hold findings; none or at least two.

    They hold nothing but yes, no, blanks and "not sure". Columns with a role are left out, and
    those known to describe something else; in sheets of twenty rows and more also those that say
    the same in every row, if two others remain.
    """
    taken = set(used_columns(mapping))
    kinds: dict[str, set[Flag]] = {}
    for position, name in enumerate(table.columns):
        if name in taken or name_key(name) in _NO_FINDINGS:
            continue
        found = {flag(row[position]) for row in table.rows[:_LOOKED_AT]}
        if Flag.OTHER not in found and found - {Flag.BLANK}:
            kinds[name] = found
    varying = tuple(n for n, found in kinds.items() if Flag.PRESENT in found and len(found) > 1)
    if len(varying) >= FEWEST_FLAG_COLUMNS and len(table.rows) >= _SOME_ROWS:
        return varying
    has_yes = any(Flag.PRESENT in found for found in kinds.values())
    return tuple(kinds) if has_yes and len(kinds) >= FEWEST_FLAG_COLUMNS else ()


def used_columns(mapping: ColumnMapping) -> tuple[str, ...]:
    """Return the columns that a mapping gives a role."""
    by_role = (getattr(mapping, role) for role in ROLES)
    return (*(column for column in by_role if column is not None), *mapping.labels)


def complete_mapping(
    table: Table, wanted: ColumnMapping, is_file: Callable[[str], bool] | None = None
) -> ColumnMapping:
    """Return the columns to use: those the user named, else those found.

    An empty name stands for "no column": that role isn't looked for.

    Findings may have a column each: at least two columns of 0/1 (or yes/no, marks, -1, blanks).
    Where the labels are known, or the sheet has no names of columns, the column whose cells name
    files is the path; in a nameless sheet of two columns the other is the label.

    Args:
        table: The sheet.
        wanted: What the user named.
        is_file: Whether the source holds the file that a cell names; None leaves that out.

    Raises:
        DatasetError: If a named column doesn't exist.
    """
    none_of = {role for role in ROLES if getattr(wanted, role) == ""}
    chosen: dict[str, Any] = {
        role: _named(table, role, getattr(wanted, role) or None) for role in ROLES
    }
    labels = tuple(name for text in wanted.labels if (name := _named(table, "label", text)))
    taken = {column for column in chosen.values() if column is not None} | set(labels)
    guess = _without_misleading_names(table, guess_columns(table.columns))
    for role, column in chosen.items():
        guessed = getattr(guess, role)
        is_open = column is None and role not in none_of and not (role == "label" and labels)
        if is_open and guessed not in taken:
            chosen[role] = guessed
    mapping = ColumnMapping(**chosen, labels=labels, join=wanted.join)
    if not labels and mapping.label is None and "label" not in none_of:
        mapping = replace(mapping, labels=flag_columns(table, mapping))
    if is_file is None or "path" in none_of:
        return mapping
    return _with_path(table, mapping, is_file)


def _with_path(
    table: Table, mapping: ColumnMapping, is_file: Callable[[str], bool]
) -> ColumnMapping:
    """Find the path column by its files, where a telling name is missing."""
    has_labels = mapping.label is not None or bool(mapping.labels)
    is_nameless = table.format.header_row == 0
    if mapping.path is not None or not (has_labels or is_nameless):
        return mapping
    path = _path_column(table, mapping, is_file)
    if path is not None and not has_labels and len(table.columns) == 2:
        other = next(name for name in table.columns if name != path)
        return replace(mapping, path=path, label=other)
    return replace(mapping, path=path)


def _named(table: Table, role: str, name: str | None) -> str | None:
    if not name:
        return None
    by_key = {name_key(column): column for column in table.columns}
    column = name if name in table.columns else by_key.get(name_key(name))
    if column is None:
        raise DatasetError(
            f"The label sheet has no column “{name}”; it has: {list_columns(table.columns)}.",
            remedy=f"Name one of these as --{role}-column, or choose it where the sheet is shown.",
        )
    return column


def _without_misleading_names(table: Table, mapping: ColumnMapping) -> ColumnMapping:
    """Drop a patient column of yes and no: "case" may mean case or control."""
    if mapping.patient is None or len(table.rows) < _FEW_ROWS:
        return mapping
    kinds = {flag(cell) for cell in table.values(mapping.patient)[:_LOOKED_AT]}
    if kinds - {Flag.PRESENT, Flag.ABSENT, Flag.BLANK}:
        return mapping
    others = [name for name in table.columns if name != mapping.patient]
    return replace(mapping, patient=columns_by_role(others).get("patient"))


def _path_column(
    table: Table, mapping: ColumnMapping, is_file: Callable[[str], bool]
) -> str | None:
    """Return the column without a role of which most cells name a file of the source."""
    taken = used_columns(mapping)
    rows = table.rows[:200]
    hits: Counter[str] = Counter()
    for position, name in enumerate(table.columns):
        if name not in taken:
            hits[name] = sum(bool(row[position]) and is_file(row[position]) for row in rows)
    best = hits.most_common(1)
    return best[0][0] if best and best[0][1] * 2 > len(rows) else None


def require_columns(columns: Sequence[str], mapping: ColumnMapping) -> None:
    """Check that a sheet says where the files and where the classes are.

    Raises:
        DatasetError: Naming the columns there are and how to choose one.
    """
    missing = []
    if mapping.path is None and mapping.patient is None:
        missing.append(("path", "the image file"))
    if mapping.label is None and not mapping.labels:
        missing.append(("label", "the class"))
    if missing:
        what = " and ".join(text for _, text in missing)
        options = " and ".join(f"--{role}-column" for role, _ in missing)
        raise DatasetError(
            f"The label sheet has no column whose name says that it holds {what}; its columns "
            f"are: {list_columns(columns)}.",
            remedy=f"Choose the column where the sheet is shown, or name it with {options}.",
        )
