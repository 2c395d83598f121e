"""Counts and rates of decisions, and the threshold that makes them.

Confusion matrices have the reference in rows and the prediction in columns. The rate functions
take any leading axes, ``(..., K, K)``, so that thousands of resampled matrices are one call.
A rate whose denominator is zero is ``nan`` (nothing was measured), never 0 or 1; so is a macro
average over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.metrics.inputs import as_binary_cases, as_labels
from engine.metrics.ranking import cumulative_counts

Confusion = NDArray[Any]
"""Counts or weights, shape ``(..., K, K)``, integers or floats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRates:
    """One class against the rest.

    Attributes:
        class_index: Which class.
        n_reference: Cases that are of this class.
        n_predicted: Cases that were called this class.
        sensitivity: Share of the cases of this class that were called it (recall).
        specificity: Share of the other cases that weren't called it.
        ppv: Share of the cases called this class that are of it (precision).
        npv: Share of the cases not called this class that aren't of it.
        f1: Harmonic mean of sensitivity and PPV.
    """

    class_index: int
    n_reference: int
    n_predicted: int
    sensitivity: float
    specificity: float
    ppv: float
    npv: float
    f1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadlineRates:
    """Rates of the positive class or, without one, macro averages over the classes.

    ``accuracy`` is the share of all cases called right. ``balanced_accuracy`` is the mean
    sensitivity over the classes, which with two classes is the mean of sensitivity and
    specificity. The others are as in :class:`ClassRates`.
    """

    accuracy: float
    balanced_accuracy: float
    sensitivity: float
    specificity: float
    ppv: float
    npv: float
    f1: float


