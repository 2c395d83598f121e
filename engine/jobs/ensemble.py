"""Making one run of several: it averages their probabilities, and is evaluated like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.commands import Combine
from engine.contract.config import ExperimentConfig
from engine.contract.config_io import from_plain, to_plain
from engine.contract.control import Control
from engine.contract.errors import ConfigError, RunError
from engine.contract.events import COMPLETED, Event, JobProgressed, Warned
from engine.contract.searching import ENSEMBLE, CrossvalResult, EnsembleMember, EnsembleResult
from engine.contract.targets import SOFTMAX
from engine.data.pixels import open_pixels
from engine.evaluate.score import (
    HELD_OUT_FILE,
    FinishedRun,
    kept_network,
    load_run,
    score_validation,
)
from engine.files import make_folder, signed, write_json
from engine.hardware import apply_runtime, place_run
from engine.jobs.beginning import gone_if_refused
from engine.jobs.folds import Folds
from engine.jobs.kept_folds import KeptFold, fold_folder, put_together, read_folds
from engine.jobs.recipe import versions
from engine.jobs.run_checks import new_run_id
from engine.jobs.seen_before import measuring_caution
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
        ConfigError: If a run is named twice, or a single one that is to look at images once.
        RunError: If one of them isn't finished, or data have changed since.
    """
    with open_alone(Path(command.project), owner="a combination of runs") as project:
        if command.crossval:
            if command.runs:
                raise ConfigError(
                    "Runs and the folds of a cross-validation can't be combined at once.",
                    remedy="Name one or the other.",
                )
            return _combine_folds(project, command, emit, control)
        n_different = len(set(command.runs))
        least = 1 if command.test_time_views > 1 else 2
        if n_different < least or n_different < len(command.runs):
            raise ConfigError(
                "At least two different runs are needed, or one with copies of each image.",
                remedy="Choose runs from the history, or more than one copy of each image.",
            )
        return _combine_runs(project, command, emit, control)


def _combine_runs(
    project: Project, command: Combine, emit: Emit, control: Control
) -> EnsembleResult:
    table = project.training_table()
    scored: list[NDArray[np.float64]] = []
    members: list[tuple[FinishedRun, float]] = []
    loaded, is_told = None, False
    for number, run in enumerate(command.runs):
        emit(
            JobProgressed(
                kind=_KIND, stage="Validation images", done=number, total=len(command.runs)
            )
        )
        loaded = load_run(project, run, emit=emit, safe_point=control.wait_point)
        if loaded.members:
            raise RunError(
                f"Run {run} combines others already.", remedy="Choose the runs it was made of."
            )
        if members:
            _require_same_images(members[0][0], loaded)
        n_looks = len(command.runs) * int((table.split == 1).sum())
        looking = replace(loaded, config=_looking(loaded.config, command.test_time_views))
        warned = looking.fallback_warning(n_looks, deed="predicts")
        if warned is not None and not is_told:
            emit(warned)
        is_told = is_told or warned is not None
        found = score_validation(looking, table, lambda *_: control.safe_point())
        scored.append(found.probabilities)
        members.append((loaded, _auroc(found.probabilities, found.labels, table)))
    runs = [member for member, _ in members]
    val = np.flatnonzero(table.split == 1)
    caution = _caution(project, table, runs, val, "validation images", emit)
    first = runs[0]
    mean = np.mean(scored, axis=0)
    auroc = _auroc(mean, table.labels[val], table)
    plain = [_member(m.id, m.config, m.recipe["weights"]) for m, _ in members]
    config = _looking(first.config, command.test_time_views)
    run = _enter(project, table, config, first.recipe, plain, auroc)
    shown = tuple(_shown(m, found) for m, found in members)
    said = _sentence(auroc, shown)
    if len(shown) == 1:
        said = _sentence_of_one(auroc, project.run_summary(first.id).val_auroc, config)
    sentence = f"{said} {caution}".rstrip()
    return EnsembleResult(run=run, members=shown, val_auroc=auroc, sentence=sentence)


def _require_same_images(first: FinishedRun, other: FinishedRun) -> None:
    """Refuse runs that see images in different ways: a combined run makes them once for all.

    A classifier that is applied as it is brings its own way.
    """
    if other.config.image != first.config.image:
        raise RunError(
            f"Runs {first.id} and {other.id} prepare their images in different ways, so their "
            "networks can't look at the same ones.",
            remedy="Choose runs that were trained in this project, without classifiers of others.",
        )


def _caution(
    project: Project,
    table: TrainingTable,
    runs: list[FinishedRun],
    images: NDArray[np.int64],
    what: str,
    emit: Emit,
) -> str:
    """Return and tell what must be said if the networks know some of the images."""
    if caution := measuring_caution(project, table, runs, images, what):
        emit(Warned(message=caution))
    return caution


def _looking(config: ExperimentConfig, n_views: int) -> ExperimentConfig:
    """Return settings that look at images as the combined run will: so its members are measured."""
    return replace(config, evaluation=replace(config.evaluation, test_time_views=n_views))


