"""What a project says about which settings to try first, without looking at the machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.config import BackboneConfig
from engine.contract.errors import ConfigError, DatasetError
from engine.contract.events import COMPLETED
from engine.contract.recipe import RECIPE_NAME, recipe_from_json
from engine.contract.recommendation import HEAD_ONLY, PastTraining, SetupFacts
from engine.contract.training_time import expected_pace, slowness_of
from engine.project.cautions import left_out_sentence, val_scarcity
from engine.project.run_data import read_run_data
from engine.project.run_pace import read_run_pace
from engine.project.store import Project
from engine.project.table import TrainingTable

_USUAL_TRAINING_SHARE: Final = 0.7
_TRAIN, _VAL = 0, 1


def data_facts(project: Project) -> SetupFacts:
    """Return what the rules ask about a project's images; device, time and weights are left open.

    Without a split, a share of the images as large as a usual training part counts as training.
    """
    try:
        table = project.training_table()
    except DatasetError:  # none of several findings can be learned yet
        return SetupFacts(n_train=(), task=project.task, size_px=project.image_contract.size_px)
    is_divided = bool((table.split == _TRAIN).any()) and project.split_summary() is not None
    used = table.split == _TRAIN if is_divided else np.ones(len(table.split), dtype=np.bool_)
    return replace(
        image_counts(table, used, share=1.0 if is_divided else _USUAL_TRAINING_SHARE),
        n_val=int((table.split == _VAL).sum()),
        task=project.task,
        image_px=_median_side(project, table),
        size_px=project.image_contract.size_px,
        probe_auroc=_probe_auroc(project),
        past=tuple(_past_trainings(project)),
        cautions=tuple(
            filter(None, (left_out_sentence(table), val_scarcity(table) if is_divided else ""))
        ),
    )


def image_counts(table: TrainingTable, used: NDArray[np.bool_], share: float = 1.0) -> SetupFacts:
    """Return how many images there are to learn from; all else is left open.

    Args:
        table: The usable images.
        used: Which of them are counted, shape ``(N,)``.
        share: Of those, the part that training has.
    """
    if table.is_multi:
        counts = (table.labels[used] == 1).sum(axis=0)
    else:
        counts = np.bincount(table.labels[used], minlength=len(table.class_names))
    return SetupFacts(
        n_train=tuple(int(share * n) for n in counts),
        n_images=int(share * used.sum()) if table.is_multi else None,
    )


def _median_side(project: Project, table: TrainingTable) -> int:
    """Return the median of the shorter sides of the originals; 0 without any."""
    sides = dict(project.db.all("SELECT id, min(width, height) FROM records"))
    known = [side for i in table.record_ids.tolist() if (side := sides.get(i)) is not None]
    return int(np.median(known)) if known else 0


def _probe_auroc(project: Project) -> float | None:
    """Return what the newest linear probe on the present data reached on validation images.

    One on weights of a file doesn't count: they may know the patients, or be of something else.
    """
    for run in project.runs():
        is_probe = (run.method, run.weights) == (HEAD_ONLY, BackboneConfig().weights)
        if is_probe and run.state == COMPLETED and not run.is_stale:
            return run.val_auroc
    return None


def _past_trainings(project: Project) -> Iterator[PastTraining]:
    """Yield how long the newest training with each backbone and method took."""
    known: set[tuple[str, str]] = set()
    for run in project.runs():
        key = (run.backbone, run.method)
        if run.epochs < 1 or run.seconds <= 0 or key in known:
            continue
        folder = project.run_folder(run.id)
        data = read_run_data(folder)
        try:
            recipe = recipe_from_json((folder / RECIPE_NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError, ConfigError):  # an older or newer version wrote it
            continue
        if data is None or recipe.members:
            continue
        known.add(key)
        config, runtime = recipe.config, recipe.runtime
        slowness = slowness_of(
            config,
            int((data.split == _TRAIN).sum()),
            int((data.split == _VAL).sum()),
            run.epochs,
            run.seconds,
            expected_pace(runtime.device, runtime.threads, config.image.size_px),
        )
        pace = read_run_pace(folder)
        yield PastTraining(
            backbone=run.backbone,
            method=run.method,
            device=runtime.device,
            slowness=slowness,
            machine=recipe.hardware.get("cpu" if runtime.device == "cpu" else "gpu", ""),
            size_px=config.image.size_px,
            images_per_s=pace.images_per_s if pace is not None else 0.0,
            memory_mb=pace.memory_mb if pace is not None else 0.0,
        )
