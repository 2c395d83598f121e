"""Measuring how a finished run bears changed images; on the test set only if asked to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.commands import Robustness
from engine.contract.control import Control
from engine.contract.errors import RunError
from engine.contract.events import Event, JobProgressed, Warned
from engine.contract.results import RobustnessResult
from engine.evaluate.findings import choose_thresholds
from engine.evaluate.report import choose_threshold
from engine.evaluate.robust_sample import choose_findings_images, choose_images, load_sample
from engine.evaluate.robustness import measure_robustness, n_looks
from engine.evaluate.score import FinishedRun, load_run, score_validation
from engine.jobs.seen_before import measuring_caution
from engine.project.access import open_alone
from engine.project.robustness import save_robustness
from engine.project.store import Project
from engine.project.table import TrainingTable

_KIND: Final = "robustness"
_CODES: Final = {"val": 1, "test": 2}

Emit = Callable[[Event], None]


def measure_run(command: Robustness, emit: Emit, control: Control) -> RobustnessResult:
    """Attack and degrade images of a run's validation or test part, and keep what was found.

    Raises:
        RunError: If the run can't be measured.
    """
    with open_alone(Path(command.project), owner="a measurement of robustness") as project:
        return _measure(project, command, emit, control)


def _measure(
    project: Project, command: Robustness, emit: Emit, control: Control
) -> RobustnessResult:
    def report(stage: str, done: int, total: int, left: float | None) -> None:
        control.safe_point()
        emit(JobProgressed(kind=_KIND, stage=stage, done=done, total=total, seconds_left=left))

    loaded = load_run(project, command.run, emit=emit, safe_point=control.wait_point)
    if command.split == "val" and loaded.held_out is not None:
        raise RunError(
            "The networks of this run learned from the validation images, each from most of them.",
            remedy="Measure it on the test images.",
        )
    table = project.training_table()
    part = np.flatnonzero(table.split == _CODES[command.split])
    if len(part) == 0:
        raise RunError(
            "The split has no images in that part.",
            remedy="Choose another part, or make a split that has it and train anew.",
        )
    part = part[_chosen(loaded, table.labels[part], command.n_images)]
    n = n_looks(loaded, len(part), with_corruptions=command.corruptions)
    if (warned := loaded.fallback_warning(n, deed="measures")) is not None:
        emit(warned)
    if caution := measuring_caution(project, table, [loaded], part, "measured images"):
        emit(Warned(message=caution))
    thresholds = _locked_thresholds(loaded, table, report)
    looks = project.count_look(command.run) if command.split == "test" else 0
    result = measure_robustness(
        loaded,
        load_sample(loaded, table.rows[part], table.labels[part], table.groups[part]),
        split=command.split,
        thresholds=thresholds,
        looks=looks,
        with_corruptions=command.corruptions,
        report=report,
    )
    if caution:
        result = replace(result, sentences=(caution, *result.sentences))
    save_robustness(project.folder, result)
    return result


def _chosen(loaded: FinishedRun, labels: NDArray[np.int64], n_images: int) -> NDArray[np.int64]:
    seed = loaded.config.seed
    if loaded.is_multi:
        return choose_findings_images(labels, n_images, seed=seed)
    return choose_images(labels, n_images, n_classes=len(loaded.class_names), seed=seed)


def _locked_thresholds(
    loaded: FinishedRun,
    table: TrainingTable,
    report: Callable[[str, int, int, float | None], None],
) -> tuple[float, ...]:
    """Return the thresholds that evaluation uses too: chosen on all validation images."""
    is_decided = loaded.is_multi or len(loaded.class_names) == 2
    if not is_decided or not (table.split == _CODES["val"]).any():
        return ()
    scored = score_validation(
        loaded, table, lambda done, total: report("Validation images", done, total, None)
    )
    if loaded.is_multi:
        return choose_thresholds(scored)
    threshold = choose_threshold(scored, loaded.positive)
    return () if threshold is None else (threshold,)