def _combine_folds(
    project: Project, command: Combine, emit: Emit, control: Control
) -> EnsembleResult:
    result = read_crossval(project.folder, command.crossval)
    if is_stale(project, result.id):
        raise RunError(
            "Images, labels or split have changed since this cross-validation was made.",
            remedy="Make it again on the present data.",
        )
    table = project.training_table()
    config: ExperimentConfig = from_plain(ExperimentConfig, result.config)
    folds = Folds.of(table, result.n_folds, config.seed)
    kept = read_folds(project, result, folds)
    networks = _fold_networks(project, result, kept, table, command.test_time_views, control)
    predicted = [fold.probabilities for fold in kept]
    if command.test_time_views != config.evaluation.test_time_views:
        predicted = _predicted_again(networks, folds, emit, control)
    used, probabilities = put_together(folds, predicted)
    auroc = _auroc(probabilities, table.labels[used], table)
    caution = _caution(project, table, networks, used, "held-out images", emit)
    learned = table.split.copy()
    learned[used] = 0  # each of these, by all networks but one
    run = _enter(
        project,
        replace(table, split=learned),
        networks[0].config,
        networks[0].recipe,
        [_member(network.id, config, network.recipe["weights"]) for network in networks],
        auroc,
        held_out={
            "records": table.record_ids[used].tolist(),
            "probabilities": probabilities.tolist(),
        },
    )
    shown = tuple(
        _shown(network, _auroc(of_fold, table.labels[folds.held_out(fold)], table))
        for fold, (network, of_fold) in enumerate(zip(networks, predicted, strict=True))
    )
    return EnsembleResult(
        run=run,
        members=shown,
        val_auroc=auroc,
        sentence=f"The {len(shown)} networks of the cross-validation now answer together. Each saw "
        "images that others did not, so together they are usually better than one of them; the "
        f"AUROC of {auroc:.3f} is what each gave alone on the images that were held out from it. "
        f"{caution}".rstrip(),
    )


def _fold_networks(
    project: Project,
    result: CrossvalResult,
    kept: list[KeptFold],
    table: TrainingTable,
    n_views: int,
    control: Control,
) -> list[FinishedRun]:
    """Return the networks of a cross-validation as if each were a run."""
    config: ExperimentConfig = from_plain(ExperimentConfig, result.config)
    runtime, fallback = place_run(
        config.runtime, earlier=kept[-1].runtime, safe_point=control.wait_point
    )
    apply_runtime(runtime)
    # Earlier versions noted no weights: what the settings name now is the best guess.
    guess = to_plain(weights_info(config.backbone.key, config.backbone.weights))
    recipe = {
        "runtime": asdict(kept[-1].runtime or runtime),
        "classes": list(table.class_names),
        "positive": table.positive,
        "activation": table.activation,
        "versions": versions(),
    }
    networks, pixels = [], open_pixels(project, config.image)
    for fold, found in enumerate(kept):
        folder = fold_folder(project.run_folder(result.id), fold)
        network = kept_network(config, len(table.class_names), folder)
        networks.append(
            FinishedRun(
                id=f"{result.id}/{folder.name}",
                config=_looking(config, n_views),
                recipe=recipe | {"weights": found.weights or guess},
                runtime=runtime,
                network=network.to(runtime.device).eval(),
                pixels=pixels,
                fallback=fallback,
            )
        )
    return networks


def _predicted_again(
    networks: list[FinishedRun], folds: Folds, emit: Emit, control: Control
) -> list[NDArray[np.float64]]:
    """Return what each fold's network says of the fold's images, with other views than before."""
    warned = networks[0].fallback_warning(int((folds.of_image >= 0).sum()), deed="predicts")
    if warned is not None:
        emit(warned)
    predicted = []
    for fold, network in enumerate(networks):
        emit(JobProgressed(kind=_KIND, stage="Held-out images", done=fold, total=len(networks)))
        rows = folds.table.rows[folds.held_out(fold)]
        predicted.append(network.probabilities(rows, lambda *_: control.safe_point()))
    return predicted


def _member(name: str, config: ExperimentConfig, weights: Any) -> dict[str, Any]:
    return {"name": name, "config": to_plain(config), "weights": weights}


def _enter(
    project: Project,
    table: TrainingTable,
    config: ExperimentConfig,
    recipe: dict[str, Any],
    members: list[dict[str, Any]],
    auroc: float,
    *,
    held_out: dict[str, Any] | None = None,
) -> str:
    """Write the run's folder and last its row, so that a row has all that belongs to it.

    The table's training part is what the networks have learned from.
    """
    run = new_run_id(project)
    folder = project.run_folder(run)
    combined = replace(config, method=replace(config.method, key=ENSEMBLE))
    with gone_if_refused(folder):
        make_folder(folder, parents=False)
        write_json(
            folder / "recipe.json",
            signed(
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
                }
            ),
        )
        if held_out is not None:
            write_json(folder / HELD_OUT_FILE, signed(held_out))
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


def _sentence_of_one(auroc: float, before: float | None, config: ExperimentConfig) -> str:
    n_views = config.evaluation.test_time_views
    begin = f"With {n_views} copies of each image the network has a validation AUROC of {auroc:.3f}"
    return f"{begin}." if before is None else f"{begin}; it was {before:.3f} before."