def confusion_matrix(
    labels: ArrayLike, predictions: ArrayLike, n_classes: int
) -> NDArray[np.int64]:
    """Count cases by reference (row) and prediction (column), shape ``(K, K)``.

    Args:
        labels: True class indices, shape ``(N,)``, in ``[0, n_classes)``.
        predictions: Predicted class indices, likewise.
        n_classes: K; classes that don't occur keep their row and column of zeros.

    Raises:
        ValueError: If the lengths differ or an index is out of range.
    """
    reference, predicted = as_labels(labels, n_classes), as_labels(predictions, n_classes)
    if len(reference) != len(predicted):
        raise ValueError(f"{len(reference)} labels but {len(predicted)} predictions")
    cells = np.bincount(reference * n_classes + predicted, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def quadratic_weighted_kappa(confusion: ArrayLike) -> float:
    """Return the agreement on grades beyond chance: 1 is perfect, 0 is chance.

    A disagreement counts with the square of the distance between the grades. ``nan`` where all
    cases have one grade and are called that.

    Args:
        confusion: Counts of grades in their order, shape ``(K, K)``.

    References:
        Cohen, "Weighted kappa: nominal scale agreement provision for scaled disagreement or partial
        credit", Psychological Bulletin 1968.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    grades = np.arange(len(counts))
    distance = np.square(grades[:, np.newaxis] - grades)
    by_chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / max(counts.sum(), 1.0)
    expected = float((distance * by_chance).sum())
    if expected == 0.0:
        return float("nan")
    return 1.0 - float((distance * counts).sum()) / expected


def sensitivity(confusion: Confusion) -> NDArray[np.float64]:
    """Return TP / (TP + FN) per class, shape ``(..., K)``."""
    return _ratio(_hits(confusion), confusion.sum(axis=-1))


def specificity(confusion: Confusion) -> NDArray[np.float64]:
    """Return TN / (TN + FP) per class against the rest, shape ``(..., K)``."""
    others = _total(confusion) - confusion.sum(axis=-1)
    return _ratio(others - (confusion.sum(axis=-2) - _hits(confusion)), others)


def ppv(confusion: Confusion) -> NDArray[np.float64]:
    """Return TP / (TP + FP), the positive predictive value, per class, shape ``(..., K)``.

    It holds for the prevalence of these cases only.
    """
    return _ratio(_hits(confusion), confusion.sum(axis=-2))


def npv(confusion: Confusion) -> NDArray[np.float64]:
    """Return TN / (TN + FN), the negative predictive value, per class, shape ``(..., K)``.

    It holds for the prevalence of these cases only.
    """
    others = _total(confusion) - confusion.sum(axis=-2)
    return _ratio(others - (confusion.sum(axis=-1) - _hits(confusion)), others)


def f1(confusion: Confusion) -> NDArray[np.float64]:
    """Return 2 TP / (2 TP + FP + FN) per class, shape ``(..., K)``.

    0 for a class that is present and never found; ``nan`` for one neither present nor predicted.
    """
    return _ratio(2 * _hits(confusion), confusion.sum(axis=-1) + confusion.sum(axis=-2))


def accuracy(confusion: Confusion) -> NDArray[np.float64]:
    """Return the share of all cases called right, shape ``(...)``."""
    return _ratio(_hits(confusion).sum(axis=-1), confusion.sum(axis=(-2, -1)))


def balanced_accuracy(confusion: Confusion) -> NDArray[np.float64]:
    """Return the mean sensitivity over the classes, shape ``(...)``; ``nan`` if one is absent."""
    return np.asarray(sensitivity(confusion).mean(axis=-1))


def rate_arrays(confusion: Confusion, *, positive: int | None) -> dict[str, NDArray[np.float64]]:
    """Return the :class:`HeadlineRates` by name, each of shape ``(...)``.

    Args:
        confusion: Shape ``(..., K, K)``.
        positive: Index of the positive class, or None for macro averages.

    Raises:
        ValueError: If ``positive`` is not a class.
    """
    n_classes = confusion.shape[-1]
    if positive is not None and not 0 <= positive < n_classes:
        raise ValueError(f"positive must be None or in [0, {n_classes}), not {positive}")
    rates = {"accuracy": accuracy(confusion), "balanced_accuracy": balanced_accuracy(confusion)}
    for name, per_class in class_rate_arrays(confusion).items():
        rates[name] = np.asarray(
            per_class.mean(axis=-1) if positive is None else per_class[..., positive]
        )
    return rates


def class_rate_arrays(confusion: Confusion) -> dict[str, NDArray[np.float64]]:
    """Return the rates of :class:`ClassRates` by name, each of shape ``(..., K)``."""
    return {
        "sensitivity": sensitivity(confusion),
        "specificity": specificity(confusion),
        "ppv": ppv(confusion),
        "npv": npv(confusion),
        "f1": f1(confusion),
    }


def headline_rates(confusion: NDArray[np.int64], *, positive: int | None) -> HeadlineRates:
    """Return the rates of the positive class, or macro averages when ``positive`` is None.

    Args:
        confusion: One matrix, shape ``(K, K)``.
        positive: Index of the positive class; None where there are more than two classes.

    Raises:
        ValueError: If ``positive`` is not a class.
    """
    rates = rate_arrays(confusion, positive=positive)
    return HeadlineRates(**{name: float(value) for name, value in rates.items()})


def per_class_rates(confusion: NDArray[np.int64]) -> tuple[ClassRates, ...]:
    """Return the table of every class against the rest, in class order.

    Args:
        confusion: One matrix, shape ``(K, K)``.
    """
    rates = class_rate_arrays(confusion)
    return tuple(
        ClassRates(
            class_index=k,
            n_reference=int(confusion[k].sum()),
            n_predicted=int(confusion[:, k].sum()),
            **{name: float(values[k]) for name, values in rates.items()},
        )
        for k in range(len(confusion))
    )


def predicted_positive(scores: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Return which cases are called positive: those with a score >= threshold.

    The comparison is made in float64. NumPy would round the threshold to the precision of
    float32 scores, and so could move it across a score it was placed beside.
    """
    return np.asarray(scores, dtype=np.float64) >= threshold


def youden_threshold(scores: ArrayLike, is_positive: ArrayLike) -> float:
    """Return the threshold with the largest sensitivity + specificity - 1 (Youden's J).

    A case is called positive when its score >= threshold. Every threshold between two
    neighbouring scores makes the same calls, so the middle between them is returned: it leaves
    as much room on either side as new cases may need. Among cuts of equal J the one with the
    most similar sensitivity and specificity wins, then the more sensitive one. When no cut beats
    chance, that may be the lowest score, which calls every case positive.

    Choose it on validation and lock it: on the cases it was chosen on, J is too hopeful.

    Args:
        scores: Finite, shape ``(N,)``, higher meaning more positive.
        is_positive: Reference, shape ``(N,)``.

    Raises:
        ValueError: If a class is absent, a score isn't finite, or the shapes differ.

    References:
        Youden, "Index for rating diagnostic tests", Cancer 1950.
    """
    values, positive = as_binary_cases(scores, is_positive)
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite")
    if not positive.any() or positive.all():
        raise ValueError("a threshold needs positive and negative cases")
    cuts, true_positives, false_positives = cumulative_counts(values, positive)
    n_positive, n_negative = int(true_positives[-1]), int(false_positives[-1])
    # In whole numbers (times the number of pairs), so that equal cuts compare as equal.
    found, alarms = true_positives * n_negative, false_positives * n_positive
    imbalance = np.abs(found + alarms - n_positive * n_negative)
    best = int(np.lexsort((-found, imbalance, alarms - found))[0])
    return _between(cuts, best)


def _between(cuts: NDArray[np.float64], best: int) -> float:
    """Return the middle between a falling cut and the next one, above the lower of the two."""
    upper = float(cuts[best])
    if best + 1 == len(cuts):
        return upper
    lower = float(cuts[best + 1])
    middle = lower / 2 + upper / 2
    return middle if lower < middle <= upper else upper


def _hits(confusion: Confusion) -> Confusion:
    return np.asarray(np.diagonal(confusion, axis1=-2, axis2=-1))


def _total(confusion: Confusion) -> Confusion:
    return np.asarray(confusion.sum(axis=(-2, -1), keepdims=True))[..., 0]


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> NDArray[np.float64]:
    """Divide where there is something to divide by; ``nan`` elsewhere."""
    ratio = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=ratio, where=np.asarray(denominator) > 0)
    return ratio
