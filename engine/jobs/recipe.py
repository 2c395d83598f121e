"""Writing what it takes to repeat a run."""

from __future__ import annotations

import platform
from dataclasses import asdict
from pathlib import Path

from engine.contract.config import BackboneConfig, ExperimentConfig
from engine.contract.config_io import to_plain
from engine.contract.recipe import (
    RECIPE_NAME,
    Recipe,
    RecipeRuntime,
    RepeatedRun,
    recipe_to_plain,
)
from engine.files import (
    signed,
    write_json,
)
from engine.hardware import Runtime, library_versions
from engine.hardware.devices import cpu_name
from engine.hardware.preflight import find_devices
from engine.jobs.source_bundle import Source
from engine.models.weights import weights_info, weights_of_digest
from engine.project.run_data import own_versions
from engine.project.run_findings import chosen_name
from engine.project.store import Project
from engine.project.table import TrainingTable


def runtime_of(recipe: Recipe) -> Runtime:
    """Return where and how a run computed."""
    return Runtime(**asdict(recipe.runtime))


def name_of_same_weights(backbone: BackboneConfig, digest: str) -> str:
    """Return how settings name pre-trained weights here: as they do already, if that fits.

    Args:
        backbone: Which network, and how its weights were called.
        digest: SHA-256 of the weights.

    Raises:
        WeightsError: If they are not on this computer.
    """
    if weights_info(backbone.key, backbone.weights).digest == digest:
        return backbone.weights
    return weights_of_digest(backbone.key, digest)


def hardware(runtime: Runtime) -> dict[str, str]:
    """Return what computes: ``cpu`` and ``system``, and of a graphics card ``gpu``, ``driver``."""
    facts = {"cpu": cpu_name(), "system": f"{platform.system()} ({platform.machine()})"}
    if runtime.device == "cpu":
        return facts
    card = next((d for d in find_devices() if d.key == runtime.device and d.is_usable), None)
    if card is not None:
        facts["gpu"] = card.name
        if card.driver:
            facts["driver"] = card.driver
    return facts


def versions() -> dict[str, str]:
    """Return the versions that decide a result, this program's first."""
    return own_versions() | library_versions()


def write_recipe(
    folder: Path,
    *,
    run: str,
    project: Project,
    config: ExperimentConfig,
    table: TrainingTable,
    runtime: Runtime,
    source: Source | None,
    repeats: RepeatedRun | None,
) -> Recipe:
    """Write everything that is needed to repeat a run into its folder, and return it.

    Raises:
        StorageError: If the disk doesn't allow it.
    """
    weights = to_plain(weights_info(config.backbone.key, config.backbone.weights))
    recipe = Recipe(
        run=run,
        config=config,
        runtime=RecipeRuntime(**asdict(runtime)),
        data_digest=project.data_digest(),
        split_digest=project.split_digest(),
        classes=tuple(table.class_names),
        positive=table.positive,
        activation=table.activation,
        finding=chosen_name(project),
        weights=weights,
        versions=versions(),
        hardware=hardware(runtime),
        repeats=repeats,
        classifier=None if source is None else source.recipe()["classifier"],
    )
    keep_recipe(folder, recipe)
    return recipe


def keep_recipe(folder: Path, recipe: Recipe) -> None:
    """Write a recipe into the folder of its run.

    Raises:
        StorageError: If the disk doesn't allow it.
    """
    write_json(folder / RECIPE_NAME, signed(recipe_to_plain(recipe)))
