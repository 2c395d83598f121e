"""Looking at the test set: the only job that does, and it counts each look."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.contract.control import Control
from engine.contract.errors import RunError
from engine.contract.events import Event, JobProgressed
from engine.contract.records import EvaluationResult
from engine.evaluate.report import Scored, build_result
from engine.evaluate.score import FinishedRun, load_run
from engine.project.store import Project
from engine.project.table import TrainingTable


def evaluate(
    project: Project, run: str, emit: Callable[[Event], None], control: Control
) -> EvaluationResult:
    """Evaluate a finished run on the test set and keep the result in the project.

    Raises:
        RunError: If the run can't be evaluated, or data have changed since it was trained.
    """
    loaded = load_run(project, run)
    table = project.training_table()
    val = _score(loaded, table, 1, "Validation images", emit, control)
    test = _score(loaded, table, 2, "Test images", emit, control)
    emit(JobProgressed(kind="evaluate", stage="Resampling patients", done=0, total=1))
    control.safe_point()
    result = build_result(
        run,
        test=test,
        val=val,
        class_names=loaded.class_names,
        positive=loaded.positive,
        looks=project.count_look(run),
        n_resamples=loaded.config.evaluation.bootstrap_resamples,
        seed=loaded.config.seed,
    )
    project.save_evaluation(run, result)
    return result


def _score(
    loaded: FinishedRun,
    table: TrainingTable,
    code: int,
    stage: str,
    emit: Callable[[Event], None],
    control: Control,
) -> Scored:
    chosen = np.flatnonzero(table.split == code)
    if len(chosen) == 0:
        raise RunError(
            "The split has no test images.", remedy="Make a split with a test part and train anew."
        )

    def on_batch(done: int, total: int) -> None:
        control.safe_point()
        emit(JobProgressed(kind="evaluate", stage=stage, done=done, total=total))

    return Scored(
        probabilities=loaded.probabilities(table.rows[chosen], on_batch),
        labels=table.labels[chosen],
        patients=table.groups[chosen],
        records=table.record_ids[chosen],
    )
