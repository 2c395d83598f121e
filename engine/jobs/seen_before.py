"""What a network learned from before: patients that it must not be measured on as if it hadn't.

A backbone that was pre-trained on this project, and a classifier that the project exported, may
know patients who are validation or test patients since the images were divided anew, or who are
held out by a cross-validation. Each project knows that of itself
(:mod:`engine.project.learned_before`, marks of runs); of patients that two projects share, nothing
is known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.bundle.format import BundleFacts
from engine.bundle.read import read_facts
from engine.contract.config import BackboneConfig
from engine.contract.errors import BundleError
from engine.contract.events import Warned
from engine.evaluate.score import FinishedRun
from engine.jobs.source_bundle import KEPT_FOLDER
from engine.models.weights import MADE, SCRATCH, added_weights, weights_info
from engine.project.folder import RUNS_FOLDER
from engine.project.learned_before import is_known, records_of_pretraining
from engine.project.run_data import read_run_data
from engine.project.store import Project
from engine.project.table import TrainingTable

_REMEDY = "Choose other weights, or measure on patients that they have not seen."


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
    records = records_of_pretraining(project, digest)
    if counts := _counts(project, table, records):
        what = (
            f"This backbone was pre-trained on the patients of {counts}, before the images were "
            "divided anew: its results on them are too good."
        )
        return Warned(run=run, message=what, remedy=_REMEDY)
    if not len(records) and _is_untold([digest]):
        what = (
            "This backbone was pre-trained on your projects by an earlier version of RadTune, "
            "which didn't keep on which images. If this project was one of them, results on "
            "its validation and test images may be too good."
        )
        return Warned(run=run, message=what, remedy=_REMEDY)
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
    counts = _counts(project, table, _of_classifier(project, facts))
    if not counts:
        return None
    return (
        f"This classifier learned from the patients of {counts}, before the images were divided "
        "anew: its results on them are too good. Measure it on patients that it hasn't seen."
    )


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
    records = records_of_pretraining(project, digest)
    if not len(records) and _is_untold([digest]):
        return (
            "The backbone was pre-trained on your projects by an earlier version of RadTune; "
            "whether it learned from some of these patients then is not known."
        )
    known = is_known(project, table, records)[images]
    if n_known := len(np.unique(table.groups[images][known])):
        return (
            f"The backbone was pre-trained on {n_known:,} of these patients, so a "
            "cross-validation with it is too good: choose other weights for an honest figure."
        )
    return ""


def known_groups(project: Project, table: TrainingTable, loaded: FinishedRun) -> set[int] | None:
    """Return the patients that a run's networks learned from before the run; None if nobody knows.

    Args:
        project: Open.
        table: The usable images.
        loaded: The run. What it was trained on itself is not among them.

    Returns:
        Numbers as in ``TrainingTable.groups``.
    """
    names = [loaded.id, *(member.name for member in loaded.members)]
    weights = [loaded.recipe.get("weights", {}), *(member.weights for member in loaded.members)]
    digests = {str(facts.get("digest", "")) for facts in weights}
    parts = [records_of_pretraining(project, digest) for digest in digests]
    if _is_untold(digests) and not any(map(len, parts)):
        return None
    for name in names:
        with contextlib.suppress(BundleError):  # most runs apply no classifier
            facts = read_facts(project.folder / RUNS_FOLDER / name / KEPT_FOLDER)
            parts.append(_of_classifier(project, facts))
    known = is_known(project, table, np.concatenate(parts))
    return set(table.groups[known].tolist())


def _of_classifier(project: Project, facts: BundleFacts) -> NDArray[np.int64]:
    """Return row ids of images that a bundle's networks learned from, as far as it is known."""
    return np.concatenate([np.array([], dtype=np.int64), *_parts(project, facts)])


def _parts(project: Project, facts: BundleFacts) -> Iterator[NDArray[np.int64]]:
    for backbone in (facts.backbone, *facts.members):
        yield records_of_pretraining(project, backbone.weights_digest)
    run = project.run_of_mark(str(facts.data.get("run_mark", "")))
    if run is None:
        return
    folder: Path = project.run_folder(run)
    if (then := read_run_data(folder)) is not None:
        yield then.records[then.split == 0]
    with contextlib.suppress(BundleError):  # it applied another classifier in its turn
        yield from _parts(project, read_facts(folder / KEPT_FOLDER))


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


def _is_untold(digests: Iterable[str]) -> bool:
    """Return whether earlier versions pre-trained some of the weights."""
    unnoted = {w.digest for w in added_weights() if w.kind == MADE and not w.is_noted}
    return not unnoted.isdisjoint(digests)
