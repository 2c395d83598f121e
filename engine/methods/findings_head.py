"""Decision layers for several findings: a logistic regression each, on the same fixed features.

The problems of the findings are independent, so one fit of all at a common strength solves each of
them for that strength, and every finding can choose its own from the same path. An image of which a
finding is unknown has no part in that finding's fit.

The loss mirrors that of training (``engine.trainer.finding_losses``); labels are not smoothed here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from engine.contract.config import LossConfig
from engine.contract.targets import UNKNOWN
from engine.methods.balance import balanced_states, prior_log_odds
from engine.methods.head_solver import FINE, ROUGH, HeadSolver, Layer, Loss, ahead, one_blas_thread
from engine.methods.linear_head import (
    STRENGTHS,
    LinearHead,
    require_difference,
    standardisation,
    standardised,
)
from engine.metrics.ranking import auroc

_PATIENCE: Final = 2
_LEAST: Final = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingsHeadLoss:
    """Binary cross-entropy over known findings, and what is changed about it.

    Attributes:
        state_weights: Weights of absence and presence, shape ``(K, 2)``, or None.
        focal_gamma: Power of ``1 - p`` that the entropy is multiplied by; 0 for none.
        log_odds: Added to the logits while fitting, shape ``(K,)``, or None.
    """

    state_weights: NDArray[np.float64] | None = None
    focal_gamma: float = 0.0
    log_odds: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, config: LossConfig, counts: NDArray[np.int64]) -> FindingsHeadLoss:
        """Return what the settings say for training.

        Showing images with rare findings more often comes, on average, to weighting them.

        Args:
            config: The settings.
            counts: Training images without and with each finding, shape ``(K, 2)``.
        """
        is_weighted = config.imbalance in ("weights", "sampling")
        return cls(
            state_weights=balanced_states(counts) if is_weighted else None,
            focal_gamma=config.focal_gamma if config.imbalance == "focal" else 0.0,
            log_odds=prior_log_odds(counts) if config.imbalance == "logit_adjustment" else None,
        )

    def __call__(
        self, logits: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the sum over the known findings of all images, and its gradient at the logits.

        Args:
            logits: Shape ``(N, K)``.
            labels: 1 present, 0 absent, -1 unknown, shape ``(N, K)``.
        """
        if self.log_odds is not None:
            logits = logits + self.log_odds
        sign = np.where(labels == 1, 1.0, -1.0)
        margin = sign * logits
        losses, wrong = np.logaddexp(0.0, -margin), expit(-margin)
        gradient = -sign * wrong
        if self.focal_gamma > 0:
            missing = np.maximum(wrong, _LEAST)  # a power below 1 has no slope at 0
            power = missing**self.focal_gamma
            slope = self.focal_gamma * (1.0 - wrong) * losses / missing
            gradient = gradient * power * (1.0 + slope)
            losses = power * losses
        factor = np.where(labels == UNKNOWN, 0.0, 1.0)
        if self.state_weights is not None:
            absent, present = self.state_weights.T
            factor = factor * np.where(labels == 1, present, absent)
        return float((factor * losses).sum()), factor * gradient


@one_blas_thread()
def fit_findings_head(
    train: tuple[NDArray[np.floating], NDArray[np.int64]],
    val: tuple[NDArray[np.floating], NDArray[np.int64]],
    *,
    widths: Sequence[int],
    loss: FindingsHeadLoss,
    strengths: Sequence[float] = STRENGTHS,
    on_strength: Callable[[int, int], None] | None = None,
) -> LinearHead:
    """Fit a logistic regression a finding at several strengths and keep each one's best.

    Best is the highest AUROC on the validation images of which the finding is known, then the
    lower log loss. The path ends when no finding has become better for two strengths.

    Args:
        train: Features ``(N, F)`` and findings ``(N, K)`` of the training images.
        val: The same of the validation images.
        widths: Widths of the feature blocks, summing to F.
        loss: What is minimised.
        strengths: Inverse regularisation strengths, weakest decision layer first.
        on_strength: Called with strengths done and in total.

    Returns:
        The layer; its ``strength`` is the geometric mean of those chosen.

    Raises:
        DatasetError: If all training images have the same features.
    """
    mean, scale = standardisation(train[0], widths)
    x = standardised(train[0], mean, scale)
    require_difference(x)
    solver, labels = HeadSolver(torch.from_numpy(x)), train[1]
    val_x = standardised(val[0], mean, scale)
    n_findings = labels.shape[1]
    first = np.zeros((n_findings, x.shape[1])), np.zeros(n_findings)
    best: list[tuple[float, float] | None] = [None] * n_findings
    chosen, n_worse = np.full(n_findings, strengths[0]), np.zeros(n_findings, dtype=np.int64)
    best_weight, best_bias = (part.copy() for part in first)
    fits: list[tuple[float, Layer]] = []
    for done, strength in enumerate(strengths, 1):
        begin = ahead(fits, strength) if fits else first
        weight, bias = solver.fit(
            lambda logits: loss(logits, labels), 1.0 / strength, begin, slope=ROUGH
        )
        fits.append((strength, (weight, bias)))
        for k, merit in enumerate(_merits(val_x @ weight.T + bias, val[1])):
            before = best[k]
            if before is None or merit > before:
                best[k], chosen[k], n_worse[k] = merit, strength, 0
                best_weight[k], best_bias[k] = weight[k], bias[k]
            else:
                n_worse[k] += 1
        is_over = bool((n_worse >= _PATIENCE).all())
        if on_strength is not None:
            on_strength(len(strengths) if is_over else done, len(strengths))
        if is_over:
            break
    for strength in np.unique(chosen):
        own = np.flatnonzero(chosen == strength)
        best_weight[own], best_bias[own] = solver.fit(
            _of_findings(loss, labels, own),
            1.0 / float(strength),
            (best_weight[own], best_bias[own]),
            slope=FINE,
        )
    return LinearHead(
        mean=mean,
        scale=scale,
        weight=best_weight,
        bias=best_bias,
        strength=float(np.exp(np.log(chosen).mean())),
    )


def _of_findings(loss: FindingsHeadLoss, labels: NDArray[np.int64], own: NDArray[np.int64]) -> Loss:
    part = FindingsHeadLoss(
        state_weights=None if loss.state_weights is None else loss.state_weights[own],
        focal_gamma=loss.focal_gamma,
        log_odds=None if loss.log_odds is None else loss.log_odds[own],
    )
    return lambda logits: part(logits, labels[:, own])


def _merits(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> list[tuple[float, float]]:
    """Return AUROC and mean log-likelihood of each finding where it is known."""
    merits = []
    for scores, reference in zip(logits.T, labels.T, strict=True):
        is_known = reference != UNKNOWN
        own, is_present = scores[is_known], reference[is_known] == 1
        if own.size == 0:
            merits.append((0.5, 0.0))
            continue
        likelihood = -np.logaddexp(0.0, np.where(is_present, -own, own))
        area = auroc(own, is_present)
        merits.append((0.5 if np.isnan(area) else area, float(likelihood.mean())))
    return merits
