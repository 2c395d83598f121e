"""The history of a project's runs, which other commands name by their IDs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from engine.contract.commands import ListRuns
from engine.contract.config_io import to_plain
from engine.contract.control import Control
from engine.contract.events import Event
from engine.contract.records import RunSummary
from engine.contract.searching import ENSEMBLE
from engine.jobs.text_table import table_lines
from engine.project.known_patients import with_origins
from engine.project.lock import is_in_use
from engine.project.store import Project

Emit = Callable[[Event], None]

_HEADS: Final = ("ID", "STATE", "BACKBONE", "METHOD", "PRESET", "AUROC (VALIDATION)", "NOTES")
_LEARNED: Final = "LEARNED"


def list_runs(command: ListRuns, emit: Emit, control: Control) -> dict[str, Any]:
    """Return the run history, newest first, and a table for people.

    Raises:
        ProjectError: If there is no project.
    """
    folder = Path(command.project)
    with Project.open(folder, read_only=True) as project:
        runs = with_origins(project, project.runs(has_worker=is_in_use(folder)))
    if not runs:
        return {"runs": [], "sentences": ["No run was started in this project yet."]}
    has_findings = any(run.findings for run in runs)
    rows: list[tuple[str, ...]] = [(*_HEADS, _LEARNED) if has_findings else _HEADS]
    for run in runs:
        row = _row(run)
        rows.append((*row, ", ".join(run.findings)) if has_findings else row)
    return {"runs": [to_plain(run) for run in runs], "sentences": table_lines(rows)}


def _row(run: RunSummary) -> tuple[str, ...]:
    auroc = "-" if run.val_auroc is None else f"{run.val_auroc:.3f}"
    weights = f" ({run.weights_name})" if run.weights_name else ""
    what = (run.backbone + weights, run.method, run.preset)
    if run.method == ENSEMBLE:  # its networks may have several of each
        what = ("-", run.method, "-")
    return (run.id, run.state, *what, auroc, "; ".join(_notes(run)) or "-")


def _notes(run: RunSummary) -> list[str]:
    """Return what to know before a run is used, in a few words each."""
    notes = [run.error] if run.error else []
    if run.is_stale:
        notes.append("data, labels or split have changed since")
    if run.is_resumable:
        notes.append("can be resumed")
    if run.seen is not None and run.seen.is_doubtful:
        notes.append("knows patients" if run.seen.is_measured else "may know patients")
    if run.looks:
        notes.append(f"{run.looks} look{'s' if run.looks > 1 else ''} at the test images")
    return notes
