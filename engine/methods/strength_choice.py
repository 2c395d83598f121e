"""Choosing the most restrained of several candidates that is as good as the best.

References:
    Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 2009, section 7.10
    (the one-standard-error rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.targets import UNKNOWN
from engine.metrics.findings import known_pairs
from engine.metrics.ranking import auroc
from engine.metrics.resampling import group_index, resampled_aurocs

_N_RESAMPLES: Final = 500


def strongest_as_good(
    probabilities: Sequence[NDArray[np.float64]],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    positive: int | None,
    seed: int,
) -> tuple[int, list[float]]:
    """Return the last of several candidates that is as good as the best, and each one's AUROC.

    As good: its AUROC is at most one standard error of their difference below the best one's. All
    are measured on the same images, so the error is that of the difference, from resampled
    patients; each one's own error would call far worse candidates equal.

    Args:
        probabilities: Of each candidate, weakest pull first, each of shape ``(N, K)``.
        labels: Reference class indices, shape ``(N,)``; or findings, ``(N, K)``, -1 unknown.
        groups: Patient of every image, shape ``(N,)``.
        positive: Index of the positive class of two, else None: the classes' mean counts.
        seed: Of the resamples.

    Returns:
        An index into ``probabilities``; where the AUROC isn't defined, that of the weakest pull.
    """
    index, n_groups = group_index(groups, n_images=len(labels))
    if labels.ndim == 2:
        comparisons = [pair for p in probabilities for pair in known_pairs(p, labels)]
        own = [index[column != UNKNOWN] for column in labels.T]
    else:
        n_classes = probabilities[0].shape[1]
        chosen_class = 1 if positive is None else positive
        classes = range(n_classes) if n_classes > 2 else (chosen_class,)
        comparisons = [(p[:, k], labels == k) for p in probabilities for k in classes]
        own = [index] * len(classes)
    shape = (-1, len(probabilities), len(own))
    found = np.array([auroc(*pair) for pair in comparisons]).reshape(shape).mean(axis=2)[0]
    if np.isnan(found).any():
        return 0, found.tolist()
    indexes = own * len(probabilities)
    drawn = resampled_aurocs(comparisons, indexes, n_groups, _N_RESAMPLES, seed)
    # With a patient or two of each class hardly any resample has all of them, but all candidates
    # lack the same ones. Where no resample tells anything, only equals are as good.
    resampled = np.ma.masked_invalid(drawn.reshape(shape)).mean(axis=2)
    best = int(found.argmax())
    behind = resampled[:, [best]] - resampled
    errors = np.ma.filled(behind.std(axis=0, ddof=1), 0.0)
    return int(np.flatnonzero(found[best] - found <= errors)[-1]), found.tolist()
