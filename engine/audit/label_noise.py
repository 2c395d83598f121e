"""How many labels may be wrong, and which, given what a classifier says of images it never saw.

A classifier that was calibrated contradicts some right labels: hard images. Wrong labels look
different: it is sure, and the label says otherwise, more often than its own doubts allow. The model
here is a mixture: a share of the labels, the same for all, was replaced by another class at random.
The share and the calibration (one scale, and a bias for each class) are fitted by maximum
likelihood; the share is believed only if the likelihood ratio is beyond chance.

References:
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (scaling). Self and Liang,
    "Asymptotic properties of maximum likelihood estimators and likelihood ratio tests under
    nonstandard conditions", JASA 1987 (a share at its limit, 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_softmax

_LEAST_RATIO: Final = 6.63
"""Twice the log likelihood ratio; beyond it lies 0.5 % if no label is wrong."""
_SHARES: Final = (-5.0, -2.5)
"""Logits of the shares that the search begins with."""
_LOG_SCALE: Final = (-4.0, 5.0)
_LOGIT_SHARE: Final = (-12.0, 0.0)
_BIAS: Final = (-10.0, 10.0)
_TINY: Final = 1e-300
_FewNumbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelNoise:
    """What the mixture says.

    Attributes:
        share: Share of wrong labels; 0 if there is no sign of any.
        is_wrong: Probability of each label to be wrong, shape ``(N,)``.
        probabilities: Calibrated, shape ``(N, K)``.
    """

    share: float
    is_wrong: NDArray[np.float64]
    probabilities: NDArray[np.float64]


def calibrated_loss(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the mean log loss of scores after calibration."""
    return _calibrated(logits, labels)[1] / len(labels)


def estimate_label_noise(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> LabelNoise:
    """Return how likely each label is wrong.

    Args:
        logits: Scores by a model that saw neither the image nor its patient, shape ``(N, K)``.
        labels: Class indices, shape ``(N,)``.
    """
    calibration, without = _calibrated(logits, labels)
    bounds = [*_calibration_bounds(logits), _LOGIT_SHARE]
    fits = [
        minimize(
            _mixture_loss,
            np.append(calibration, start),
            args=(logits, labels),
            jac=True,
            bounds=bounds,
            method="L-BFGS-B",
        )
        for start in _SHARES
    ]
    best = min(fits, key=lambda fit: float(fit.fun))
    share = 0.0
    if 2 * (without - float(best.fun)) >= _LEAST_RATIO:
        calibration, share = best.x[:-1], float(expit(best.x[-1]))
    probabilities = np.exp(_log_probabilities(logits, calibration))
    own = probabilities[np.arange(len(labels)), labels]
    wrong = share * (1 - own) / (logits.shape[1] - 1)
    return LabelNoise(
        share=share,
        is_wrong=wrong / np.maximum((1 - share) * own + wrong, _TINY),
        probabilities=probabilities,
    )


def _calibrated(
    logits: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[_FewNumbers, float]:
    """Return the calibration without wrong labels, and its loss."""

    def loss(calibration: _FewNumbers) -> tuple[float, _FewNumbers]:
        value, gradient = _mixture_loss(np.append(calibration, -np.inf), logits, labels)
        return value, gradient[:-1]

    start = np.zeros(1 + logits.shape[1])
    found = minimize(loss, start, jac=True, bounds=_calibration_bounds(logits), method="L-BFGS-B")
    return found.x, float(found.fun)


def _calibration_bounds(logits: NDArray[np.float64]) -> list[tuple[float, float]]:
    return [_LOG_SCALE, *([_BIAS] * logits.shape[1])]


def _log_probabilities(
    logits: NDArray[np.float64], calibration: _FewNumbers
) -> NDArray[np.float64]:
    scaled = logits * np.exp(calibration[0]) + calibration[1:]
    return np.asarray(log_softmax(scaled, axis=1))


def _mixture_loss(
    parameters: _FewNumbers, logits: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[float, _FewNumbers]:
    """Return the negative log likelihood and its gradient.

    Args:
        parameters: Logarithm of the scale, K biases, logit of the share of wrong labels.
        logits: Shape ``(N, K)``.
        labels: Shape ``(N,)``.
    """
    share, n_others = float(expit(parameters[-1])), logits.shape[1] - 1
    rows = np.arange(len(labels))
    probabilities = np.exp(_log_probabilities(logits, parameters[:-1]))
    own = probabilities[rows, labels]
    likelihood = np.maximum((1 - share) * own + share * (1 - own) / n_others, _TINY)
    by_own = -(1 - share - share / n_others) / likelihood
    by_score = -probabilities * own[:, np.newaxis]
    by_score[rows, labels] += own
    by_score *= by_own[:, np.newaxis]
    by_share = float(np.sum((own - (1 - own) / n_others) / likelihood)) * share * (1 - share)
    by_scale = float(np.sum(by_score * logits)) * float(np.exp(parameters[0]))
    gradient = np.concatenate([[by_scale], by_score.sum(axis=0), [by_share]])
    return -float(np.log(likelihood).sum()), gradient
