"""Making a split, or adopting the one in a label sheet, with the proof that it doesn't leak."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import DatasetError
from engine.contract.records import SPLITS, ScanResult, SplitSummary
from engine.data.scan import ScanOutcome
from engine.project.classes import MULTI
from engine.project.store import Project
from engine.project.table import FindingsTable, TrainingTable
from engine.splits.adopted import check_adopted_split
from engine.splits.leakage import check_no_overlap
from engine.splits.stratify import count_by_split, split_groups


def split_project(
    project: Project, *, fractions: tuple[float, float, float], seed: int
) -> SplitSummary:
    """Divide the project's patients at random, stratified by class, and save the split.

    Raises:
        DatasetError: If a class has too few patients for the split.
    """
    table = _divided_table(project)
    split = split_groups(
        _labels_of(table),
        table.groups,
        fractions=fractions,
        seed=seed,
        class_names=table.class_names,
        unit=table.unit,
    )
    return _save(project, table, split, origin="made", fractions=fractions, seed=seed)


def adopt_split(project: Project, outcome: ScanOutcome) -> ScanResult:
    """Adopt the split column of an imported sheet, if it is sound.

    A column that can't be used is left aside with a note; the images stay imported.
    """
    try:
        table = _divided_table(project)
        split, notes = _adopted(table, outcome.split_words)
        summary = _save(project, table, split, origin="adopted", notes=notes)
    except DatasetError as error:
        note = f"The split column was not used: {error.message} {error.remedy}"
        notes = (*outcome.result.notes, note)
        return replace(outcome.result, notes=notes)
    return replace(outcome.result, split=summary)


def _divided_table(project: Project) -> TrainingTable | FindingsTable:
    """Return the images to be divided: with several findings, all of which one is known.

    Raises:
        DatasetError: If there is nothing to tell apart.
    """
    if project.task == MULTI:
        return project.findings_table()
    table = project.training_table()
    require_two_classes(table)
    return table


def _labels_of(table: TrainingTable | FindingsTable) -> NDArray[Any]:
    """Return class indices, ``(N,)``, or which findings are present, bool, ``(N, K)``."""
    return table.values == 1 if isinstance(table, FindingsTable) else table.labels


def require_two_classes(table: TrainingTable) -> None:
    """Check that there is something to tell apart; a table of findings always holds something.

    Raises:
        DatasetError: If there are no labelled images or all are of one class.
    """
    if table.is_multi:
        return
    present = np.unique(table.labels)
    if len(present) == 0:
        raise DatasetError(
            "No image has a label yet.",
            remedy="Add a label sheet, or sort the images into one folder per class.",
        )
    if len(present) == 1:
        raise DatasetError(
            f"All images are of one class, '{table.class_names[present[0]]}'.",
            remedy="Add images of at least one other class.",
        )


def _adopted(
    table: TrainingTable | FindingsTable, words: Mapping[int, str]
) -> tuple[NDArray[np.int8], tuple[str, ...]]:
    adopted = check_adopted_split(
        [words.get(int(record), "") for record in table.record_ids],
        _labels_of(table),
        table.groups,
        class_names=table.class_names,
        unit=table.unit,
    )
    return adopted.require_usable(), adopted.notes


def _save(
    project: Project,
    table: TrainingTable | FindingsTable,
    split: NDArray[np.int8],
    *,
    origin: str,
    fractions: tuple[float, float, float] | None = None,
    seed: int | None = None,
    notes: tuple[str, ...] = (),
) -> SplitSummary:
    proof = check_no_overlap(table.groups, split)
    counts = count_by_split(_labels_of(table), split, len(table.class_names))
    summary = SplitSummary(
        origin=origin,
        counts={
            name: {label: int(counts[code, k]) for k, label in enumerate(table.class_names)}
            for code, name in enumerate(SPLITS)
        },
        n_patients={
            name: len(np.unique(table.patients[split == code])) for code, name in enumerate(SPLITS)
        },
        overlap=proof.n_overlapping,
        unit=table.unit,
        seed=seed,
        fractions=fractions,
        digest=_digest(table.record_ids, split),
        notes=notes,
    )
    assignment = {
        int(record): SPLITS[code] if code >= 0 else None
        for record, code in zip(table.record_ids, split, strict=True)
    }
    project.save_split(assignment, summary)
    return summary


def _digest(record_ids: NDArray[np.int64], split: NDArray[np.int8]) -> str:
    order = np.argsort(record_ids)
    data = record_ids[order].astype("<i8").tobytes() + split[order].astype("<i1").tobytes()
    return hashlib.sha256(data).hexdigest()[:16]
