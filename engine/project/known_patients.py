"""Whom the networks of a project learned from before they were trained for what it measures.

A backbone that was pre-trained on this project, and a classifier that the project exported, may
know patients who are validation or test patients since the images were divided anew. Each project
knows that of itself (:mod:`engine.project.learned_before`, marks of runs), and of the images that
it shares with others (:mod:`engine.project.learned_here`). Where what it kept of that is damaged or
missing, nobody may claim that its patients are new to the network.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.bundle_facts import FACTS_NAME, facts_digest
from engine.contract.errors import DatasetError, StorageError
from engine.contract.recipe import RECIPE_NAME
from engine.contract.records import RunSummary
from engine.contract.searching import ENSEMBLE
from engine.contract.seen_before import UNTOLD, SeenBefore, SeenPart
from engine.files import long_path, read_signed_json
from engine.project.folder import KEPT_FOLDER, RUNS_FOLDER
from engine.project.learned_before import (
    digests_of_pretrainings,
    is_of,
    patients_of,
    records_of_pretraining,
)
from engine.project.learned_here import is_list_damaged
from engine.project.run_data import read_run_data
from engine.project.store import Project
from engine.project.table import SPLIT_CODES, TrainingTable

_LOST: Final = (
    "This backbone was pre-trained on this project, and what the project kept of that (in its "
    "folder 'pretrained') is damaged or missing, so nothing tells on which patients. Results on "
    "its validation and test images may be too good."
)
_LIST_LOST: Final = (
    "The list of the images that this backbone was pre-trained on (in the folder of added weights) "
    "is damaged, so nothing tells whether this project's are among them. Results on its validation "
    "and test images may be too good."
)
_NO_RECIPE: Final = (
    "The recipe of this run is damaged or missing, so it is not known which weights it began from "
    "and whom they know."
)
_MOST_RECIPES: Final = 10_000
_ADDED: Final = "added"  # as ``engine.models.weights_facts.WeightsInfo`` says it


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a network learned from.

    Attributes:
        records: Row ids of images, int64 ``(N,)``, as far as it is known.
        unknown: Why that is not all, in a sentence; empty if it is.
    """

    records: NDArray[np.int64]
    unknown: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What the networks of a run, or of a bundle, began from.

    Attributes:
        digests: SHA-256 of pre-trained weights.
        runs: Folders, below that of runs, whose classifier may have been applied as it is.
        mark: What tells the project alone which of its runs a bundle is; empty for others.
        name: What pre-trained weights, or the classifier, are called; empty for built-in ones.
    """

    digests: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    mark: str = ""
    name: str = ""


def of_weights(project: Project, digest: str, untold: Collection[str] = ()) -> Learned:
    """Return what pre-trained weights learned from of a project.

    Args:
        project: Open.
        digest: SHA-256 of the weights.
        untold: Digests of weights that an earlier version pre-trained.
    """
    records = records_of_pretraining(project, digest)
    if records is None:
        return _nothing_known(_LOST)
    if not len(records) and digest in untold:
        return _nothing_known(UNTOLD)
    if not len(records) and is_list_damaged(digest):
        return _nothing_known(_LIST_LOST)
    return Learned(records=records)


def of_classifier(
    project: Project, origin: Origin, untold: Collection[str] = ()
) -> Iterator[Learned]:
    """Yield what a classifier's networks learned from, and those that they began with.

    Args:
        project: Open.
        origin: As the classifier's bundle says it.
        untold: As for :func:`of_weights`.
    """
    for digest in origin.digests:
        yield of_weights(project, digest, untold)
    if (run := project.run_of_mark(origin.mark)) is not None:
        yield _of_run(project, run)
        own = _kept_origin(project, run)
        for each in (run,) if own is None else own.runs:  # also those that it combines
            yield from of_applied(project, each, untold)


def of_applied(project: Project, run: str, untold: Collection[str] = ()) -> Iterator[Learned]:
    """Yield what the classifier learned from that a run applies as it is, if it does.

    Args:
        project: Open.
        run: Folder below that of runs.
        untold: As for :func:`of_weights`.
    """
    kept = project.folder / RUNS_FOLDER / run / KEPT_FOLDER
    if not kept.is_dir():
        return
    origin = _kept_classifier(kept)
    if origin is None:
        yield _nothing_known(
            f"Which classifier run {Path(run).name} applied is not known any more: its copy in the "
            "run's folder is damaged. Results on this project may be too good."
        )
    else:
        yield from of_classifier(project, origin, untold)


def of_origin(project: Project, origin: Origin, untold: Collection[str] = ()) -> list[Learned]:
    """Return what the networks of a run learned from before the run."""
    found = [of_weights(project, digest, untold) for digest in origin.digests]
    for run in origin.runs:
        found += of_applied(project, run, untold)
    return found


def put_together(parts: Iterable[Learned]) -> NDArray[np.int64]:
    """Return the images of several, int64 ``(N,)``."""
    return np.concatenate([np.array([], dtype=np.int64), *(part.records for part in parts)])


def with_origins(project: Project, runs: Sequence[RunSummary]) -> tuple[RunSummary, ...]:
    """Return runs with the names of their weights, and whom their networks knew before.

    Of a run whose data have changed since, it is said of the images as they were.
    """
    tables = _Tables(project)
    return tuple(_with_origin(project, run, tables) for run in runs)


def seen_by_weights(project: Project) -> dict[str, SeenBefore]:
    """Return what weights that were pre-trained on a project know of it, by their SHA-256."""
    tables = _Tables(project)
    found = {}
    for digest in digests_of_pretrainings(project):
        learned = of_weights(project, digest)
        if (table := tables.now) is not None:
            found[digest] = _seen(table, is_of(table, tables.patients([learned])), [learned])
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Division:
    """The images of a run and how they were divided; as in :class:`TrainingTable`."""

    groups: NDArray[np.int64]
    patients: NDArray[np.int64]
    split: NDArray[np.int8]


class _Tables:
    """The images now, those of earlier runs and those that weights learned from.

    They are read when they are first asked for: many runs begin from the same weights.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._is_read = False
        self._now: TrainingTable | None = None
        self._patients: dict[bytes, NDArray[np.int64]] = {}
        self._learned: dict[str, Learned] = {}

    @property
    def now(self) -> TrainingTable | None:
        """The usable images; None if nothing can be learned from them."""
        if not self._is_read:
            self._is_read = True
            try:
                self._now = self._project.training_table()
            except DatasetError:
                self._now = None
        return self._now

    def patients(self, learned: Sequence[Learned]) -> NDArray[np.int64]:
        """Return the patients that were learned from."""
        records = put_together(learned)
        key = records.tobytes()
        if key not in self._patients:
            self._patients[key] = patients_of(self._project, records)
        return self._patients[key]

    def of_weights(self, digest: str) -> Learned:
        """Return what weights learned from, as :func:`of_weights`."""
        if digest not in self._learned:
            self._learned[digest] = of_weights(self._project, digest)
        return self._learned[digest]

    def of(self, run: RunSummary) -> TrainingTable | _Division | None:
        """Return the images as they were for a run; None if that isn't known."""
        if not run.is_stale:
            return self.now
        then = read_run_data(self._project.run_folder(run.id))
        if then is None:
            return None
        return _Division(groups=then.patients, patients=then.patients, split=then.split)


