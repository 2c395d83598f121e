"""What a network learned from before: patients that it must not be measured on as if it hadn't.

A backbone that was pre-trained on this project, and a classifier that the project exported, may
know patients who are validation or test patients since the images were divided anew, or who are
held out by a cross-validation. Each project knows that of itself
(:mod:`engine.project.learned_before`, marks of runs); of patients that two projects share, nothing
is known. Where what a project kept of that is damaged or missing, nobody may claim that its
patients are new to the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.bundle.format import BundleFacts
from engine.bundle.read import read_facts
from engine.contract.config import BackboneConfig
from engine.contract.errors import BundleError
from engine.contract.events import Warned
from engine.contract.searching import ENSEMBLE
from engine.evaluate.score import FinishedRun
from engine.jobs.source_bundle import KEPT_FOLDER
from engine.models.weights import MADE, SCRATCH, added_weights, weights_info
from engine.project.folder import RUNS_FOLDER
from engine.project.learned_before import is_known, records_of_pretraining
from engine.project.run_data import read_run_data
from engine.project.store import Project
from engine.project.table import TrainingTable

_REMEDY: Final = "Choose other weights, or measure on patients that they have not seen."
_UNTOLD: Final = (
    "This backbone was pre-trained on your projects by an earlier version of RadTune, which didn't "
    "keep on which images. If this project was one of them, results on its validation and test "
    "images may be too good."
)
_LOST: Final = (
    "This backbone was pre-trained on this project, and what the project kept of that (in its "
    "folder 'pretrained') is damaged or missing, so nothing tells on which patients. Results on "
    "its validation and test images may be too good."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learned:
    """What a network learned from.

    Attributes:
        records: Row ids of images, int64 ``(N,)``, as far as it is known.
        unknown: Why that is not all, in a sentence; empty if it is.
    """

    records: NDArray[np.int64]
    unknown: str = ""


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
    learned = _of_backbone(project, digest)
    if counts := _counts(project, table, learned.records):
        what = (
            f"This backbone was pre-trained on the patients of {counts}, before the images were "
            "divided anew: its results on them are too good."
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
    found = list(_of_classifier(project, facts))
    said = [part.unknown for part in found if part.unknown]
    if counts := _counts(project, table, _together(found)):
        said.insert(
            0,
            f"This classifier learned from the patients of {counts}, before the images were "
            "divided anew: its results on them are too good.",
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
    learned = _of_backbone(project, digest)
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
    found = [_of_backbone(project, digest) for digest in digests]
    for name in names:
        found += _of_applied(project, project.folder / RUNS_FOLDER / name)
    known = is_known(project, table, _together(found))
    if not known.any() and any(part.unknown for part in found):
        return None
    return set(table.groups[known].tolist())


def _together(parts: Iterable[_Learned]) -> NDArray[np.int64]:
    return np.concatenate([np.array([], dtype=np.int64), *(part.records for part in parts)])


def _of_backbone(project: Project, digest: str) -> _Learned:
    """Return what pre-trained weights learned from of a project."""
    records = records_of_pretraining(project, digest)
    if records is None:
        return _nothing_known(_LOST)
    if not len(records) and _is_untold(digest):
        return _nothing_known(_UNTOLD)
    return _Learned(records=records)


def _of_classifier(project: Project, facts: BundleFacts) -> Iterator[_Learned]:
    """Yield what a bundle's networks learned from, and those that they began with."""
    for backbone in (facts.backbone, *facts.members):
        yield _of_backbone(project, backbone.weights_digest)
    if (run := project.run_of_mark(str(facts.data.get("run_mark", "")))) is not None:
        yield _of_run(project, run)
        yield from _of_applied(project, project.run_folder(run))


def _of_run(project: Project, run: str) -> _Learned:
    """Return what a run was trained on."""
    then = read_run_data(project.run_folder(run))
    if then is not None:
        return _Learned(records=then.records[then.split == 0])
    summary = project.run_summary(run)
    if not summary.is_stale and summary.method != ENSEMBLE:  # one of folds has its own division
        now = project.training_table()
        return _Learned(records=now.record_ids[now.split == 0])
    return _nothing_known(
        f"On which patients this classifier was trained is not known any more: images.npz in the "
        f"folder of run {run} is damaged or missing, and the images have changed or were divided "
        "anew since. Its results on this project may be too good."
    )


def _of_applied(project: Project, folder: Path) -> Iterator[_Learned]:
    """Yield what the classifier learned from that the run of a folder applies, if it does."""
    kept = folder / KEPT_FOLDER
    if not kept.is_dir():
        return
    try:
        yield from _of_classifier(project, read_facts(kept))
    except BundleError:
        yield _nothing_known(
            f"Which classifier run {folder.name} applied is not known any more: its copy in the "
            "run's folder is damaged. Results on this project may be too good."
        )


def _nothing_known(why: str) -> _Learned:
    return _Learned(records=np.array([], dtype=np.int64), unknown=why)


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


def _is_untold(digest: str) -> bool:
    """Return whether an earlier version pre-trained the weights."""
    return any(w.digest == digest and w.kind == MADE and not w.is_noted for w in added_weights())
