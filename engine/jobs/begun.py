"""What a run that goes on was begun with: its recipe, and the same pre-trained weights.

A recipe that is damaged or gone is taken from the run's saved state, which keeps a copy. Weights
are known by their digest, whatever they are called or whichever are the default by now. Where they
are no longer on this computer, a saved state holds all that most methods need.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from engine.contract.config import ExperimentConfig
from engine.contract.errors import WeightsError
from engine.contract.recipe import RECIPE_NAME, Recipe
from engine.evaluate.kept_recipe import RESTORED, kept_copy, written_recipe
from engine.files import long_path
from engine.jobs.recipe import name_of_same_weights
from engine.methods.registry import get_method
from engine.models.weights import SCRATCH
from engine.trainer.checkpoint import has_state

_RENEWED: Final = (
    f"{RECIPE_NAME} of this run was damaged or missing. It was written anew from the settings; "
    "precision and threads may be others than before, and so may the last digits."
)
_STATE_SUFFICES: Final = (
    "The pre-trained weights that this run began with are not on this computer any more. Its saved "
    "state holds all that it needs to go on."
)

Mean = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What a run that goes on was begun with.

    Attributes:
        config: Its settings, with the name that its pre-trained weights have here.
        recipe: None where none is left, or none was written yet.
        is_recipe_lost: Whether the file doesn't hold that recipe.
        lacks_weights: Whether the pre-trained weights are not here, and the saved state suffices.
        told: What of that a user must know.
    """

    config: ExperimentConfig
    recipe: Recipe | None
    is_recipe_lost: bool
    lacks_weights: bool
    told: tuple[str, ...]

    @property
    def weights_digest(self) -> str:
        """Return the SHA-256 that names the pre-trained weights; empty if it isn't known."""
        return _digest(self.config, self.recipe)

    @property
    def mean(self) -> Mean | None:
        """Return the mean that the pre-trained weights expected; None if it isn't known."""
        return self._expected("mean")

    @property
    def std(self) -> Mean | None:
        """Return the standard deviation, likewise."""
        return self._expected("std")

    def _expected(self, name: str) -> Mean | None:
        if self.recipe is None or not self.weights_digest:
            return None
        return _three(self.recipe.weights.get(name))


def _three(values: Any) -> Mean | None:
    try:
        red, green, blue = (float(value) for value in values)
    except (TypeError, ValueError):  # an earlier version's recipe doesn't say
        return None
    return red, green, blue


def find_begun(folder: Path, config: ExperimentConfig) -> Begun:
    """Return what a run was begun with.

    Args:
        folder: Of the run.
        config: Its settings, as the history has them.

    Raises:
        RunError: If a newer version wrote its recipe.
        StorageError: If its recipe or its states can't be read just now.
        WeightsError: If the weights that it began with are needed and not here.
    """
    checkpoints, path = folder / "checkpoints", folder / RECIPE_NAME
    goes_on = has_state(checkpoints)
    recipe, told = written_recipe(path), ""
    is_lost = recipe is None
    if recipe is None and (goes_on or long_path(path).exists()):  # else it was cut off before that
        recipe = kept_copy(folder)
        told = _RENEWED if recipe is None else RESTORED
    found, is_here = _same_weights(config, recipe)
    if not is_here and not (goes_on and not get_method(config.method.key).needs_origin):
        source = recipe.weights.get("source") if recipe is not None else ""
        raise WeightsError(
            "The pre-trained weights that this run began with are not on this computer any more"
            f"{f' ({source})' if source else ''}.",
            remedy="Add their file again, then continue; or start a new run with its settings.",
        )
    return Begun(
        config=found,
        recipe=recipe,
        is_recipe_lost=is_lost,
        lacks_weights=not is_here,
        told=tuple(filter(None, (told, "" if is_here else _STATE_SUFFICES))),
    )


def _same_weights(config: ExperimentConfig, recipe: Recipe | None) -> tuple[ExperimentConfig, bool]:
    """Return the settings with the name that the weights have here, and whether they are here."""
    if not (digest := _digest(config, recipe)):
        return config, True
    try:
        weights = name_of_same_weights(config.backbone, digest)
    except WeightsError:
        return config, False
    return replace(config, backbone=replace(config.backbone, weights=weights)), True


def _digest(config: ExperimentConfig, recipe: Recipe | None) -> str:
    """Return what names the weights of a run; empty for random ones, or if nothing tells."""
    if recipe is None or config.backbone.weights == SCRATCH:
        return ""
    return str(recipe.weights.get("digest", ""))
