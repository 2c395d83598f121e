"""What pre-training on several projects gives, as plain facts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainedOn:
    """One project's share in a pre-trained backbone.

    Attributes:
        name: What the user calls the project.
        classes: Names of its classes.
        n_train: Images that were learned from.
        n_val: Images by which the best pass was chosen.
        n_left_out: Training images left out because a test image of one of the projects is equal.
        val_auroc: Validation AUROC of its own decision layer at the pass that was kept.
    """

    name: str
    classes: tuple[str, ...]
    n_train: int
    n_val: int
    n_left_out: int
    val_auroc: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainResult:
    """A finished pre-training.

    Attributes:
        weights: What ``BackboneConfig.weights`` calls the new backbone.
        name: What the user calls it.
        backbone: Key of the backbone that it started from.
        projects: What it learned from, in the order given.
        epochs: Passes made.
        best_epoch: The pass that was kept, from 1.
        seconds: Time of the whole job; of earlier parts, if it was interrupted, that of training.
        sentences: The same for people, and how to train on it.
    """

    weights: str
    name: str
    backbone: str
    projects: tuple[PretrainedOn, ...]
    epochs: int
    best_epoch: int
    seconds: float
    sentences: tuple[str, ...] = ()
