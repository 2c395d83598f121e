"""A finished run's network and what it says about images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.config import ExperimentConfig
from engine.contract.errors import RunError, StorageError
from engine.contract.events import COMPLETED, STOPPED
from engine.data.pixels import open_pixels
from engine.data.transforms import test_time_views
from engine.files import read_json
from engine.hardware import Runtime, apply_runtime
from engine.models.network import Network
from engine.models.registry import build_network
from engine.project.segments import SegmentReader
from engine.project.store import Project
from engine.trainer.checkpoint import load_best
from engine.trainer.steps import predict_probabilities

_FINISHED: Final = (COMPLETED, STOPPED)


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run that ended with weights worth keeping, ready to be applied.

    Attributes:
        recipe: The content of ``recipe.json``.
        network: With the best epoch's weights, in evaluation mode.
    """

    id: str
    config: ExperimentConfig
    recipe: dict[str, Any]
    runtime: Runtime
    network: Network
    pixels: SegmentReader

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in index order, as they were when the run was trained."""
        return tuple(self.recipe["classes"])

    @property
    def positive(self) -> int | None:
        """Index of the positive class of two."""
        index: int | None = self.recipe["positive"]
        return index

    def probabilities(
        self, rows: NDArray[np.int64], on_batch: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float64]:
        """Return class probabilities of pixel rows, shape ``(N, K)``, as the run measures them."""
        n_views = self.config.evaluation.test_time_views
        views = (
            (lambda batch: test_time_views(batch, n_views, padding=self.config.image.padding))
            if n_views > 1
            else None
        )
        return predict_probabilities(
            self.network, self.pixels, rows, self.runtime, views=views, on_batch=on_batch
        )


def load_run(project: Project, run: str) -> FinishedRun:
    """Load a finished run.

    Raises:
        RunError: If there is no such run, it hasn't finished, images, labels or split have changed
            since it was trained, or its files are damaged.
    """
    summary = project.run_summary(run)
    if summary.state not in _FINISHED:
        raise RunError(
            f"This run has not finished: its state is '{summary.state}'.",
            remedy="Resume it or train a new one first.",
        )
    if summary.is_stale:
        raise RunError(
            "Images, labels or split have changed since this run was trained, so its test set is "
            "no longer the one it was kept from.",
            remedy="Train a new run on the present data.",
        )
    recipe, runtime = _read_recipe(project.run_folder(run) / "recipe.json")
    apply_runtime(runtime)
    config = project.run_config(run)
    network = _kept_network(config, len(recipe["classes"]), project.run_folder(run))
    return FinishedRun(
        id=run,
        config=config,
        recipe=recipe,
        runtime=runtime,
        network=network.to(runtime.device).eval(),
        pixels=open_pixels(project, config.image),
    )


def _read_recipe(path: Path) -> tuple[dict[str, Any], Runtime]:
    try:
        recipe = read_json(path)
        if not {"classes", "positive", "versions"} <= recipe.keys():
            raise KeyError("recipe")
        return recipe, Runtime(**recipe["runtime"])
    except (StorageError, KeyError, TypeError, AttributeError) as error:
        raise _damaged() from error


def _kept_network(config: ExperimentConfig, n_classes: int, folder: Path) -> Network:
    weights, features = load_best(folder / "checkpoints")
    try:
        network = build_network(
            config.backbone.key, n_classes, weights="scratch", features=features
        )
        network.load_state_dict(weights)
    except (RuntimeError, ValueError) as error:
        raise _damaged() from error
    return network


def _damaged() -> RunError:
    return RunError(
        "The files of this run are damaged or missing.",
        remedy="Restore the project from a backup, or train a new run.",
    )
