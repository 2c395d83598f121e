"""The project's labels as a sheet that can be read by people and imported again."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from engine.contract.commands import ExportLabels
from engine.contract.control import Control
from engine.contract.errors import DatasetError
from engine.contract.records import ImageRecord
from engine.data.flags import FORMULA_STARTS
from engine.data.mapping import FEWEST_FLAG_COLUMNS
from engine.data.progress import Emit, Progress
from engine.data.row_labels import NO_FINDING
from engine.files import long_path, make_folder, write_atomic
from engine.project.classes import MULTI
from engine.project.places import record_places
from engine.project.store import Project

KIND: Final = "export_labels"
_FORMULA: Final = (*FORMULA_STARTS, "\t", "\r")
_UNKNOWN: Final = "-1"
Cells = Callable[[ImageRecord], list[str]]


def export_labels(command: ExportLabels, emit: Emit, control: Control) -> dict[str, Any]:
    """Write every image's path, label or findings, patient (pseudonym), split and exclusion.

    The text is UTF-8 with a byte order mark, which Excel needs. No cell can be a formula.

    Args:
        command: Which project, and where to.
        emit: Takes ``JobProgressed`` events.
        control: Its safe points lie between images.

    Returns:
        ``out`` and ``n_images``.

    Raises:
        DatasetError: If ``out`` is a folder, or the project has no image.
        ProjectError: If the project can't be opened.
        StorageError: If the disk is full or read-only; a sheet that was there is then untouched.
    """
    out = Path(command.out)
    if long_path(out).is_dir():
        raise DatasetError(
            "The label sheet can't be written: a folder has this name.",
            remedy="Name a file, such as labels.csv.",
        )
    with Project.open(Path(command.project), read_only=True) as project:
        records = project.records()
        if not records:
            raise DatasetError(
                "The project has no images yet.", remedy="Import images before exporting labels."
            )
        header, label_cells = _label_columns(project)
        paths = _paths(project, records)
    has_frames = max(Counter(paths.values()).values()) > 1
    columns = ["path", *(["frame"] if has_frames else []), *header, "patient", "split", "excluded"]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    progress = Progress(emit, KIND, "Writing the sheet", len(records))
    for record in records:
        control.safe_point()
        frame = [str(record.frame)] if has_frames else []
        rest = [record.patient, record.split or "", safe_cell(record.excluded or "")]
        writer.writerow([paths[record.id], *frame, *label_cells(record), *rest])
        progress.step()
    make_folder(out.parent)
    write_atomic(out, text.getvalue().encode("utf-8-sig"))
    return {"out": str(out), "n_images": len(records)}


def safe_cell(text: str) -> str:
    """Return text that no spreadsheet takes for a formula; reading a sheet takes it back."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _label_columns(project: Project) -> tuple[list[str], Cells]:
    """Return the columns for the labels, and what fills them in for an image."""
    classes = project.classes()
    names = {summary.id: safe_cell(summary.name) for summary in classes}
    if project.task != MULTI:
        return ["label"], lambda record: [names.get(record.class_id or 0, "")]
    if len(classes) < FEWEST_FLAG_COLUMNS:
        return ["label"], lambda record: [_in_words(record, names)]
    words = {1: "1", 0: "0", None: _UNKNOWN}
    return list(names.values()), lambda record: [
        words[record.findings[class_id]] if class_id in record.findings else ""
        for class_id in names
    ]


def _in_words(record: ImageRecord, names: dict[int, str]) -> str:
    """Return the only finding that a project has, or its absence, as a class."""
    known = [(names[k], v) for k, v in record.findings.items() if v is not None and k in names]
    return "" if not known else known[0][0] if known[0][1] else NO_FINDING


def _paths(project: Project, records: Sequence[ImageRecord]) -> dict[int, str]:
    """Return the path of each image: relative to the source, after its name if there are several.

    A path that looks like a formula begins with ``./``, which means the same.
    """
    sources = {source.id: source.root.name for source in project.sources()}
    place = {record: source for record, source, _, _ in record_places(project)}
    found = {}
    for record in records:
        prefix = f"{sources[place[record.id]]}/" if len(sources) > 1 else ""
        path = prefix + record.path
        found[record.id] = f"./{path}" if path.startswith(_FORMULA) else path
    return found
