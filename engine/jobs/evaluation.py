"""Looking at the test set: the only job that does, and it counts each look."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.contract.control import Control
from engine.contract.errors import RunError
from engine.contract.events import Event, JobProgressed
from engine.contract.results import EvaluationResult
from engine.evaluate.findings import build_findings_result
from engine.evaluate.report import Scored, build_result
from engine.evaluate.score import FinishedRun, load_run, score_validation
from engine.jobs.seen_before import known_groups
from engine.project.store import Project
from engine.project.table import TrainingTable


def evaluate(
    project: Project, run: str, emit: Callable[[Event], None], control: Control
) -> EvaluationResult:
    """Evaluate a finished run on the test set and keep the result in the project.

    Raises:
        RunError: If the run can't be evaluated, or data have changed since it was trained.
    """
    loaded = load_run(project, run, emit=emit, safe_point=control.wait_point)
    table = project.training_table()
    n_looks = int(np.isin(table.split, (1, 2)).sum())
    if (warned := loaded.fallback_warning(n_looks, deed="measures")) is not None:
        emit(warned)
    val = score_validation(loaded, table, _reporter("Validation images", emit, control))
    test = _score_test(loaded, table, _reporter("Test images", emit, control))
    emit(JobProgressed(kind="evaluate", stage="Resampling patients", done=0, total=1))
    control.safe_point()
    known = known_groups(project, table, loaded, np.flatnonzero(table.split == 2))
    looks = project.count_look(run)
    result = _measured(loaded, table, test=test, val=val, looks=looks, known=known)
    project.save_evaluation(run, result)
    return result


def _measured(
    loaded: FinishedRun,
    table: TrainingTable,
    *,
    test: Scored,
    val: Scored,
    looks: int,
    known: set[int] | None,
) -> EvaluationResult:
    n_resamples, seed = loaded.config.evaluation.bootstrap_resamples, loaded.config.seed
    if loaded.is_multi:
        return build_findings_result(
            loaded.id,
            test=test,
            val=val,
            class_names=loaded.class_names,
            looks=looks,
            n_resamples=n_resamples,
            seed=seed,
            known=known,
        )
    return build_result(
        loaded.id,
        test=test,
        val=val,
        class_names=loaded.class_names,
        positive=loaded.positive,
        looks=looks,
        n_resamples=n_resamples,
        seed=seed,
        is_ordinal=table.is_ordinal,
        known=known,
    )


def _reporter(
    stage: str, emit: Callable[[Event], None], control: Control
) -> Callable[[int, int], None]:
    def on_batch(done: int, total: int) -> None:
        control.safe_point()
        emit(JobProgressed(kind="evaluate", stage=stage, done=done, total=total))

    return on_batch


def _score_test(
    loaded: FinishedRun, table: TrainingTable, on_batch: Callable[[int, int], None]
) -> Scored:
    chosen = np.flatnonzero(table.split == 2)
    if len(chosen) == 0:
        raise RunError(
            "The split has no test images.", remedy="Make a split with a test part and train anew."
        )
    return Scored(
        probabilities=loaded.probabilities(table.rows[chosen], on_batch),
        labels=table.labels[chosen],
        patients=table.groups[chosen],
        records=table.record_ids[chosen],
        unit=table.unit,
    )
