"""How sure a number is: intervals from resampled patients.

Images of one patient resemble each other, so the patient is what is drawn: groups are resampled
with replacement, and all images of a drawn group come along, as often as it was drawn. Nothing is
stratified. A resample in which the number isn't defined (a class is absent) is skipped and
counted. The limits are percentiles of what remains.

Two limits of the method are handled openly. With fewer than two patients behind a number there is
no interval (``nan``). When every resample gives exactly 0 or 1 (perfect separation, no missed
case) resampling sees no doubt where there is some; Wilson's interval for as many patients takes
over, which is wide rather than wrong.

References:
    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993.
    Rutter, "Bootstrap estimation of diagnostic accuracy with patient-clustered data", Acad Radiol
    2000. Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 1997.
    Obuchowski and Lieber, "Confidence bounds when the estimated ROC area is 1.0", Acad Radiol 2002.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.metrics.classification import class_rate_arrays, rate_arrays
from engine.metrics.inputs import as_binary_cases, as_class_cases, as_labels
from engine.metrics.ranking import auroc, ovr_auroc
from engine.metrics.resampling import group_index, resampled_aurocs, resampled_counts

N_RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A number with its interval.

    Attributes:
        estimate: The number on all cases; ``nan`` when it isn't defined.
        low: Lower limit; ``nan`` when there is no interval.
        high: Upper limit; likewise.
        level: Confidence level, such as 0.95.
        n_groups: Patients (or other groups) that were resampled; trials for a proportion.
        n_resamples: Resamples the limits rest on; 0 for Wilson's interval.
        n_skipped: Resamples in which the number wasn't defined.
        method: ``bootstrap``, ``wilson``, or ``none`` where there is no interval.
    """

    estimate: float
    low: float
    high: float
    level: float
    n_groups: int
    n_resamples: int
    n_skipped: int
    method: Literal["bootstrap", "wilson", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateIntervals:
    """Intervals of every rate of a confusion matrix.

    Attributes:
        headline: By the names of :class:`~engine.metrics.classification.HeadlineRates`.
        per_class: For each class, by the names of the rates of
            :class:`~engine.metrics.classification.ClassRates`.
    """

    headline: dict[str, Interval]
    per_class: tuple[dict[str, Interval], ...]


def wilson_interval(n_successes: int, n_trials: int, *, level: float = LEVEL) -> Interval:
    """Return Wilson's score interval for a proportion.

    It assumes independent trials. With several images a patient it is too narrow for images:
    count patients, or resample them.

    Args:
        n_successes: In ``[0, n_trials]``.
        n_trials: With 0 the estimate is ``nan`` and the limits are 0 and 1.
        level: Confidence level, in ``(0, 1)``.

    Raises:
        ValueError: If the counts or the level are out of range.

    References:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    if not 0 <= n_successes <= n_trials:
        raise ValueError(f"{n_successes} successes in {n_trials} trials")
    share = n_successes / n_trials if n_trials else float("nan")
    low, high = _wilson_limits(share, n_trials, level) if n_trials else (0.0, 1.0)
    return Interval(
        estimate=share,
        low=low,
        high=high,
        level=level,
        n_groups=n_trials,
        n_resamples=0,
        n_skipped=0,
        method="wilson",
    )


def bootstrap_interval(
    statistic: Callable[[NDArray[np.int64]], float],
    groups: ArrayLike,
    *,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Return the interval of any number, resampling groups; one call a resample.

    Args:
        statistic: Takes image indices, shape ``(M,)``, in ``[0, N)``, with repeats, and returns
            the number on those images, or ``nan`` where it isn't defined.
        groups: Patient of every image, shape ``(N,)``, whole numbers.
        n_resamples: How many resamples to draw.
        level: Confidence level, in ``(0, 1)``.
        seed: The same seed gives the same resamples, here and in the functions below.

    Raises:
        ValueError: If there are no images, or the level is out of range.
    """
    index, n_groups = group_index(groups)
    by_group = np.argsort(index, kind="stable")
    estimate = float(statistic(np.arange(len(index))))
    values = [
        float(statistic(np.repeat(by_group, counts[index[by_group]])))
        for chunk in resampled_counts(n_groups, n_resamples, seed, n_cells=n_groups)
        for counts in chunk
    ]
    return summarize(estimate, np.array(values), n_groups=n_groups, level=level)


def bootstrap_auroc(
    scores: ArrayLike,
    is_positive: ArrayLike,
    groups: ArrayLike,
    *,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Return the AUROC with its interval over patients.

    The same resamples and limits as :func:`bootstrap_interval` with
    :func:`~engine.metrics.ranking.auroc`, several times faster: a resample is a weight per
    image, and the weighted Mann-Whitney count over the sorted scores is one cumulative sum.

    Args:
        scores: Shape ``(N,)``, higher meaning more positive.
        is_positive: Reference, shape ``(N,)``, booleans or 0/1.
        groups: Patient of every image, shape ``(N,)``, whole numbers.
        n_resamples: How many resamples to draw.
        level: Confidence level, in ``(0, 1)``.
        seed: Of the resamples.

    Raises:
        ValueError: If the shapes differ, a score is NaN, or there are no images.
    """
    values, positive = as_binary_cases(scores, is_positive)
    index, n_groups = group_index(groups, n_images=len(values))
    resampled = resampled_aurocs([(values, positive)], index, n_groups, n_resamples, seed)
    return summarize(
        auroc(values, positive),
        resampled[:, 0],
        n_groups=n_groups,
        level=level,
        support=auroc_support(positive, index),
    )


def bootstrap_ovr_auroc(
    probs: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike,
    *,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[Interval, tuple[Interval, ...]]:
    """Return the macro one-vs-rest AUROC and that of every class, with intervals over patients.

    Resamples that lack a class are skipped for the macro average, and those that lack it (or the
    rest) for the class.

    Args:
        probs: Class scores, shape ``(N, K)``.
        labels: True class indices, shape ``(N,)``, in ``[0, K)``.
        groups: Patient of every image, shape ``(N,)``, whole numbers.
        n_resamples: How many resamples to draw.
        level: Confidence level, in ``(0, 1)``.
        seed: Of the resamples.

    Raises:
        ValueError: If the shapes don't fit, a score is NaN, or there are no images.
    """
    values, indices = as_class_cases(probs, labels)
    index, n_groups = group_index(groups, n_images=len(values))
    comparisons = [(values[:, k], indices == k) for k in range(values.shape[1])]
    resampled = resampled_aurocs(comparisons, index, n_groups, n_resamples, seed)
    estimates = ovr_auroc(values, indices)
    supports = [auroc_support(positive, index) for _, positive in comparisons]
    per_class = tuple(
        summarize(
            float(estimates[k]), resampled[:, k], n_groups=n_groups, level=level, support=support
        )
        for k, support in enumerate(supports)
    )
    macro = summarize(
        float(estimates.mean()),
        resampled.mean(axis=1),
        n_groups=n_groups,
        level=level,
        support=min(supports),
    )
    return macro, per_class


def bootstrap_rates(
    labels: ArrayLike,
    predictions: ArrayLike,
    groups: ArrayLike,
    n_classes: int,
    *,
    positive: int | None,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> RateIntervals:
    """Return every rate of the confusion matrix with its interval over patients.

    The threshold behind the predictions is taken as given, as one locked on validation is.

    Args:
        labels: True class indices, shape ``(N,)``, in ``[0, n_classes)``.
        predictions: Predicted class indices, likewise.
        groups: Patient of every image, shape ``(N,)``, whole numbers.
        n_classes: K.
        positive: Index of the positive class, or None for macro averages.
        n_resamples: How many resamples to draw.
        level: Confidence level, in ``(0, 1)``.
        seed: Of the resamples.

    Raises:
        ValueError: If the lengths differ, an index is out of range, or there are no images.
    """
    reference, predicted = as_labels(labels, n_classes), as_labels(predictions, n_classes)
    index, n_groups = group_index(groups, n_images=len(reference))
    if len(predicted) != len(reference):
        raise ValueError(f"{len(reference)} labels but {len(predicted)} predictions")
    cells = (index * n_classes + reference) * n_classes + predicted
    counted = np.bincount(cells, minlength=n_groups * n_classes**2).astype(np.float64)
    flat = counted.reshape(n_groups, -1)
    draws = resampled_counts(n_groups, n_resamples, seed, n_cells=n_groups)
    resampled = np.concatenate([counts @ flat for counts in draws])
    return rate_intervals(
        counted.reshape(n_groups, n_classes, n_classes),
        resampled.reshape(-1, n_classes, n_classes),
        positive=positive,
        level=level,
    )


def rate_intervals(
    by_group: NDArray[np.float64],
    resampled: NDArray[np.float64],
    *,
    positive: int | None,
    level: float,
) -> RateIntervals:
    """Return the rates, given the confusion of every group (G, K, K) and resample (B, K, K)."""
    confusion, n_groups = by_group.sum(axis=0), len(by_group)
    class_supports, headline_supports = _rate_supports(by_group, positive=positive)
    estimates = rate_arrays(confusion, positive=positive)
    headline = {
        name: summarize(
            float(estimates[name]),
            values,
            n_groups=n_groups,
            level=level,
            support=headline_supports[name],
        )
        for name, values in rate_arrays(resampled, positive=positive).items()
    }
    class_estimates, class_values = class_rate_arrays(confusion), class_rate_arrays(resampled)
    per_class = tuple(
        {
            name: summarize(
                float(class_estimates[name][k]),
                values[:, k],
                n_groups=n_groups,
                level=level,
                support=int(class_supports[name][k]),
            )
            for name, values in class_values.items()
        }
        for k in range(len(confusion))
    )
    return RateIntervals(headline=headline, per_class=per_class)


def _rate_supports(
    by_group: NDArray[np.float64], *, positive: int | None
) -> tuple[dict[str, NDArray[np.int64]], dict[str, int]]:
    """Count the groups behind the denominator of each rate: per class (K,), and headline."""
    total = by_group.sum(axis=(1, 2))[:, np.newaxis]
    in_class, called = by_group.sum(axis=2), by_group.sum(axis=1)
    masks = {
        "sensitivity": in_class > 0,
        "specificity": total - in_class > 0,
        "ppv": called > 0,
        "npv": total - called > 0,
        "f1": in_class + called > 0,
    }
    per_class = {name: mask.sum(axis=0).astype(np.int64) for name, mask in masks.items()}
    headline = {
        name: int(support.min() if positive is None else support[positive])
        for name, support in per_class.items()
    }
    headline["accuracy"] = len(by_group)
    headline["balanced_accuracy"] = int(per_class["sensitivity"].min())
    return per_class, headline


def auroc_support(positive: NDArray[np.bool_], index: NDArray[np.int64]) -> int:
    """Count the groups of the rarer side: what an AUROC can rest on at most."""
    return min(len(np.unique(index[positive])), len(np.unique(index[~positive])))


def summarize(
    estimate: float,
    resampled: NDArray[np.float64],
    *,
    n_groups: int,
    level: float,
    support: int | None = None,
) -> Interval:
    """Turn resampled values into an interval.

    Args:
        estimate: The number on all cases.
        resampled: The number on every resample, shape ``(B,)``, ``nan`` where undefined.
        n_groups: Groups that were resampled.
        level: Confidence level.
        support: For a proportion: the groups it rests on. None for other numbers, which get
            no Wilson interval.
    """
    _check_level(level)
    used = resampled[~np.isnan(resampled)]
    low = high = float("nan")
    method: Literal["bootstrap", "wilson", "none"] = "none"
    if not np.isnan(estimate) and used.size and (n_groups if support is None else support) >= 2:
        tail = (1 - level) / 2
        low, high = (float(limit) for limit in np.quantile(used, (tail, 1 - tail)))
        method = "bootstrap"
        if support is not None and estimate in (0.0, 1.0) and low == high:
            low, high = _wilson_limits(estimate, support, level)
            method = "wilson"
    return Interval(
        estimate=estimate,
        low=low,
        high=high,
        level=level,
        n_groups=n_groups,
        n_resamples=0 if method == "wilson" else int(used.size),
        n_skipped=int(resampled.size - used.size),
        method=method,
    )


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), not {level}")


def _wilson_limits(share: float, n_trials: int, level: float) -> tuple[float, float]:
    """Return Wilson's limits; exactly 0 and 1 at the ends, where rounding would miss them."""
    _check_level(level)
    z = NormalDist().inv_cdf((1 + level) / 2)
    center = share + z**2 / (2 * n_trials)
    spread = z * float(np.sqrt(share * (1 - share) / n_trials + z**2 / (4 * n_trials**2)))
    scale = 1 + z**2 / n_trials
    low = 0.0 if share == 0.0 else (center - spread) / scale
    high = 1.0 if share == 1.0 else (center + spread) / scale
    return low, high
