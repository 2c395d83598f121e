"""From probabilities to the numbers, intervals and sentence of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.contract.results import (
    CasePrediction,
    ClassResult,
    Estimate,
    EvaluationResult,
    RocCurve,
)
from engine.contract.units import units
from engine.metrics.classification import (
    confusion_matrix,
    headline_rates,
    per_class_rates,
    predicted_positive,
    quadratic_weighted_kappa,
    youden_threshold,
)
from engine.metrics.few_groups import scarce_classes, scarcity_sentence
from engine.metrics.intervals import (
    Interval,
    bootstrap_auroc,
    bootstrap_interval,
    bootstrap_ovr_auroc,
    bootstrap_rates,
)
from engine.metrics.ranking import roc_curve


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The images of one split with what the network says.

    Attributes:
        probabilities: Shape ``(N, K)``, rows summing to 1; of findings each stands alone.
        labels: Reference class indices, shape ``(N,)``; of findings ``(N, K)``, -1 unknown.
        patients: Patient of every image, shape ``(N,)``; what the intervals resample.
        records: Record ids, shape ``(N,)``.
        unit: What most patients really are: ``patient``, ``study`` or ``file``.
    """

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    patients: NDArray[np.int64]
    records: NDArray[np.int64]
    unit: str = "patient"


def choose_threshold(val: Scored, positive: int | None) -> float | None:
    """Return Youden's threshold on validation, or None above two classes."""
    if val.probabilities.shape[1] != 2:
        return None
    index = _positive_index(positive)
    return youden_threshold(val.probabilities[:, index], val.labels == index)


def decide(
    probabilities: NDArray[np.float64], threshold: float | None, positive: int | None
) -> NDArray[np.int64]:
    """Return predicted class indices, shape ``(N,)``: by threshold, else the most probable."""
    if threshold is None:
        return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
    index = _positive_index(positive)
    is_positive = predicted_positive(probabilities[:, index], threshold)
    predictions: NDArray[np.int64] = np.where(is_positive, index, 1 - index)
    return predictions


def build_result(
    run: str,
    *,
    test: Scored,
    val: Scored,
    class_names: tuple[str, ...],
    positive: int | None,
    looks: int,
    n_resamples: int,
    seed: int,
    is_ordinal: bool = False,
    known: Set[int] | None = frozenset(),
) -> EvaluationResult:
    """Return everything that is reported about a run on the test set.

    The threshold comes from validation alone; the test set is only measured. ``known`` are patients
    that the network learned from before the run; None if nobody knows.
    """
    n_classes = len(class_names)
    is_binary = n_classes == 2
    index = _positive_index(positive) if is_binary else None
    threshold = choose_threshold(val, positive)
    predictions = decide(test.probabilities, threshold, positive)
    confusion = confusion_matrix(test.labels, predictions, n_classes)
    rates = headline_rates(confusion, positive=index)
    auroc, class_aurocs = _aurocs(test, index, n_resamples, seed)
    rate_intervals = bootstrap_rates(
        test.labels,
        predictions,
        test.patients,
        n_classes,
        positive=index,
        n_resamples=n_resamples,
        seed=seed,
    )
    intervals = {name: estimate_of(item) for name, item in rate_intervals.headline.items()}
    if is_ordinal:
        intervals["weighted_kappa"] = _kappa(test, predictions, n_classes, n_resamples, seed)
    positive_name = class_names[index] if index is not None else None
    n_patients, n_known = len(np.unique(test.patients)), count_known(test, known)
    return EvaluationResult(
        run=run,
        auroc=auroc.estimate,
        auroc_low=auroc.low,
        auroc_high=auroc.high,
        accuracy=rates.accuracy,
        balanced_accuracy=rates.balanced_accuracy,
        sensitivity=rates.sensitivity,
        specificity=rates.specificity,
        f1=rates.f1,
        threshold=threshold,
        n_images=len(test.labels),
        n_patients=n_patients,
        classes=class_names,
        positive=positive_name,
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        per_class=tuple(
            ClassResult(
                name=class_names[row.class_index],
                n_images=row.n_reference,
                auroc=class_aurocs[row.class_index],
                sensitivity=row.sensitivity,
                specificity=row.specificity,
                precision=row.ppv,
                f1=row.f1,
            )
            for row in per_class_rates(confusion)
        ),
        looks=looks,
        intervals={"auroc": estimate_of(auroc), **intervals},
        roc=_curves(test, class_names, index),
        val_roc=_curves(val, class_names, index),
        cases=tuple(
            CasePrediction(
                record=int(record), label=int(label), probabilities=tuple(float(p) for p in row)
            )
            for record, label, row in zip(
                test.records, test.labels, test.probabilities, strict=True
            )
        ),
        sentence=_sentence(
            auroc.estimate, positive_name, measured_on(n_patients, n_known, test.unit)
        ),
        n_known=n_known,
        caution=scarcity_caution(test, class_names),
    )


