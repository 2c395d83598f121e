"""A look at a source before it is imported; nothing is written and no image is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from engine.contract.commands import Preview
from engine.contract.control import Control
from engine.contract.errors import DatasetError
from engine.contract.import_rules import ColumnMapping, LabelRule
from engine.contract.records import SourcePreview
from engine.data.class_folders import class_level
from engine.data.import_plan import Draft
from engine.data.joins import PATH, FolderImages, Join, join_rows
from engine.data.label_values import read_labels
from engine.data.mapping import complete_mapping, used_columns
from engine.data.numeric_columns import numeric_columns
from engine.data.original_size import median_side
from engine.data.patients import compile_pattern, match_pattern
from engine.data.plan import draft_of, open_source
from engine.data.progress import Emit, Progress
from engine.data.row_labels import SheetLabels
from engine.data.tables import Table, read_table

KIND: Final = "preview"
N_ROWS: Final = 20
N_PATIENTS: Final = 20
N_CHECKED: Final = 1_000
_MANY_HEADERS: Final = 2_000
"""Beyond this many files, their headers aren't read to see whether rows fit them."""


def preview(command: Preview, emit: Emit, control: Control) -> SourcePreview:
    """Look at a folder, or at a label sheet and its folder.

    Args:
        command: What to look at. Without a pattern there is no preview of patients.
        emit: Takes ``JobProgressed`` events.
        control: Its safe points lie between files.

    Raises:
        DatasetError: If the source or the named sheet can't be read.
        ConfigError: If the pattern is no regular expression.
    """
    progress = Progress(emit, KIND, "Looking for images")

    def tick() -> None:
        control.safe_point()
        progress.step()

    pattern = compile_pattern(command.patient_pattern) if command.patient_pattern else None
    listing, named = open_source(Path(command.source), command.labels, tick)
    draft = draft_of(listing, tick)
    level = class_level(draft.images)
    labels = (level.label(image) for image in draft.images)
    folders = Counter(label for label in labels if label is not None)
    patients = []
    if pattern is not None:
        for image in draft.images[:N_PATIENTS]:
            patients.append((PurePosixPath(image).name, match_pattern(pattern, image) or ""))
    found = SourcePreview(
        source=command.source,
        n_files=len(draft.images),
        class_folders=tuple(sorted(folders.items())),
        tables=tuple(listing.tables()),
        patients=tuple(patients),
        notes=tuple(draft.notes),
        image_px=median_side(listing.root, draft.images, tick),
    )
    sheet, table = _sheet(draft, named, command)
    if sheet is None or table is None:
        return found
    return replace(found, **_Sheet(draft, sheet, table, command, tick).facts())


def _sheet(draft: Draft, named: Path | None, command: Preview) -> tuple[Path | None, Table | None]:
    """Return the sheet that was named; else the first of the folder that seems to be one."""
    if named is not None:
        return named, read_table(named, command.sheet)
    fallback: tuple[Path | None, Table | None] = (None, None)
    for name in draft.listing.tables():
        path = draft.listing.path(name)
        try:
            table = read_table(path, command.sheet)
            guess = complete_mapping(table, command.columns)
        except DatasetError:
            continue  # nobody asked for this one
        if guess.path is not None and (guess.label is not None or guess.labels):
            return path, table
        if fallback[1] is None and len(table.columns) > 1:
            fallback = (path, table)
    return fallback


@dataclass(frozen=True, slots=True)
class _Sheet:
    """What the preview says of a sheet."""

    draft: Draft
    path: Path
    table: Table
    command: Preview
    tick: Callable[[], None]

    def facts(self) -> dict[str, Any]:
        """Return fields of :class:`SourcePreview`."""
        table, index = self.table, self.draft.index(self.path)
        mapping = complete_mapping(
            table, self.command.columns, lambda cell: index.find(cell) is not None
        )
        first = replace(table, rows=table.rows[:N_CHECKED], numbers=table.numbers[:N_CHECKED])
        numbers = numeric_columns(first, used_columns(mapping))
        notes = list(self.draft.notes)
        labels = _labels(first, mapping, self.command.label_rule, notes)
        join = self._join(first, mapping, notes)
        if join is not None:
            notes += join.notes
            mapping = replace(mapping, join=join.kind)
        return {
            "table": self.path.name,
            "columns": table.columns,
            "rows": tuple(table.rows[:N_ROWS]),
            "guess": mapping,
            "format": table.format,
            "worksheets": table.worksheets,
            "n_checked": len(first.rows),
            "n_matched": None if join is None else join.n_matched,
            "task": labels.task if labels.classes else "",
            "classes": _counts(labels),
            "numbers": tuple(numbers.kept),
            "withheld": numbers.withheld,
            "notes": (*notes, *labels.notes),
        }

    def _join(self, first: Table, mapping: ColumnMapping, notes: list[str]) -> Join | None:
        """Match the first rows; None where nothing says how, or it would take too long."""
        draft = self.draft
        images = FolderImages(draft.listing, draft.images, draft.index(self.path), self.tick)
        if len(draft.images) > _MANY_HEADERS and mapping.join != PATH:
            if mapping.join != "auto" or mapping.path is None:
                return None
            mapping = replace(mapping, join=PATH)
        try:
            return join_rows(first, mapping, images, self.tick)
        except DatasetError as error:
            notes.append(f"{error.message} {error.remedy}")
            return None


def _labels(first: Table, mapping: ColumnMapping, rule: LabelRule, notes: list[str]) -> SheetLabels:
    try:
        return read_labels(first, mapping, rule)
    except DatasetError as error:
        notes.append(f"{error.message} {error.remedy}")
        return SheetLabels("", (), [])


def _counts(labels: SheetLabels) -> tuple[tuple[str, int], ...]:
    counts = Counter(row.label for row in labels.rows if row.label is not None)
    for row in labels.rows:
        counts.update(name for name, value in row.findings.items() if value == 1)
    return tuple((name, counts[name]) for name in labels.classes)
