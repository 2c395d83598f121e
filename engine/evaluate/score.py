"""A finished run's network and what it says about images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.config import ExperimentConfig
from engine.contract.config_io import from_plain
from engine.contract.errors import ConfigError, RunError, StorageError
from engine.contract.events import COMPLETED, STOPPED, Event, Warned
from engine.contract.searching import ENSEMBLE
from engine.contract.targets import SIGMOID
from engine.data.pixels import open_pixels
from engine.data.transforms import test_time_views
from engine.evaluate.kept_recipe import finished_recipe
from engine.evaluate.report import Scored
from engine.files import read_signed_json
from engine.hardware import Fallback, Runtime, apply_runtime, place_run
from engine.hardware.preflight import SafePoint
from engine.models.ensemble import EnsembleNetwork
from engine.models.fallback import looking_warning
from engine.models.merged_head import fit_head_to
from engine.models.network import Network
from engine.models.registry import build_network
from engine.project.folder import RUNS_FOLDER
from engine.project.segment_reader import SegmentReader
from engine.project.store import Project
from engine.project.table import TrainingTable
from engine.trainer.best_weights import load_best
from engine.trainer.steps import predict_probabilities

HELD_OUT_FILE: Final = "held_out.json"
_FINISHED: Final = (COMPLETED, STOPPED)


@dataclass(frozen=True, kw_only=True)
class FinishedMember:
    """One network of a run that combines others.

    Attributes:
        name: A run's id, or a fold of a cross-validation.
        weights: What is known of the pre-trained weights that it began from.
    """

    name: str
    config: ExperimentConfig
    weights: dict[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """Predictions of images, each by a network that never saw it.

    Attributes:
        records: Record ids, int64 ``(N,)``.
        probabilities: Shape ``(N, K)``.
    """

    records: NDArray[np.int64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run that ended with weights worth keeping, ready to be applied.

    Attributes:
        recipe: The content of ``recipe.json``.
        network: With the best epoch's weights, in evaluation mode.
        members: Of a run that combines others, what each network was trained with.
        held_out: Where the networks learned from validation images, the predictions to choose a
            threshold by.
        fallback: Why the processor applies it though a graphics card is there, or was.
    """

    id: str
    config: ExperimentConfig
    recipe: dict[str, Any]
    runtime: Runtime
    network: Network | EnsembleNetwork
    pixels: SegmentReader
    members: tuple[FinishedMember, ...] = ()
    held_out: HeldOut | None = None
    fallback: Fallback | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in index order, as they were when the run was trained."""
        return tuple(self.recipe["classes"])

    @property
    def is_multi(self) -> bool:
        """Whether the run learned several findings at once."""
        return bool(self.recipe.get("activation") == SIGMOID)

    @property
    def positive(self) -> int | None:
        """Index of the positive class of two."""
        index: int | None = self.recipe["positive"]
        return index

    def fallback_warning(self, n_looks: float, *, deed: str) -> Warned | None:
        """Return what a job must say where the processor steps in for a graphics card.

        Args:
            n_looks: How often an image goes through the network, in units of a prediction.
            deed: What the processor does instead, such as ``measures``.
        """
        if self.fallback is None:
            return None
        size_px, n_views = self.config.image.size_px, self.config.evaluation.test_time_views
        return looking_warning(self.fallback, self.network, size_px, n_looks * n_views, deed=deed)

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


def chosen_by(loaded: FinishedRun, table: TrainingTable) -> NDArray[np.bool_]:
    """Return by which images choices of a run may be made, shape ``(N,)``: those of validation.

    Of one that combines the folds of a cross-validation, those that were held out in turn.
    """
    is_val: NDArray[np.bool_] = table.split == 1
    if loaded.held_out is not None:
        is_val = np.isin(table.record_ids, loaded.held_out.records)
    return is_val


def score_validation(
    loaded: FinishedRun,
    table: TrainingTable,
    on_batch: Callable[[int, int], None] | None = None,
) -> Scored:
    """Return what a run says of images by which a threshold may be chosen: of validation.

    A run that combines the folds of a cross-validation has learned from those, so its out-of-fold
    predictions of all training and validation images take their place.
    """
    chosen = np.flatnonzero(chosen_by(loaded, table))
    if loaded.held_out is not None:
        places = np.searchsorted(loaded.held_out.records, table.record_ids[chosen])
        probabilities = loaded.held_out.probabilities[places]
    else:
        probabilities = loaded.probabilities(table.rows[chosen], on_batch)
    return Scored(
        probabilities=probabilities,
        labels=table.labels[chosen],
        patients=table.groups[chosen],
        records=table.record_ids[chosen],
        unit=table.unit,
    )


def load_run(
    project: Project,
    run: str,
    *,
    emit: Callable[[Event], None] = lambda _: None,
    safe_point: SafePoint = lambda: None,
) -> FinishedRun:
    """Load a finished run.

    Args:
        project: Holds it.
        run: Its id.
        emit: Receives what had to be restored of its files.
        safe_point: Called while the device is tried; may raise.

    Raises:
        RunError: If there is no such run, it hasn't finished, images, labels or split have changed
            since it was trained, or its files are damaged.
        StorageError: If they can't be read just now.
    """
    summary = project.run_summary(run)
    if summary.state not in _FINISHED:
        raise RunError(
            f"This run has not finished: its state is '{summary.state}'.",
            remedy="Resume it or train a new one first."
            if summary.is_resumable
            else "Train a new run on the present data.",
        )
    if summary.is_stale:
        raise RunError(
            "Images, labels or split have changed since this run was trained, so its test set is "
            "no longer the one it was kept from.",
            remedy="Train a new run on the present data.",
        )
    config = project.run_config(run)
    recipe = finished_recipe(project, run, config, emit, safe_point)
    earlier = Runtime(**recipe["runtime"])  # the card may be gone
    runtime, fallback = place_run(config.runtime, earlier=earlier, safe_point=safe_point)
    apply_runtime(runtime)
    network: Network | EnsembleNetwork
    if config.method.key == ENSEMBLE:
        members = _members(recipe)
        network = combined_network(project, members, len(recipe["classes"]))
    else:
        members = ()
        network = kept_network(config, len(recipe["classes"]), project.run_folder(run))
    return FinishedRun(
        id=run,
        config=config,
        recipe=recipe,
        runtime=runtime,
        network=network.to(runtime.device).eval(),
        pixels=open_pixels(project, config.image),
        members=members,
        held_out=_held_out(project.run_folder(run) / HELD_OUT_FILE, members),
        fallback=fallback,
    )


def combined_network(
    project: Project, members: Sequence[FinishedMember], n_classes: int
) -> EnsembleNetwork:
    """Return the networks of a run that combines others, on the CPU.

    Raises:
        RunError: If one of them is damaged or missing.
    """
    runs = project.folder / RUNS_FOLDER
    return EnsembleNetwork(
        [kept_network(member.config, n_classes, runs / member.name) for member in members]
    )


def _members(recipe: dict[str, Any]) -> tuple[FinishedMember, ...]:
    try:
        return tuple(
            FinishedMember(
                name=str(plain["name"]),
                config=from_plain(ExperimentConfig, plain["config"]),
                weights=dict(plain["weights"]),
            )
            for plain in recipe["members"]
        )
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        raise _damaged() from error


def _held_out(path: Path, members: Sequence[FinishedMember]) -> HeldOut | None:
    if not path.is_file():
        if any("/" in member.name for member in members):  # folds learned from validation images
            raise _damaged()
        return None
    try:
        plain = read_signed_json(path)
        return HeldOut(
            records=np.array(plain["records"], dtype=np.int64),
            probabilities=np.array(plain["probabilities"], dtype=np.float64),
        )
    except (StorageError, KeyError, TypeError, ValueError) as error:
        raise _damaged() from error


def kept_network(config: ExperimentConfig, n_classes: int, folder: Path) -> Network:
    """Return the network of the best epoch from the folder of a run, on the CPU.

    Raises:
        RunError: If there is none, or its files are damaged.
    """
    best = load_best(folder / "checkpoints")
    try:
        network = build_network(
            config.backbone.key,
            n_classes,
            weights="scratch",
            features=best.features,
            mean=best.mean,
            std=best.std,
            activation=best.activation,
        )
        fit_head_to(network, best.tensors)
        network.load_state_dict(best.tensors)
    except (RuntimeError, ValueError) as error:
        raise _damaged() from error
    return network


def _damaged() -> RunError:
    return RunError(
        "The files of this run are damaged or missing.",
        remedy="Restore the project from a backup, or train a new run.",
    )
