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
from engine.files import long_path, read_signed_json, signed, write_json
from engine.hardware import Runtime, place_run
from engine.models.weights import weights_info
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
        StorageError: If it can't be read just now.
    """
    if not long_path(path).is_file():
        return None
    try:
        return recipe_from_json(json.dumps(read_signed_json(path)))
    except (ConfigError, DamagedFileError):
        return None


def kept_copy(folder: Path) -> Recipe | None:
    """Return the copy that a run kept elsewhere in its folder; None if it kept none.

    Raises:
        StorageError: If what it kept can't be read just now.
    """
    for plain in filter(None, _copies(folder / "checkpoints")):
        with contextlib.suppress(ConfigError):  # a newer version wrote it
            return recipe_from_json(json.dumps(plain))
    return None


def _copies(checkpoints: Path) -> Iterator[dict[str, Any]]:
    yield from (state.recipe for state, _ in sound_states(checkpoints))
    yield best_facts(checkpoints).get("recipe", {})


def finished_recipe(
    project: Project, run: str, config: ExperimentConfig, emit: Callable[[Event], None]
) -> dict[str, Any]:
    """Return the content of a finished run's recipe; a damaged one is restored, and that is told.

    Args:
        project: Holds the run; images, labels and split must be those that it was trained on.
        run: Its id.
        config: Its settings, as the history has them.
        emit: Receives what was restored.

    Raises:
        RunError: If it can't be restored.
        StorageError: If it can't be read just now.
    """
    folder = project.run_folder(run)
    path = folder / RECIPE_NAME
    if long_path(path).is_file():
        with contextlib.suppress(DamagedFileError, TypeError):
            plain = read_signed_json(path)
            if plain.keys() >= _KEYS and Runtime(**plain["runtime"]):
                return plain
    recipe, told = kept_copy(folder), RESTORED
    if recipe is None:
        recipe, told = _from_project(project, run, config), _RENEWED
    plain = recipe_to_plain(recipe)
    if not project.is_read_only:
        with contextlib.suppress(StorageError):  # what was asked for can be done all the same
            write_json(path, signed(plain))
    emit(Recovered(run=run, message=told))
    return plain


def _from_project(project: Project, run: str, config: ExperimentConfig) -> Recipe:
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
    table = project.training_table()
    return Recipe(
        run=run,
        config=config,
        runtime=RecipeRuntime(**asdict(place_run(config.runtime)[0])),
        data_digest=project.data_digest(),
        split_digest=project.split_digest(),
        classes=tuple(table.class_names),
        positive=table.positive,
        activation=table.activation,
        finding=chosen_name(project),
        weights=to_plain(weights_info(config.backbone.key, config.backbone.weights)),
    )
