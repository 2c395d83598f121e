"""The results of several findings that were learned at once: each one's own, and their mean."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.contract.results import (
    CasePrediction,
    ClassResult,
    Estimate,
    EvaluationResult,
    FindingResult,
    RocCurve,
)
from engine.contract.targets import UNKNOWN
from engine.evaluate.report import (
    Scored,
    build_result,
    count_known,
    estimate_of,
    measured_on,
    scarcity_caution,
)
from engine.metrics.calibration import brier_score, reliability_bins
from engine.metrics.classification import predicted_positive, youden_threshold
from engine.metrics.findings import bootstrap_findings_auroc, known_pairs
from engine.metrics.intervals import bootstrap_interval
from engine.metrics.ranking import average_precision


def choose_thresholds(val: Scored) -> tuple[float, ...]:
    """Return Youden's threshold of each finding on the validation images where it is known.

    Raises:
        ValueError: If a finding isn't both present and absent there.
    """
    pairs = known_pairs(val.probabilities, val.labels)
    return tuple(youden_threshold(scores, is_present) for scores, is_present in pairs)


def decide_findings(
    probabilities: NDArray[np.float64], thresholds: tuple[float, ...]
) -> NDArray[np.bool_]:
    """Return which findings count as present, shape ``(N, K)``: each by its own threshold."""
    columns = zip(probabilities.T, thresholds, strict=True)
    return np.stack([predicted_positive(scores, threshold) for scores, threshold in columns], 1)


def build_findings_result(
    run: str,
    *,
    test: Scored,
    val: Scored,
    class_names: tuple[str, ...],
    looks: int,
    n_resamples: int,
    seed: int,
    known: Set[int] | None = frozenset(),
) -> EvaluationResult:
    """Return everything that is reported about a run that learned several findings at once.

    The thresholds come from validation alone; the test set is only measured. ``known`` as for
    :func:`engine.evaluate.report.build_result`.
    """
    macro, _ = bootstrap_findings_auroc(
        test.probabilities, test.labels, test.patients, n_resamples=n_resamples, seed=seed
    )
    findings = tuple(
        _one(run, k, name, test, val, looks=looks, n_resamples=n_resamples, seed=seed, known=known)
        for k, name in enumerate(class_names)
    )
    each = [found.result for found in findings]
    n_patients, n_known = len(np.unique(test.patients)), count_known(test, known)
    of = measured_on(n_patients, n_known, test.unit)
    return EvaluationResult(
        run=run,
        auroc=macro.estimate,
        auroc_low=macro.low,
        auroc_high=macro.high,
        accuracy=_mean([result.accuracy for result in each]),
        balanced_accuracy=_mean([result.balanced_accuracy for result in each]),
        sensitivity=_mean([result.sensitivity for result in each]),
        specificity=_mean([result.specificity for result in each]),
        f1=_mean([result.f1 for result in each]),
        threshold=None,
        n_images=len(test.labels),
        n_patients=n_patients,
        classes=class_names,
        positive=None,
        confusion=(),
        per_class=tuple(
            replace(_presence(result), name=name)
            for name, result in zip(class_names, each, strict=True)
        ),
        looks=looks,
        intervals={"auroc": estimate_of(macro)},
        roc=_named([result.roc for result in each]),
        val_roc=_named([result.val_roc for result in each]),
        cases=tuple(
            CasePrediction(
                record=int(record),
                label=-1,
                probabilities=tuple(float(p) for p in row),
                findings=tuple(reference.tolist()),
            )
            for record, row, reference in zip(
                test.records, test.probabilities, test.labels, strict=True
            )
        ),
        sentence=_sentence(macro.estimate, len(class_names), of),
        findings=findings,
        n_known=n_known,
        caution=scarcity_caution(test, class_names),
    )


def _one(
    run: str,
    k: int,
    name: str,
    test: Scored,
    val: Scored,
    *,
    looks: int,
    n_resamples: int,
    seed: int,
    known: Set[int] | None,
) -> FindingResult:
    own_test, own_val = one_of(test, k), one_of(val, k)
    result = build_result(
        run,
        test=own_test,
        val=own_val,
        class_names=(f"no {name}", name),
        positive=1,
        looks=looks,
        n_resamples=n_resamples,
        seed=seed,
        known=known,
    )
    scores, is_present = own_test.probabilities[:, 1], own_test.labels == 1
    precision = bootstrap_interval(
        lambda images: average_precision(scores[images], is_present[images]),
        own_test.patients,
        n_resamples=n_resamples,
        seed=seed,
    )
    return FindingResult(
        name=name,
        result=replace(result, cases=()),
        n_present=int(is_present.sum()),
        n_absent=int((~is_present).sum()),
        n_unknown=len(test.labels) - len(own_test.labels),
        average_precision=_with_doubt(estimate_of(precision)),
        brier=brier_score(own_test.probabilities, own_test.labels),
        calibration_error=reliability_bins(scores, is_present).expected_error,
    )


def _with_doubt(estimate: Estimate) -> Estimate:
    """Take back an interval without width: resamples of a perfect ranking see no doubt in it."""
    if estimate.low == estimate.high:
        return replace(estimate, low=float("nan"), high=float("nan"))
    return estimate


def one_of(scored: Scored, k: int) -> Scored:
    """Return the images of which a finding is known, as of a task of two classes."""
    is_known = scored.labels[:, k] != UNKNOWN
    present = scored.probabilities[is_known, k]
    return Scored(
        probabilities=np.stack([1.0 - present, present], axis=1),
        labels=scored.labels[is_known, k],
        patients=scored.patients[is_known],
        records=scored.records[is_known],
        unit=scored.unit,
    )


def _presence(result: EvaluationResult) -> ClassResult:
    return result.per_class[1]


def _named(curves: list[dict[str, RocCurve]]) -> dict[str, RocCurve]:
    return {name: curve for own in curves for name, curve in own.items()}


def _mean(values: list[float]) -> float:
    """Return the mean of the findings that have the number; ``nan`` if none has."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _sentence(auroc: float, n_findings: int, of: str) -> str:
    if n_findings == 1:
        which = "Of two random images, one with and one without the finding"
    else:
        which = (
            f"Averaged over {n_findings} findings: of two random images, one with and one without "
            "a finding"
        )
    return f"{which}, the one with it gets the higher score {100 * auroc:.0f} times in 100; {of}."
