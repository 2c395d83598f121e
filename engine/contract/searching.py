"""Results of cross-validation, of the search, of the learning-rate test and of combining runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from engine.contract.config import ExperimentConfig
from engine.contract.results import Estimate

ENSEMBLE: Final = "ensemble"
"""Method key of a run that averages others; it can't be trained, so it has no card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldResult:
    """One part of a cross-validation: what a network says of images that it never saw.

    Attributes:
        fold: From 1.
        n_train: Images that were learned from.
        n_held_out: Images of the fold.
        auroc: On the fold.
        epochs: Passes that were made; 0 for features-only methods.
    """

    fold: int
    n_train: int
    n_held_out: int
    auroc: float
    epochs: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossvalResult:
    """How well settings do on all training and validation images; the test images took no part.

    Attributes:
        id: Name of its folder among the runs.
        auroc: Of all out-of-fold predictions together, with the 95 % interval over patients.
        mean: Of the folds' own AUROCs.
        sd: Their standard deviation (n - 1): how much one division differs from another.
        backbone: Its key.
        method: Its key.
        seconds: Time of all folds, without pauses.
        config: The settings, with which a run can be trained.
        looks: How often the test set has been looked at: always 0.
    """

    id: str
    n_folds: int
    auroc: Estimate
    mean: float
    sd: float
    folds: tuple[FoldResult, ...]
    n_images: int
    n_patients: int
    classes: tuple[str, ...]
    positive: str | None
    backbone: str
    method: str
    seconds: float
    config: dict[str, Any]
    sentence: str = ""
    looks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedSettings:
    """One trial of a search.

    Attributes:
        number: Of the candidate, from 0, in the order in which they were drawn.
        changes: What differs from the starting settings, in plain words.
        round: From 1; later rounds train longer. What makes no passes goes along into later rounds
            without another training, once it has learned from as many images as they use.
        n_rounds: How many rounds the search has.
        epochs: Passes that were made; 0 for features-only methods.
        n_train: Images that were learned from.
        auroc: On the validation images.
        loss: On the validation images; the lower is better at equal AUROC.
        seconds: What such a training takes by itself: descriptions of images that were at hand from
            earlier trainings count as if they had been made anew.
        is_complete: Whether it wasn't cut short by the end of the time.
        is_as_good: Whether it trails the best by no more than chance explains (one standard error
            of their difference over patients).
        config: All its settings.
    """

    number: int
    backbone: str
    method: str
    changes: tuple[str, ...]
    round: int
    n_rounds: int
    epochs: int
    n_train: int
    auroc: float
    loss: float
    seconds: float
    is_complete: bool
    config: dict[str, Any]
    is_as_good: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search found within its time, by validation images alone.

    Attributes:
        id: Name of its folder among the runs.
        minutes: The time that it was given.
        seconds: The time that it took, over all its parts, without pauses.
        rows: Each candidate's last trial, the best first: those of the last round, then those of
            the round before, and so on.
        n_trials: Trainings that were made in all; what goes along into a later round is none.
        best: Settings of the first row, with which a run can be trained.
        notes: What was left out, and why.
        sentences: The result in plain words, and what the time didn't allow to try.
    """

    id: str
    minutes: float
    seconds: float
    rows: tuple[TriedSettings, ...]
    n_trials: int
    best: ExperimentConfig
    notes: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LrRangeResult:
    """The loss while the learning rate rises from far too small to far too large.

    Attributes:
        rates: Rate of the head at each update, rising by the same factor each time.
        losses: Loss of the same training images after each update.
        smoothed: The same, averaged over neighbouring updates.
        suggested: Where the smoothed loss stops falling, and at most half of the rate from which
            training breaks; where it never fell clearly, the present rate, if that is safe.
        steepest: Where it falls fastest.
        lowest: Where it is lowest.
        sentence: What that means.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggested: float
    steepest: float
    lowest: float
    current: float
    seconds: float
    sentence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleMember:
    """One of the networks whose probabilities are averaged.

    Attributes:
        name: A run's id, or a fold of a cross-validation as ``<id>/fold-1``.
        val_auroc: On the validation images; of a fold, on the images held out from it.
    """

    name: str
    backbone: str
    method: str
    val_auroc: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleResult:
    """A run made of others: in the history, to be evaluated and exported like any other.

    Attributes:
        run: Its id.
        val_auroc: Of the averaged probabilities on the validation images; of folds, of the
            out-of-fold predictions.
    """

    run: str
    members: tuple[EnsembleMember, ...] = field(default_factory=tuple)
    val_auroc: float
    sentence: str = ""