def _with_origin(project: Project, run: RunSummary, tables: _Tables) -> RunSummary:
    origin = _kept_origin(project, run.id)
    if origin is None:
        unknown = _NO_RECIPE if digests_of_pretrainings(project) else ""
        return replace(run, seen=SeenBefore(unknown=unknown))
    learned = [tables.of_weights(digest) for digest in origin.digests]
    for each in origin.runs:
        learned += of_applied(project, each)
    seen = SeenBefore(unknown=_first_unknown(learned))
    if any(len(part.records) for part in learned) and (table := tables.of(run)) is not None:
        seen = _seen(table, is_of(table, tables.patients(learned)), learned)
    unlisted = [d for d in origin.digests if d and not len(tables.of_weights(d).records)]
    return replace(run, weights_name=origin.name, seen=replace(seen, unlisted=tuple(unlisted)))


def _seen(
    table: TrainingTable | _Division, known: NDArray[np.bool_], learned: Sequence[Learned]
) -> SeenBefore:
    train, val, test = (_part(table, known, SPLIT_CODES[part]) for part in ("train", "val", "test"))
    return SeenBefore(train=train, val=val, test=test, unknown=_first_unknown(learned))


def _part(table: TrainingTable | _Division, known: NDArray[np.bool_], code: int) -> SeenPart:
    chosen = table.split == code
    return SeenPart(
        n_images=int(chosen.sum()),
        n_known=int((known & chosen).sum()),
        n_patients=len(np.unique(table.groups[chosen])),
        n_known_patients=len(np.unique(table.groups[known & chosen])),
    )


def _first_unknown(learned: Sequence[Learned]) -> str:
    return next((part.unknown for part in learned if part.unknown), "")


def _kept_origin(project: Project, run: str) -> Origin | None:
    """Return what the networks of a run began from; None if its recipe is damaged or missing."""
    path = project.run_folder(run) / RECIPE_NAME
    try:
        return _origin_in(path, long_path(path).stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=_MOST_RECIPES)
def _origin_in(path: Path, _changed_ns: int) -> Origin | None:
    """Return what a recipe says; it is read once, since the history is read at every change."""
    try:
        plain = read_signed_json(path)
        members = plain.get("members") or ()
        weights: list[dict[str, Any]] = [
            plain.get("weights") or {},
            *(member["weights"] for member in members),
        ]
        classifier = plain.get("classifier") or {}
        names = [str(facts["source"]) for facts in weights if facts.get("state") == _ADDED]
        return Origin(
            digests=tuple(dict.fromkeys(str(facts.get("digest", "")) for facts in weights)),
            runs=(path.parent.name, *(str(member["name"]) for member in members)),
            name=str(classifier.get("name") or ", ".join(dict.fromkeys(names))),
        )
    except (StorageError, AttributeError, KeyError, TypeError):
        return None


def _kept_classifier(folder: Path) -> Origin | None:
    """Return what a run's copy of a classifier says; None if it is damaged."""
    try:
        plain = json.loads(long_path(folder / FACTS_NAME).read_text(encoding="utf-8"))
        if plain["facts_digest"] != facts_digest(plain):
            return None
        backbones = (plain["backbone"], *plain.get("members", ()))
        return Origin(
            digests=tuple(str(backbone["weights_digest"]) for backbone in backbones),
            mark=str(plain["data"].get("run_mark", "")),
        )
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None


def _of_run(project: Project, run: str) -> Learned:
    """Return what a run was trained on."""
    then = read_run_data(project.run_folder(run))
    if then is not None:
        return Learned(records=then.records[then.split == 0])
    summary = project.run_summary(run)
    if not summary.is_stale and summary.method != ENSEMBLE:  # one of folds has its own division
        now = project.training_table()
        return Learned(records=now.record_ids[now.split == 0])
    return _nothing_known(
        f"On which patients this classifier was trained is not known any more: images.npz in the "
        f"folder of run {run} is damaged or missing, and the images have changed or were divided "
        "anew since. Its results on this project may be too good."
    )


def _nothing_known(why: str) -> Learned:
    return Learned(records=np.array([], dtype=np.int64), unknown=why)
