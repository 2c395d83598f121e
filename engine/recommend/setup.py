"""The facts of a project that a recommendation depends on."""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.contract.backbones import BACKBONES
from engine.contract.config import RuntimeConfig
from engine.contract.events import COMPLETED
from engine.contract.recommendation import HEAD_ONLY, SetupFacts
from engine.hardware import resolve_runtime
from engine.models.weights import weights_state
from engine.project.facts import image_facts
from engine.project.store import Project

_USUAL_TRAINING_SHARE: Final = 0.7


def facts_of(project: Project, *, minutes: float | None = None) -> SetupFacts:
    """Return what the rules ask about a project on this machine.

    Without a split, a share of the images as large as a usual training part counts as training.

    Args:
        project: With labelled images.
        minutes: Most time that training may take; None if that doesn't matter.

    Raises:
        DatasetError: If a project with several findings has none chosen.
    """
    table = project.training_table()
    is_divided = project.split_summary() is not None and bool((table.split == 0).any())
    used = table.split == 0 if is_divided else np.ones(len(table.split), dtype=np.bool_)
    counts = np.bincount(table.labels[used], minlength=len(table.class_names))
    if not is_divided:
        counts = np.floor(counts * _USUAL_TRAINING_SHARE).astype(np.int64)
    sides = image_facts(project, table.record_ids).numbers
    shorter = np.minimum(sides["width"], sides["height"])
    runtime = resolve_runtime(RuntimeConfig())
    return SetupFacts(
        n_train=tuple(int(n) for n in counts),
        n_val=int((table.split == 1).sum()),
        task=project.task,
        image_px=int(np.nanmedian(shorter)) if len(shorter) else 0,
        size_px=project.image_contract.size_px,
        device=runtime.device,
        threads=runtime.threads,
        minutes=minutes,
        probe_auroc=_probe_auroc(project),
        weights={card.key: weights_state(card.key) for card in BACKBONES},
    )


def _probe_auroc(project: Project) -> float | None:
    """Return what the newest linear probe on the present data reached on validation images."""
    for run in project.runs():
        if run.method == HEAD_ONLY and run.state == COMPLETED and not run.is_stale:
            return run.val_auroc
    return None
