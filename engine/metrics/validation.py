"""The one figure by which trainings of any task are compared on validation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.metrics.findings import bootstrap_findings_auroc, macro_findings_auroc
from engine.metrics.intervals import Interval, bootstrap_auroc, bootstrap_ovr_auroc
from engine.metrics.ranking import auroc, macro_ovr_auroc


def validation_auroc(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], positive: int | None
) -> float:
    """Return the AUROC of the positive class, or the macro one-vs-rest mean above two classes.

    Of several findings at once: the mean of their AUROCs.
    """
    if labels.ndim == 2:
        return macro_findings_auroc(probabilities, labels)
    if probabilities.shape[1] == 2:
        index = 1 if positive is None else positive
        return auroc(probabilities[:, index], labels == index)
    return macro_ovr_auroc(probabilities, labels)


def validation_interval(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    patients: NDArray[np.int64],
    positive: int | None,
    *,
    n_resamples: int,
    seed: int,
) -> Interval:
    """Return the figure of :func:`validation_auroc` with its 95 % interval over patients.

    Args:
        probabilities: Shape ``(N, K)``.
        labels: Class indices ``(N,)``; of findings ``(N, K)``, -1 unknown.
        patients: Patient of every image, shape ``(N,)``, whole numbers.
        positive: Index of the positive class of two; None for the second.
        n_resamples: How many resamples to draw.
        seed: Of the resamples.
    """
    if labels.ndim == 2:
        return bootstrap_findings_auroc(
            probabilities, labels, patients, n_resamples=n_resamples, seed=seed
        )[0]
    if probabilities.shape[1] > 2:
        return bootstrap_ovr_auroc(
            probabilities, labels, patients, n_resamples=n_resamples, seed=seed
        )[0]
    index = 1 if positive is None else positive
    return bootstrap_auroc(
        probabilities[:, index], labels == index, patients, n_resamples=n_resamples, seed=seed
    )
