"""What the images of a project don't let anybody learn or measure, in sentences."""

from __future__ import annotations

from engine.metrics.few_groups import scarce_classes, scarcity_sentence
from engine.project.table import SPLIT_CODES, TrainingTable


def left_out_sentence(table: TrainingTable) -> str:
    """Return which findings aren't learned and why; empty if all are."""
    parts = [f"{name} ({reason.rstrip('.')})" for name, reason in table.left_out.items()]
    return f"Not learned: {'; '.join(parts)}." if parts else ""


def val_scarcity(table: TrainingTable) -> str:
    """Return which classes are too small in validation to choose anything by; empty if none is."""
    val = table.split == SPLIT_CODES["val"]
    scarce = scarce_classes(table.labels[val], table.groups[val], table.class_names)
    return scarcity_sentence(scarce, "validation", table.unit)
