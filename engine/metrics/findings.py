"""Measures of several findings an image, each over the images of which it is known.

Probabilities are of presence, float64 ``(N, K)``; references 1 present, 0 absent, -1 unknown,
``(N, K)``. What is unknown is left out of every measure; nothing is imputed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.contract.targets import UNKNOWN
from engine.metrics.classification import rate_arrays
from engine.metrics.intervals import (
    LEVEL,
    N_RESAMPLES,
    Interval,
    auroc_support,
    rate_intervals,
    summarize,
)
from engine.metrics.ranking import auroc
from engine.metrics.resampling import group_index, resampled_aurocs, resampled_counts

Comparison = tuple[NDArray[np.float64], NDArray[np.bool_]]
_LEAST: float = 1e-12


def findings_aurocs(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the AUROC of each finding, shape ``(K,)``; ``nan`` where presence or absence lacks.

    Raises:
        ValueError: If the shapes differ, or a probability of a known finding is NaN.
    """
    pairs = known_pairs(probabilities, labels)
    return np.array([auroc(scores, is_present) for scores, is_present in pairs])


def macro_findings_auroc(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the mean AUROC over the findings that have one; ``nan`` if none has.

    Unlike the mean over classes it passes over a finding that isn't defined: a part of a division
    may lack a rare one, and the others still tell epochs and settings apart.
    """
    aurocs = findings_aurocs(probabilities, labels)
    return float(np.nanmean(aurocs)) if not np.isnan(aurocs).all() else float("nan")


def findings_log_loss(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the mean negative log-likelihood over all known findings of all images."""
    is_known = labels != UNKNOWN
    p = np.clip(probabilities[is_known], _LEAST, 1.0 - _LEAST)
    is_present = labels[is_known] == 1
    return float(-np.log(np.where(is_present, p, 1.0 - p)).mean())


def known_pairs(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> list[Comparison]:
    """Return for each finding the probabilities and the presence in images of which it is known.

    Raises:
        ValueError: If the shapes differ.
    """
    if probabilities.shape != labels.shape or labels.ndim != 2:
        raise ValueError(f"probabilities {probabilities.shape}, references {labels.shape}")
    pairs = []
    for scores, reference in zip(probabilities.T, labels.T, strict=True):
        is_known = reference != UNKNOWN
        pairs.append((scores[is_known], reference[is_known] == 1))
    return pairs


def bootstrap_findings_auroc(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[Interval, tuple[Interval, ...]]:
    """Return the mean AUROC over the findings and that of each, with intervals over patients.

    All findings are measured on the same resamples, so that the interval of their mean knows that
    they are found in the same patients. A finding without an AUROC has none in any resample and is
    passed over; a resample that lacks another is skipped for it and for the mean.

    Args:
        probabilities: Shape ``(N, K)``.
        labels: Shape ``(N, K)``.
        groups: Patient of every image, shape ``(N,)``, whole numbers.
        n_resamples: How many resamples to draw.
        level: Confidence level, in ``(0, 1)``.
        seed: Of the resamples.

    Raises:
        ValueError: If the shapes don't fit, a probability is NaN, or there are no images.
    """
    index, n_groups = group_index(groups, n_images=len(labels))
    pairs = known_pairs(probabilities, labels)
    indexes = [index[column != UNKNOWN] for column in labels.T]
    resampled = resampled_aurocs(pairs, indexes, n_groups, n_resamples, seed)
    estimates = findings_aurocs(probabilities, labels)
    supports = [auroc_support(pair[1], own) for pair, own in zip(pairs, indexes, strict=True)]
    each = tuple(
        summarize(
            float(estimates[k]), resampled[:, k], n_groups=n_groups, level=level, support=support
        )
        for k, support in enumerate(supports)
    )
    is_defined = ~np.isnan(estimates)
    if not is_defined.any():
        empty = np.full(n_resamples, np.nan)
        return summarize(float("nan"), empty, n_groups=n_groups, level=level), each
    macro = summarize(
        float(estimates[is_defined].mean()),
        resampled[:, is_defined].mean(axis=1),
        n_groups=n_groups,
        level=level,
        support=min(s for s, defined in zip(supports, is_defined, strict=True) if defined),
    )
    return macro, each


def bootstrap_findings_rates(
    is_called: NDArray[np.bool_],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[dict[str, Interval], tuple[dict[str, Interval], ...]]:
    """Return the rates averaged over the findings and those of each, with intervals over patients.

    By the names of :class:`~engine.metrics.classification.HeadlineRates`, presence being positive.
    All findings are measured on the same resamples. A finding whose rate isn't defined is passed
    over in the mean; a resample that lacks another is skipped for it and for the mean.

    Args:
        is_called: Whether each finding is called present, shape ``(N, K)``.
        labels: Shape ``(N, K)``.
        groups: Patient of every image, shape ``(N,)``, whole numbers.
        n_resamples: How many resamples to draw.
        level: Confidence level, in ``(0, 1)``.
        seed: Of the resamples.

    Raises:
        ValueError: If the shapes don't fit, or there are no images.
    """
    if is_called.shape != labels.shape or labels.ndim != 2:
        raise ValueError(f"calls {is_called.shape}, references {labels.shape}")
    index, n_groups = group_index(groups, n_images=len(labels))
    n_findings = labels.shape[1]
    counted = np.zeros((n_groups, n_findings, 2, 2))
    images, findings = np.nonzero(labels != UNKNOWN)
    called = is_called[images, findings].astype(np.int64)
    np.add.at(counted, (index[images], findings, labels[images, findings], called), 1.0)
    draws = resampled_counts(n_groups, n_resamples, seed, n_cells=n_groups)
    resampled = np.concatenate([counts @ counted.reshape(n_groups, -1) for counts in draws])
    resampled = resampled.reshape(-1, n_findings, 2, 2)
    has_any = counted.sum(axis=(2, 3)) > 0
    each = tuple(
        rate_intervals(counted[has_any[:, k], k], resampled[:, k], positive=1, level=level).headline
        for k in range(n_findings)
    )
    estimates = rate_arrays(counted.sum(axis=0), positive=1)
    support = int(has_any.sum(axis=0).min())
    mean = {}
    for name, values in rate_arrays(resampled, positive=1).items():
        is_defined = ~np.isnan(estimates[name])
        mean[name] = summarize(
            float(estimates[name][is_defined].mean()) if is_defined.any() else float("nan"),
            values[:, is_defined].mean(axis=1) if is_defined.any() else np.full(1, np.nan),
            n_groups=n_groups,
            level=level,
            support=support,
        )
    return mean, each
