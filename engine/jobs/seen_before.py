"""What a network learned from before: patients that it must not be measured on as if it hadn't.

A backbone that was pre-trained on this project, and a classifier that the project exported, may
know patients who are validation or test patients since the images were divided anew, or who are
held out by a cross-validation. Each project knows that of itself
(:mod:`engine.project.learned_before`, marks of runs); of patients that it shares with others as far
as equal images tell (:mod:`engine.project.learned_here`). Where what a project kept of that is
damaged or missing, nobody may claim that its patients are new to the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.bundle.format import BundleFacts
from engine.contract.config import BackboneConfig
from engine.contract.events import Warned
from engine.evaluate.score import FinishedRun
from engine.models.weights import MADE, SCRATCH, added_weights, weights_info
from engine.project.known_patients import Origin, of_classifier, of_origin, of_weights, put_together
from engine.project.learned_before import is_known
from engine.project.store import Project
from engine.project.table import TrainingTable

_REMEDY: Final = "Choose other weights, or measure on patients that they have not seen."


def backbone_warning(
    project: Project, table: TrainingTable, backbone: BackboneConfig, run: str = ""
) -> Warned | None:
    """Return what to say if a backbone learned from patients that it would be measured on now.

    Args:
        project: Open.
        table: The usable images.
        backbone: Which network and which weights.
        run: The run's id; empty for other jobs.
    """
    if (digest := _digest(backbone)) is None:
        return None
    learned = of_weights(project, digest, _untold())
    if counts := _counts(project, table, learned.records):
        what = (
            f"This backbone was pre-trained on the patients of {counts}: its results on them are "
            "too good."
        )
        return Warned(run=run, message=what, remedy=_REMEDY)
    if learned.unknown:
        return Warned(run=run, message=learned.unknown, remedy=_REMEDY)
    return None


def seen_sentence(project: Project, facts: BundleFacts, table: TrainingTable) -> str | None:
    """Return a warning if a classifier learned from patients that it would be measured on now.

    Only of a classifier that this project exported, or whose backbone was pre-trained on it, can
    that be known.

    Args:
        project: Open.
        facts: The classifier's.
        table: The usable images.
    """
    backbones = (facts.backbone, *facts.members)
    origin = Origin(
        digests=tuple(backbone.weights_digest for backbone in backbones),
        mark=str(facts.data.get("run_mark", "")),
    )
    found = list(of_classifier(project, origin, _untold()))
    said = [part.unknown for part in found if part.unknown]
    if counts := _counts(project, table, put_together(found)):
        said.insert(
            0,
            f"This classifier learned from the patients of {counts}: its results on them are too "
            "good.",
        )
    if not said:
        return None
    return " ".join([*dict.fromkeys(said), "Measure it on patients that it hasn't seen."])


def crossval_caution(
    project: Project,
    table: TrainingTable,
    backbone: BackboneConfig,
    images: NDArray[np.int64],
) -> str:
    """Return what a cross-validation must say of a backbone that knows its images; else nothing.

    Args:
        project: Open.
        table: The usable images.
        backbone: Which network and which weights.
        images: Indices into the table of those that are held out in turn.
    """
    if (digest := _digest(backbone)) is None:
        return ""
    learned = of_weights(project, digest, _untold())
    if learned.unknown:
        return (
            "The backbone was pre-trained on your projects; whether it learned from some of these "
            "patients then is not known."
        )
    known = is_known(project, table, learned.records)[images]
    if n_known := len(np.unique(table.groups[images][known])):
        return (
            f"The backbone was pre-trained on {n_known:,} of these patients, so a "
            "cross-validation with it is too good: choose other weights for an honest figure."
        )
    return ""


def known_groups(
    project: Project, table: TrainingTable, loaded: FinishedRun, images: NDArray[np.int64]
) -> set[int] | None:
    """Return measured patients that a run's networks learned from before it; None if nobody knows.

    Of a combined run, one network may tell whom it knows and another not.

    Args:
        project: Open.
        table: The usable images.
        loaded: The run. What it was trained on itself is not among them.
        images: Indices into the table of those that it is measured on.

    Returns:
        Numbers as in ``TrainingTable.groups``.
    """
    weights = [loaded.recipe.get("weights", {}), *(member.weights for member in loaded.members)]
    origin = Origin(
        digests=tuple({str(facts.get("digest", "")) for facts in weights}),
        runs=(loaded.id, *(member.name for member in loaded.members)),
    )
    found = of_origin(project, origin, _untold())
    known = is_known(project, table, put_together(found))[images]
    if not known.any() and any(part.unknown for part in found):
        return None
    return set(table.groups[images][known].tolist())


def measuring_caution(
    project: Project,
    table: TrainingTable,
    runs: Sequence[FinishedRun],
    images: NDArray[np.int64],
    what: str,
) -> str:
    """Return what a measurement must say if its networks know some of the images; else nothing.

    Args:
        project: Open.
        table: The usable images.
        runs: Whose networks are measured.
        images: Indices into the table of those that they are measured on.
        what: Those in words, as "validation images".
    """
    each = [known_groups(project, table, run, images) for run in runs]
    known = sorted({group for groups in each for group in groups or ()})
    if n_known := int(np.isin(table.groups[images], known).sum()):
        return (
            f"{n_known:,} of the {len(images):,} {what} are of patients that a network had learned "
            "from before, so this is too good. Measure it on patients that it hasn't seen."
        )
    if None in each:
        return (
            "Whether a network had learned from some of these patients before is not known, so "
            "this may be too good. Measure it on patients that it hasn't seen."
        )
    return ""


def _counts(project: Project, table: TrainingTable, records: NDArray[np.int64]) -> str:
    """Return how many images are of patients that were learned from; empty if none."""
    if not len(records):
        return ""
    known = is_known(project, table, records)
    counts = []
    for code, name in ((1, "validation"), (2, "test")):
        is_part = table.split == code
        if n := int((known & is_part).sum()):
            counts.append(f"{n:,} of the {is_part.sum():,} {name} images")
    return " and of ".join(counts)


def _digest(backbone: BackboneConfig) -> str | None:
    if backbone.weights == SCRATCH:
        return None
    return weights_info(backbone.key, backbone.weights).digest


def _untold() -> set[str]:
    """Return the digests of the weights that an earlier version pre-trained."""
    return {w.digest for w in added_weights() if w.kind == MADE and not w.is_noted}
