"""Whether stated probabilities come true."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.metrics.inputs import as_binary_cases, as_class_cases, as_probabilities


class ReliabilityBins(NamedTuple):
    """A reliability diagram in numbers; bins without cases have ``nan`` means.

    Attributes:
        edges: Limits of the bins, shape ``(B + 1,)``; a bin holds ``lower < p <= upper``, and the
            first one p = 0 too.
        mean_probability: Mean stated probability per bin, shape ``(B,)``.
        observed: Share of the cases that came true per bin, shape ``(B,)``.
        n_cases: Cases per bin, shape ``(B,)``, int64.
    """

    edges: NDArray[np.float64]
    mean_probability: NDArray[np.float64]
    observed: NDArray[np.float64]
    n_cases: NDArray[np.int64]

    @property
    def expected_error(self) -> float:
        """Mean gap between ``mean_probability`` and ``observed``, weighted by cases."""
        filled = self.n_cases > 0
        gaps = np.abs(self.mean_probability[filled] - self.observed[filled])
        return float(np.average(gaps, weights=self.n_cases[filled]))


def reliability_bins(
    probabilities: ArrayLike, came_true: ArrayLike, *, n_bins: int = 15
) -> ReliabilityBins:
    """Sort cases by stated probability into equal-width bins and compare with what happened.

    For two classes give the probability of the positive class and whether the case is positive;
    for more, the probability of the predicted class and whether the prediction is right.

    Args:
        probabilities: Shape ``(N,)``, in ``[0, 1]``.
        came_true: Shape ``(N,)``, booleans or 0/1.
        n_bins: Equal-width bins over ``[0, 1]``.

    Raises:
        ValueError: If there are no cases or no bins, a probability is outside ``[0, 1]``, or the
            shapes differ.
    """
    stated, outcomes = as_binary_cases(probabilities, came_true)
    stated = as_probabilities(stated)
    if stated.size == 0 or n_bins < 1:
        raise ValueError("reliability needs at least one case and one bin")
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    bins = np.clip(np.searchsorted(edges, stated, side="left") - 1, 0, n_bins - 1)
    n_cases = np.bincount(bins, minlength=n_bins)
    divisor = np.where(n_cases > 0, n_cases, np.nan)
    return ReliabilityBins(
        edges,
        np.bincount(bins, weights=stated, minlength=n_bins) / divisor,
        np.bincount(bins, weights=outcomes, minlength=n_bins) / divisor,
        n_cases.astype(np.int64),
    )


def expected_calibration_error(probs: ArrayLike, labels: ArrayLike, *, n_bins: int = 15) -> float:
    """Return the mean gap between stated confidence and observed accuracy, in ``[0, 1]``.

    Confidence is the probability of the predicted class. The estimate is biased upwards when
    bins hold few cases: report an interval.

    Args:
        probs: Class probabilities, shape ``(N, K)``, rows summing to 1.
        labels: True class indices, shape ``(N,)``, in ``[0, K)``.
        n_bins: Equal-width bins over ``[0, 1]``.

    Raises:
        ValueError: If there are no cases, a probability is outside ``[0, 1]``, or ``probs`` and
            ``labels`` differ in N.

    References:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    values, indices = as_class_cases(probs, labels)
    is_right = values.argmax(axis=1) == indices
    return reliability_bins(values.max(axis=1), is_right, n_bins=n_bins).expected_error


def brier_score(probs: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean squared distance of the probabilities from what happened; 0 is best.

    With two classes it is the usual score of the positive class, in ``[0, 1]``; with more, the
    sum over the classes as Brier wrote it, in ``[0, 2]``. It rewards ranking and calibration.

    Args:
        probs: Class probabilities, shape ``(N, K)``, rows summing to 1.
        labels: True class indices, shape ``(N,)``, in ``[0, K)``.

    Raises:
        ValueError: If there are no cases, a probability is outside ``[0, 1]``, or ``probs`` and
            ``labels`` differ in N.

    References:
        Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather
        Review 1950.
    """
    values, indices = as_class_cases(probs, labels)
    if len(values) == 0:
        raise ValueError("there are no cases")
    values = as_probabilities(values)
    happened = np.eye(values.shape[1])[indices]
    per_case = np.square(values - happened).sum(axis=1)
    return float(per_case.mean() / (2 if values.shape[1] == 2 else 1))
