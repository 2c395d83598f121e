"""How well scores rank positive above negative cases, whatever the threshold.

A single number (AUROC, average precision) is ``nan`` where it isn't defined because a class is
absent, so that an epoch on an unlucky fold doesn't end a run. A curve has no such value: it
raises ``ValueError``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.metrics.inputs import as_binary_cases, as_class_cases


class RocCurve(NamedTuple):
    """Points of a ROC curve, all of shape ``(M,)``, from (0, 0) to (1, 1).

    Attributes:
        fpr: False-positive rate, 1 - specificity, rising.
        tpr: True-positive rate, sensitivity, rising.
        thresholds: Falling; a case is called positive when its score >= threshold. The first is
            ``inf`` (nobody is positive), which JSON can't hold: drop it or write ``null``.
    """

    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]
    thresholds: NDArray[np.float64]


class PrecisionRecallCurve(NamedTuple):
    """Points of a precision-recall curve, all of shape ``(M,)``, from recall 0 to recall 1.

    Attributes:
        precision: Positive predictive value; 1 by convention at the first point.
        recall: Sensitivity, rising.
        thresholds: Falling, as in :class:`RocCurve`, the first ``inf``.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    thresholds: NDArray[np.float64]


class CumulativeCounts(NamedTuple):
    """Calls at every distinct score, all of shape ``(M,)``.

    Attributes:
        thresholds: The distinct scores, falling.
        true_positives: Positive cases with a score >= threshold.
        false_positives: Negative cases with a score >= threshold.
    """

    thresholds: NDArray[np.float64]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]


def cumulative_counts(scores: ArrayLike, is_positive: ArrayLike) -> CumulativeCounts:
    """Count true and false positives at every distinct score; tied scores are called together.

    Raises:
        ValueError: If the inputs differ in shape, hold NaN, or there are no cases.
    """
    values, positive = as_binary_cases(scores, is_positive)
    if values.size == 0:
        raise ValueError("there are no cases")
    order = np.argsort(-values, kind="stable")
    values, positive = values[order], positive[order]
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    true_positives = np.cumsum(positive, dtype=np.int64)[ends]
    return CumulativeCounts(values[ends], true_positives, ends + 1 - true_positives)


def auroc(scores: ArrayLike, is_positive: ArrayLike) -> float:
    """Return the area under the ROC curve; ``nan`` when a class is absent.

    It is the probability that a random positive case scores above a random negative one, ties
    counting half: the Mann-Whitney statistic divided by the number of pairs.

    Args:
        scores: Shape ``(N,)``, higher meaning more positive.
        is_positive: Reference, shape ``(N,)``, booleans or 0/1.

    Raises:
        ValueError: If the shapes differ or a score is NaN.

    References:
        Hanley and McNeil, "The meaning and use of the area under a receiver operating
        characteristic (ROC) curve", Radiology 1982.
    """
    values, positive = as_binary_cases(scores, is_positive)
    positives, negatives = np.sort(values[positive]), np.sort(values[~positive])
    if positives.size == 0 or negatives.size == 0:
        return float("nan")
    below = np.searchsorted(negatives, positives, side="left").sum()
    up_to = np.searchsorted(negatives, positives, side="right").sum()
    return float((below + up_to) / (2 * positives.size * negatives.size))


def roc_curve(
    scores: ArrayLike, is_positive: ArrayLike, *, drop_collinear: bool = True
) -> RocCurve:
    """Return the ROC curve.

    Args:
        scores: Shape ``(N,)``, higher meaning more positive.
        is_positive: Reference, shape ``(N,)``.
        drop_collinear: Leave out points inside a straight stretch. The curve and its area stay
            the same with far fewer points; thresholds inside a stretch are lost.

    Raises:
        ValueError: If a class is absent, the shapes differ, or a score is NaN.
    """
    thresholds, true_positives, false_positives = cumulative_counts(scores, is_positive)
    n_positive, n_negative = int(true_positives[-1]), int(false_positives[-1])
    if n_positive == 0 or n_negative == 0:
        raise ValueError("a ROC curve needs positive and negative cases")
    if drop_collinear and thresholds.size > 2:
        turns = (np.diff(true_positives, n=2) != 0) | (np.diff(false_positives, n=2) != 0)
        kept = np.concatenate(([True], turns, [True]))
        thresholds = thresholds[kept]
        true_positives, false_positives = true_positives[kept], false_positives[kept]
    return RocCurve(
        np.concatenate(([0.0], false_positives / n_negative)),
        np.concatenate(([0.0], true_positives / n_positive)),
        np.concatenate(([np.inf], thresholds)),
    )


def precision_recall_curve(scores: ArrayLike, is_positive: ArrayLike) -> PrecisionRecallCurve:
    """Return precision against recall at every distinct score until recall reaches 1.

    Precision depends on how common the positive class is in these cases: it doesn't carry over
    to a population with another prevalence.

    Raises:
        ValueError: If there is no positive case, the shapes differ, or a score is NaN.
    """
    thresholds, true_positives, false_positives = cumulative_counts(scores, is_positive)
    n_positive = int(true_positives[-1])
    if n_positive == 0:
        raise ValueError("a precision-recall curve needs positive cases")
    last = int(np.searchsorted(true_positives, n_positive)) + 1
    found = true_positives[:last]
    return PrecisionRecallCurve(
        np.concatenate(([1.0], found / (found + false_positives[:last]))),
        np.concatenate(([0.0], found / n_positive)),
        np.concatenate(([np.inf], thresholds[:last])),
    )


def average_precision(scores: ArrayLike, is_positive: ArrayLike) -> float:
    """Return precision averaged over the gains in recall; ``nan`` without a positive case.

    The step-wise sum, not the trapezoid rule, which is too hopeful between points. A useless
    classifier gets the prevalence, not 0.5.

    Raises:
        ValueError: If the shapes differ or a score is NaN.

    References:
        Davis and Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006.
    """
    values, positive = as_binary_cases(scores, is_positive)
    if not positive.any():
        return float("nan")
    precision, recall, _ = precision_recall_curve(values, positive)
    return float(np.sum(np.diff(recall) * precision[1:]))


def ovr_auroc(probs: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Return the AUROC of every class against the rest, shape ``(K,)``.

    A class that is absent, or that is the only one present, has ``nan``.

    Args:
        probs: Class scores, shape ``(N, K)``.
        labels: True class indices, shape ``(N,)``, in ``[0, K)``.

    Raises:
        ValueError: If the shapes don't fit, a score is NaN, or a label is out of range.
    """
    values, indices = as_class_cases(probs, labels)
    return np.array([auroc(values[:, k], indices == k) for k in range(values.shape[1])])


def macro_ovr_auroc(probs: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean one-vs-rest AUROC, every class counting alike.

    ``nan`` when a class is absent: leaving it out silently would compare different averages.

    Raises:
        ValueError: As :func:`ovr_auroc`.
    """
    return float(ovr_auroc(probs, labels).mean())
