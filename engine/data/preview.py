"""A look at a source before it is imported; nothing is written and no image is decoded."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Final

from engine.contract.commands import Inspect
from engine.contract.control import Control
from engine.contract.errors import DatasetError
from engine.contract.records import ColumnMapping, SourcePreview
from engine.data.listing import Listing
from engine.data.patients import compile_pattern, match_pattern
from engine.data.plan import class_level, open_source
from engine.data.progress import Emit, Progress
from engine.data.tables import Table, guess_columns, read_table

KIND: Final = "inspect"
N_ROWS: Final = 20
N_PATIENTS: Final = 20


def inspect(command: Inspect, emit: Emit, control: Control) -> SourcePreview:
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
    listing, sheet = open_source(Path(command.source), command.labels, tick)
    images = listing.images(tick)
    name, table = _sheet(listing, sheet)
    level = class_level(images)
    folders = Counter(label for image in images if (label := level.label(image)) is not None)
    patients = []
    if pattern is not None:
        for image in images[:N_PATIENTS]:
            patients.append((PurePosixPath(image).name, match_pattern(pattern, image) or ""))
    return SourcePreview(
        source=command.source,
        n_files=len(images),
        class_folders=tuple(sorted(folders.items())),
        tables=tuple(listing.tables()),
        table=name,
        columns=table.columns if table is not None else (),
        rows=tuple(table.rows[:N_ROWS]) if table is not None else (),
        guess=guess_columns(table.columns) if table is not None else ColumnMapping(),
        patients=tuple(patients),
    )


def _sheet(listing: Listing, chosen: Path | None) -> tuple[str | None, Table | None]:
    """Return the sheet that was named; else the first of the folder that seems to be one."""
    if chosen is not None:
        return chosen.name, read_table(chosen)
    fallback: tuple[str | None, Table | None] = (None, None)
    for name in listing.tables():
        try:
            table = read_table(listing.path(name))
        except DatasetError:
            continue  # nobody asked for this one
        guess = guess_columns(table.columns)
        if guess.path is not None and guess.label is not None:
            return name, table
        if fallback[1] is None and len(table.columns) > 1:
            fallback = (name, table)
    return fallback