def _kappa(
    test: Scored, predictions: NDArray[np.int64], n_classes: int, n_resamples: int, seed: int
) -> Estimate:
    def kappa(images: NDArray[np.int64]) -> float:
        counts = confusion_matrix(test.labels[images], predictions[images], n_classes)
        return quadratic_weighted_kappa(counts)

    return estimate_of(bootstrap_interval(kappa, test.patients, n_resamples=n_resamples, seed=seed))


def _positive_index(positive: int | None) -> int:
    return 1 if positive is None else positive


def _aurocs(
    test: Scored, index: int | None, n_resamples: int, seed: int
) -> tuple[Interval, list[float]]:
    """Return the headline AUROC and each class's own (one against the rest)."""
    if index is None:
        macro, per_class = bootstrap_ovr_auroc(
            test.probabilities, test.labels, test.patients, n_resamples=n_resamples, seed=seed
        )
        return macro, [item.estimate for item in per_class]
    interval = bootstrap_auroc(
        test.probabilities[:, index],
        test.labels == index,
        test.patients,
        n_resamples=n_resamples,
        seed=seed,
    )
    return interval, [interval.estimate] * 2  # of two classes one ranking mirrors the other


def _curves(scored: Scored, class_names: tuple[str, ...], index: int | None) -> dict[str, RocCurve]:
    shown = range(len(class_names)) if index is None else (index,)
    curves = {}
    for k in shown:
        is_class = scored.labels == k
        if is_class.any() and not is_class.all():
            curve = roc_curve(scored.probabilities[:, k], is_class)
            curves[class_names[k]] = RocCurve(
                fpr=tuple(curve.fpr.tolist()),
                tpr=tuple(curve.tpr.tolist()),
                # The first threshold is infinite, which JSON can't hold; probabilities end at 1.
                thresholds=(2.0, *curve.thresholds[1:].tolist()),
            )
    return curves


def estimate_of(interval: Interval) -> Estimate:
    """Return an interval as a record."""
    return Estimate(value=interval.estimate, low=interval.low, high=interval.high)


def count_known(test: Scored, known: Set[int] | None) -> int | None:
    """Return how many of the patients are known ones; None if that isn't known."""
    return None if known is None else len(known & set(test.patients.tolist()))


def measured_on(n_patients: int, n_known: int | None, unit: str = "patient") -> str:
    """Return the end of a sentence: on how many patients, and whether the network knew any.

    Args:
        n_patients: Patients measured on, none of whom the run itself learned from.
        n_known: Those that its network learned from before; None if that isn't known.
        unit: What they really are: ``patient``, ``study`` or ``file``.
    """
    begin = f"measured on {units(unit, n_patients)}"
    if n_known == 0:
        return f"{begin} that were never used for training"
    if n_known is None:
        return (
            f"{begin} that this run didn't learn from; whether its network had learned from them "
            "before is not known, so this may be too good"
        )
    whom = "whom" if unit == "patient" else "which"
    return (
        f"{begin}, {n_known:,} of {whom} the network had learned from before, so this is too good"
    )


def scarcity_caution(test: Scored, class_names: Sequence[str]) -> str:
    """Return which classes the test images have too few patients of; empty if none is so small."""
    scarce = scarce_classes(test.labels, test.patients, class_names)
    return scarcity_sentence(scarce, "test", test.unit)


def _sentence(auroc: float, positive: str | None, of: str) -> str:
    if positive is None:
        return (
            "Averaged over the classes: of two random images, one of a class and one of another, "
            f"the right one gets the higher score {100 * auroc:.0f} times in 100; {of}."
        )
    return (
        f"Of two random images, one with and one without '{positive}', the one with it gets the "
        f"higher score {100 * auroc:.0f} times in 100; {of}."
    )
