"""What the Evaluate page works out from a result: which images, which rates; no engine needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.contract.results import CasePrediction, EvaluationResult, RocCurve

__all__ = [
    "cases_of_cell",
    "largest_errors",
    "positive_index",
    "predicted_class",
    "rates_at",
    "recognised",
]


def positive_index(result: EvaluationResult) -> int | None:
    """Return the index of the positive class of two."""
    return result.classes.index(result.positive) if result.positive in result.classes else None


def predicted_class(result: EvaluationResult, case: CasePrediction) -> int:
    """Return what an image counts as: by the locked threshold, else the most probable class."""
    index = positive_index(result)
    if result.threshold is None or index is None:
        return max(range(len(case.probabilities)), key=case.probabilities.__getitem__)
    return index if case.probabilities[index] >= result.threshold else 1 - index


def largest_errors(result: EvaluationResult, n_most: int = 24) -> list[CasePrediction]:
    """Return wrongly classified images, the surest mistakes first."""
    wrong = [case for case in result.cases if predicted_class(result, case) != case.label]
    return _worst_first(wrong)[:n_most]


def cases_of_cell(result: EvaluationResult, label: int, predicted: int) -> list[CasePrediction]:
    """Return the images of a cell of the confusion matrix, worst first."""
    return _worst_first(
        case
        for case in result.cases
        if case.label == label and predicted_class(result, case) == predicted
    )


def rates_at(curve: RocCurve, threshold: float) -> tuple[float, float]:
    """Return sensitivity and specificity when scores from ``threshold`` on count as positive.

    Args:
        curve: Points with falling thresholds.
        threshold: In [0, 1].
    """
    place = 0
    for index, value in enumerate(curve.thresholds):
        if value >= threshold:
            place = index
    return curve.tpr[place], 1.0 - curve.fpr[place]


def recognised(confusion: Sequence[Sequence[int]], index: int) -> tuple[int, int]:
    """Return how many images of a class were recognised, and how many there are."""
    return confusion[index][index], sum(confusion[index])


def _worst_first(cases: Iterable[CasePrediction]) -> list[CasePrediction]:
    return sorted(cases, key=lambda case: case.probabilities[case.label])
