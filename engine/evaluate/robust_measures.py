"""From what a network says about changed images to numbers with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.contract.results import AttackPoint, CorruptionPoint, Estimate
from engine.contract.targets import UNKNOWN
from engine.evaluate.findings import decide_findings
from engine.evaluate.report import decide, estimate_of
from engine.evaluate.robust_sample import Sample
from engine.evaluate.score import FinishedRun
from engine.evaluate.worst_case import Answers, Strength
from engine.metrics.findings import bootstrap_findings_auroc, bootstrap_findings_rates
from engine.metrics.intervals import bootstrap_auroc, bootstrap_ovr_auroc, bootstrap_rates

Rates = dict[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured on the sample under one change.

    Attributes:
        auroc: Of the positive class; above two classes, or of findings, the mean.
        rates: By name: ``accuracy``, ``sensitivity``, ``specificity``; of findings their means.
        of_findings: AUROC and rates of each finding; empty where an image has one class.
    """

    auroc: Estimate
    rates: Rates
    of_findings: tuple[tuple[Estimate, Rates], ...] = ()


class Measure(Protocol):
    """Turns logits of the sample, ``(N, K)``, into numbers."""

    def of(self, logits: Tensor) -> Measured:
        """Return AUROC and rates."""

    def accuracies(self, logits: Tensor) -> tuple[float, ...]:
        """Return the share that is called right, then that of each finding, if there are any."""


class ClassMeasure:
    """Of one class an image."""

    def __init__(self, loaded: FinishedRun, sample: Sample, threshold: float | None) -> None:
        self._sample, self._threshold, self._positive = sample, threshold, loaded.positive
        self._n_classes = len(loaded.class_names)
        self._index = None
        if self._n_classes == 2:
            self._index = 1 if loaded.positive is None else loaded.positive
        self._n_resamples = loaded.config.evaluation.bootstrap_resamples
        self._seed = loaded.config.seed

    def of(self, logits: Tensor) -> Measured:
        """Return AUROC and rates."""
        probabilities = logits.cpu().double().softmax(dim=1).numpy()
        found = bootstrap_rates(
            self._sample.labels,
            decide(probabilities, self._threshold, self._positive),
            self._sample.patients,
            self._n_classes,
            positive=self._index,
            n_resamples=self._n_resamples,
            seed=self._seed,
        )
        rates = {name: estimate_of(interval) for name, interval in found.headline.items()}
        return Measured(auroc=self._auroc(probabilities), rates=rates)

    def accuracies(self, logits: Tensor) -> tuple[float, ...]:
        """Return the share that is called right."""
        probabilities = logits.cpu().double().softmax(dim=1).numpy()
        called = decide(probabilities, self._threshold, self._positive)
        return (float((called == self._sample.labels).mean()),)

    def _auroc(self, probabilities: NDArray[np.float64]) -> Estimate:
        labels, patients = self._sample.labels, self._sample.patients
        if self._index is None:
            interval, _ = bootstrap_ovr_auroc(
                probabilities, labels, patients, n_resamples=self._n_resamples, seed=self._seed
            )
            return estimate_of(interval)
        return estimate_of(
            bootstrap_auroc(
                probabilities[:, self._index],
                labels == self._index,
                patients,
                n_resamples=self._n_resamples,
                seed=self._seed,
            )
        )


class FindingsMeasure:
    """Of several findings an image, each on the images of which it is known."""

    def __init__(self, loaded: FinishedRun, sample: Sample, thresholds: tuple[float, ...]) -> None:
        self._sample, self._thresholds = sample, thresholds
        self._n_resamples = loaded.config.evaluation.bootstrap_resamples
        self._seed = loaded.config.seed

    def of(self, logits: Tensor) -> Measured:
        """Return AUROC and rates, their means over the findings and those of each."""
        probabilities = logits.cpu().double().sigmoid().numpy()
        labels, patients = self._sample.labels, self._sample.patients
        mean, each = bootstrap_findings_auroc(
            probabilities, labels, patients, n_resamples=self._n_resamples, seed=self._seed
        )
        mean_rates, rates_of_each = bootstrap_findings_rates(
            decide_findings(probabilities, self._thresholds),
            labels,
            patients,
            n_resamples=self._n_resamples,
            seed=self._seed,
        )
        return Measured(
            auroc=estimate_of(mean),
            rates={name: estimate_of(interval) for name, interval in mean_rates.items()},
            of_findings=tuple(
                (
                    estimate_of(auroc),
                    {name: estimate_of(interval) for name, interval in rates.items()},
                )
                for auroc, rates in zip(each, rates_of_each, strict=True)
            ),
        )

    def accuracies(self, logits: Tensor) -> tuple[float, ...]:
        """Return the share that is called right: the mean over the findings, then each one's."""
        probabilities, labels = logits.cpu().double().sigmoid().numpy(), self._sample.labels
        is_right = decide_findings(probabilities, self._thresholds) == (labels == 1)
        is_known = labels != UNKNOWN
        n_known, n_right = is_known.sum(axis=0), (is_right & is_known).sum(axis=0)
        shares = np.where(n_known > 0, n_right / np.maximum(n_known, 1), np.nan)
        return float(np.nanmean(shares)), *shares.tolist()


def attack_points(
    measure: Measure, epsilon_255: float, worst: Answers, strength: Strength | None = None
) -> tuple[AttackPoint, ...]:
    """Return what was measured at a strength of the attack: over all, then of each finding.

    Args:
        measure: Of the sample.
        epsilon_255: Strength in 8-bit grey steps; 0 is unchanged.
        worst: Worst cases up to that strength.
        strength: What was found at it; None for unchanged images.
    """
    found = measure.of(worst.logits)
    clean = measure.accuracies(worst.logits)
    one_step = clean if strength is None else measure.accuracies(strength.one_step.logits)
    noise = clean if strength is None else measure.accuracies(strength.noise.logits)
    return tuple(
        AttackPoint(
            epsilon_255=epsilon_255,
            accuracy=rates["accuracy"],
            sensitivity=rates["sensitivity"],
            specificity=rates["specificity"],
            auroc=auroc,
            one_step=one_step[k],
            noise=noise[k],
        )
        for k, (auroc, rates) in enumerate(_all(found))
    )


def corruption_points(
    measure: Measure, kind: str, severity: int, level: str, logits: Tensor
) -> tuple[CorruptionPoint, ...]:
    """Return what was measured under a degradation: over all, then of each finding."""
    return tuple(
        CorruptionPoint(
            kind=kind, severity=severity, level=level, auroc=auroc, accuracy=rates["accuracy"]
        )
        for auroc, rates in _all(measure.of(logits))
    )


def _all(found: Measured) -> tuple[tuple[Estimate, Rates], ...]:
    return (found.auroc, found.rates), *found.of_findings
