"""The recipe of a run, restored from what else the run kept where its file is damaged or missing.

Each saved state holds a copy, and so do the weights of a run without passes. Runs of earlier
versions may have none: of a finished one, whose images and split are still the same, settings and
classes are known, and only how exactly it computed is not.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from engine.contract.config import ExperimentConfig
from engine.contract.config_io import to_plain
from engine.contract.errors import ConfigError, DamagedFileError, RunError, StorageError
from engine.contract.events import Event, Recovered
from engine.contract.methods import method_card
from engine.contract.recipe import (
    RECIPE_NAME,
    Recipe,
    RecipeRuntime,
    recipe_from_json,
    recipe_to_plain,
)
from engine.contract.searching import ENSEMBLE
from engine.files import is_signed, long_path, read_signed_json, signed, write_json
from engine.hardware import Runtime, place_run
from engine.hardware.preflight import SafePoint
from engine.models.weights import FILE, weights_info
from engine.project.run_findings import chosen_name
from engine.project.store import Project
from engine.trainer.best_weights import best_facts
from engine.trainer.checkpoint import sound_states

RESTORED: Final = (
    f"{RECIPE_NAME} of this run was damaged or missing. It was restored from the saved state."
)
_RENEWED: Final = (
    f"{RECIPE_NAME} of this run was damaged or missing. It was written anew from the settings and "
    "the classes; precision, threads and versions of the training are not known any more."
)
_KEYS: Final = frozenset({"config", "runtime", "classes", "positive", "versions"})


def written_recipe(path: Path) -> Recipe | None:
    """Read a recipe; None if it is missing, damaged, or not what was written.

    Raises:
        RunError: If a newer version wrote it.
        StorageError: If it can't be read just now.
    """
    if not long_path(path).is_file():
        return None
    try:
        return _understood(read_signed_json(path), is_intact=is_signed(path))
    except DamagedFileError:
        return None


def _understood(plain: dict[str, Any], *, is_intact: bool) -> Recipe | None:
    """Return a recipe; None if it isn't one.

    Args:
        plain: Its content.
        is_intact: Whether that is what was written: by a newer version, if it isn't understood.

    Raises:
        RunError: If a newer version wrote it.
    """
    try:
        return recipe_from_json(json.dumps(plain))
    except ConfigError as error:
        if not is_intact:
            return None
        raise RunError(
            f"{RECIPE_NAME} of this run was written by a newer version of RadTune.",
            remedy="Update RadTune, then try again; the run was left as it is.",
        ) from error


def kept_copy(folder: Path) -> Recipe | None:
    """Return the copy that a run kept elsewhere in its folder; None if it kept none.

    Raises:
        RunError: If a newer version wrote it.
        StorageError: If what it kept can't be read just now.
    """
    plain = next(filter(None, _copies(folder / "checkpoints")), None)
    return None if plain is None else _understood(plain, is_intact=True)


def _copies(checkpoints: Path) -> Iterator[dict[str, Any]]:
    yield from (state.recipe for state, _ in sound_states(checkpoints))
    yield best_facts(checkpoints).get("recipe", {})


def finished_recipe(
    project: Project,
    run: str,
    config: ExperimentConfig,
    emit: Callable[[Event], None],
    safe_point: SafePoint,
) -> dict[str, Any]:
    """Return the content of a finished run's recipe; a damaged one is restored, and that is told.

    Args:
        project: Holds the run; images, labels and split must be those that it was trained on.
        run: Its id.
        config: Its settings, as the history has them.
        emit: Receives what was restored.
        safe_point: Called while a driver is waited for; may raise.

    Raises:
        RunError: If it can't be restored, or a newer version wrote it.
        StorageError: If it can't be read just now.
    """
    folder = project.run_folder(run)
    path = folder / RECIPE_NAME
    if long_path(path).is_file():
        with contextlib.suppress(DamagedFileError):
            plain = read_signed_json(path)
            with contextlib.suppress(TypeError):
                if plain.keys() >= _KEYS and Runtime(**plain["runtime"]):
                    return plain
            _understood(plain, is_intact=is_signed(path))
    recipe, told = kept_copy(folder), RESTORED
    if recipe is None:
        recipe, told = _from_project(project, run, config, safe_point), _RENEWED
    plain = recipe_to_plain(recipe)
    if not project.is_read_only:
        with contextlib.suppress(StorageError):  # what was asked for can be done all the same
            write_json(path, signed(plain))
    emit(Recovered(run=run, message=told))
    return plain


def _from_project(
    project: Project, run: str, config: ExperimentConfig, safe_point: SafePoint
) -> Recipe:
    """Return what the project itself still tells of a run."""
    if method_card(config.method.key) is None or (project.run_folder(run) / "source").exists():
        what = "combined" if config.method.key == ENSEMBLE else "applied"
        raise RunError(
            f"{RECIPE_NAME} of this run is damaged or missing, and nothing else tells which "
            f"networks it {what}.",
            remedy="Combine the same runs again, or restore the project from a backup."
            if config.method.key == ENSEMBLE
            else "Apply the same classifier again, or restore the project from a backup.",
        )
    weights = weights_info(config.backbone.key, config.backbone.weights)
    if config.backbone.weights.startswith(FILE) and not weights.digest:
        raise RunError(
            f"{RECIPE_NAME} of this run is damaged or missing, and the weights that it began from "
            "aren't here any more, so nothing else tells whom these know.",
            remedy="Add the file of these weights again, or restore the project from a backup.",
        )
    table = project.training_table()
    runtime, _ = place_run(config.runtime, gives_way=True, safe_point=safe_point)
    return Recipe(
        run=run,
        config=config,
        runtime=RecipeRuntime(**asdict(runtime)),
        data_digest=project.data_digest(),
        split_digest=project.split_digest(),
        classes=tuple(table.class_names),
        positive=table.positive,
        activation=table.activation,
        finding=chosen_name(project),
        weights=to_plain(weights),
    )
