"""Making one run of several: it averages their probabilities, and is evaluated like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.contract.commands import Combine
from engine.contract.config import ExperimentConfig
from engine.contract.config_io import from_plain, to_plain
from engine.contract.control import Control
from engine.contract.errors import ConfigError, RunError
from engine.contract.events import COMPLETED, Event, JobProgressed
from engine.contract.searching import ENSEMBLE, EnsembleMember, EnsembleResult
from engine.contract.targets import SOFTMAX
from engine.evaluate.score import (
    HELD_OUT_FILE,
    FinishedRun,
    load_run,
    score_validation,
)
from engine.files import make_folder, write_json
from engine.hardware import place_run
from engine.jobs.crossval import out_of_fold, runtime_of_folds
from engine.jobs.recipe import versions
from engine.jobs.run_checks import new_run_id
from engine.metrics.validation import validation_auroc
from engine.models.weights import weights_info
from engine.project.access import open_alone
from engine.project.searching import is_stale, read_crossval
from engine.project.store import Project
from engine.project.table import TrainingTable

_KIND: Final = "ensemble"
Emit = Callable[[Event], None]


def combine_runs(command: Combine, emit: Emit, control: Control) -> EnsembleResult:
    """Enter a run into the history that averages the networks of others.

    Raises:
        ConfigError: If fewer than two runs are named, or a run twice.
        RunError: If one of them isn't finished, or data have changed since.
    """
    with open_alone(Path(command.project), owner="a combination of runs") as project:
        if command.crossval:
            if command.runs:
                raise ConfigError(
                    "Runs and the folds of a cross-validation can't be combined at once.",
                    remedy="Name one or the other.",
                )
            return _combine_folds(project, command)
        if len(set(command.runs)) < 2 or len(set(command.runs)) < len(command.runs):
            raise ConfigError(
                "At least two different runs are needed.", remedy="Choose runs from the history."
            )
        return _combine_runs(project, command, emit, control)


def _combine_runs(
    project: Project, command: Combine, emit: Emit, control: Control
) -> EnsembleResult:
    table = project.training_table()
    scored, members, loaded, is_told = [], [], None, False
    for number, run in enumerate(command.runs):
        emit(
            JobProgressed(
                kind=_KIND, stage="Validation images", done=number, total=len(command.runs)
            )
        )
        loaded = load_run(project, run)
        if loaded.members:
            raise RunError(
                f"Run {run} combines others already.", remedy="Choose the runs it was made of."
            )
        n_looks = len(command.runs) * int((table.split == 1).sum())
        warned = loaded.fallback_warning(n_looks, deed="predicts")
        if warned is not None and not is_told:
            emit(warned)
        is_told = is_told or warned is not None
        found = score_validation(loaded, table, lambda *_: control.safe_point())
        scored.append(found.probabilities)
        members.append((loaded, _auroc(found.probabilities, found.labels, table)))
    first = members[0][0]
    mean = np.mean(scored, axis=0)
    labels = table.labels[table.split == 1]
    auroc = _auroc(mean, labels, table)
    plain = [_member(m.id, m.config, m.recipe["weights"]) for m, _ in members]
    run = _enter(project, table, first.config, first.recipe, plain, command.test_time_views, auroc)
    shown = tuple(_shown(m, found) for m, found in members)
    return EnsembleResult(run=run, members=shown, val_auroc=auroc, sentence=_sentence(auroc, shown))


def _combine_folds(project: Project, command: Combine) -> EnsembleResult:
    result = read_crossval(project.folder, command.crossval)
    if is_stale(project, result.id):
        raise RunError(
            "Images, labels or split have changed since this cross-validation was made.",
            remedy="Make it again on the present data.",
        )
    table = project.training_table()
    config: ExperimentConfig = from_plain(ExperimentConfig, result.config)
    used, probabilities = out_of_fold(project, result, table)
    weights = to_plain(weights_info(config.backbone.key, config.backbone.weights))
    recipe = {
        "runtime": asdict(runtime_of_folds(project, result) or place_run(config.runtime)[0]),
        "classes": list(table.class_names),
        "positive": table.positive,
        "activation": table.activation,
        "versions": versions(),
    }
    names = [f"{result.id}/fold-{fold.fold}" for fold in result.folds]
    plain = [_member(name, config, weights) for name in names]
    auroc = _auroc(probabilities, table.labels[used], table)
    learned = table.split.copy()
    learned[used] = 0  # each of these, by all networks but one
    told = replace(table, split=learned)
    run = _enter(project, told, config, recipe, plain, command.test_time_views, auroc)
    write_json(
        project.run_folder(run) / HELD_OUT_FILE,
        {
            "records": table.record_ids[used].tolist(),
            "probabilities": probabilities.tolist(),
        },
    )
    shown = tuple(
        EnsembleMember(
            name=name,
            backbone=config.backbone.key,
            method=config.method.key,
            val_auroc=fold.auroc,
        )
        for name, fold in zip(names, result.folds, strict=True)
    )
    return EnsembleResult(
        run=run,
        members=shown,
        val_auroc=auroc,
        sentence=f"The {len(shown)} networks of the cross-validation now answer together. Each saw "
        "images that others did not, so together they are usually better than one of them; the "
        f"AUROC of {auroc:.3f} is what each gave alone on the images that it never saw.",
    )


def _member(name: str, config: ExperimentConfig, weights: Any) -> dict[str, Any]:
    return {"name": name, "config": to_plain(config), "weights": weights}


def _enter(
    project: Project,
    table: TrainingTable,
    config: ExperimentConfig,
    recipe: dict[str, Any],
    members: list[dict[str, Any]],
    n_views: int,
    auroc: float,
) -> str:
    """Write the run's folder and then its row, so that a row always has its folder.

    The table's training part is what the networks have learned from.
    """
    run = new_run_id(project)
    combined = replace(
        config,
        method=replace(config.method, key=ENSEMBLE),
        evaluation=replace(config.evaluation, test_time_views=n_views),
    )
    make_folder(project.run_folder(run), parents=False)
    write_json(
        project.run_folder(run) / "recipe.json",
        {
            "config": to_plain(combined),
            "runtime": recipe["runtime"],
            "data_digest": project.data_digest(),
            "split_digest": project.split_digest(),
            "classes": recipe["classes"],
            "positive": recipe["positive"],
            "activation": recipe.get("activation", SOFTMAX),
            "weights": members[0]["weights"],
            "versions": recipe["versions"],
            "members": members,
        },
    )
    project.keep_run_data(run, table)
    with project.transaction():  # no moment in which it would seem to be under way
        project.add_run(run, combined)
        project.update_run(run, outcome=COMPLETED, val_auroc=auroc, epochs=0, seconds=0.0)
    return run


def _auroc(probabilities: Any, labels: Any, table: TrainingTable) -> float:
    return validation_auroc(probabilities, labels, table.positive)


def _shown(loaded: FinishedRun, auroc: float) -> EnsembleMember:
    return EnsembleMember(
        name=loaded.id,
        backbone=loaded.config.backbone.key,
        method=loaded.config.method.key,
        val_auroc=auroc,
    )


def _sentence(auroc: float, members: tuple[EnsembleMember, ...]) -> str:
    best = max(members, key=lambda member: member.val_auroc)
    begin = f"Together the {len(members)} networks reach a validation AUROC of {auroc:.3f}"
    if auroc > best.val_auroc:
        return f"{begin}; the best of them alone has {best.val_auroc:.3f}."
    return (
        f"{begin}, no more than the best of them alone ({best.val_auroc:.3f}): they are too alike, "
        "or one is much better than the others."
    )
