"""What a run needs before it can start or go on, and what it is then called."""

from __future__ import annotations

import time
from dataclasses import replace

from engine.contract.backbones import backbone_card
from engine.contract.config import ExperimentConfig
from engine.contract.errors import ConfigError, DatasetError, RunError
from engine.contract.events import CANCELED, COMPLETED, STOPPED
from engine.jobs.splitting import require_two_classes
from engine.models.registry import check_size
from engine.models.weights import FILE, present_weights, weights_state
from engine.project.store import Project
from engine.project.table import TrainingTable


def require_resumable(project: Project, run: str, *, anyway: bool) -> None:
    """Refuse to go on with a run that has ended, or that began with something else.

    Args:
        project: Open.
        run: Its id.
        anyway: Whether to go on although something has changed that doesn't matter.

    Raises:
        RunError: If it can't go on.
    """
    summary = project.run_summary(run, has_worker=False)
    if summary.state in (COMPLETED, STOPPED):
        raise RunError("This run has finished.", remedy="Evaluate it, or train a new one.")
    if summary.state == CANCELED:
        raise RunError(
            "This run was canceled, so there is nothing to go on from.",
            remedy="Start a new run with the same settings.",
        )
    what = " ".join(summary.changes) or "The images, labels or split are others."
    if summary.is_stale and not summary.is_resumable:
        raise RunError(
            f"The project has changed since this run was interrupted. {what}",
            remedy="Start a new run; the interrupted one stays in the history.",
        )
    if summary.changes and not anyway:
        raise RunError(
            f"Something has changed since this run was interrupted. {what}",
            remedy="To go on anyway press Continue, or use 'resume --anyway'; or start a new run.",
        )


def checked_table(project: Project, *, allows_added: bool = False) -> TrainingTable:
    """Return the usable images, if they can be learned from.

    Args:
        project: Open.
        allows_added: Whether the split may be older than images that aren't in it.

    Raises:
        DatasetError: If there are fewer than two classes, or a part lacks one.
        RunError: If there is no split, or it is out of date.
    """
    table = project.training_table()
    require_two_classes(table)
    if project.split_summary() is None or not (table.split == 0).any():
        raise RunError(
            "The images are not divided into training, validation and test yet.",
            remedy="Make a split first.",
        )
    if project.split_is_stale() and not allows_added:
        raise RunError(
            "Images or labels have changed since the split was made.", remedy="Make the split anew."
        )
    if table.is_multi:  # each finding that it holds can be learned
        return table
    for code, name in ((0, "training"), (1, "validation")):
        present = set(table.labels[table.split == code].tolist())
        missing = [label for k, label in enumerate(table.class_names) if k not in present]
        if missing:
            raise DatasetError(
                f"The {name} images hold none of class '{missing[0]}'.",
                remedy="Make the split anew, or leave that class out.",
            )
    return table


def with_weights_there_are(config: ExperimentConfig) -> ExperimentConfig:
    """Return the settings, without pre-training where a backbone has no weights yet.

    That the run then starts from scratch is the first thing it says.
    """
    if backbone_card(config.backbone.key) is None:
        raise ConfigError(
            f"There is no backbone called {config.backbone.key!r}.",
            remedy="Choose one that 'radtune-engine backbones' lists.",
        )
    check_size(config.backbone.key, config.image.size_px)
    if config.backbone.weights.startswith(FILE):
        present_weights(config.backbone.key, config.backbone.weights)
    elif weights_state(config.backbone.key) == "missing":
        return replace(config, backbone=replace(config.backbone, weights="scratch"))
    return config


def new_run_id(project: Project) -> str:
    """Return an id that says when, and that no run has yet."""
    stem = time.strftime("%Y%m%d-%H%M%S")
    run_id, n = stem, 1
    while project.run_folder(run_id).exists():
        n += 1
        run_id = f"{stem}-{n}"
    return run_id
