"""Labels that a simple classifier contradicts more surely than hard images explain.

The classifier is a linear layer on the features of a pre-trained network. Each image is judged by
one that was fitted on other patients, whatever part of the split they are in. Nothing of it is
kept, and nothing of a run is chosen by it. Suspects are those that both the mixture of
``engine.audit.label_noise`` and confident learning (cleanlab) name.

References:
    Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels",
    JAIR 2021.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.audit.folds import out_of_fold, patient_folds
from engine.audit.label_noise import LabelNoise, calibrated_loss, estimate_label_noise
from engine.audit.study import Study
from engine.audit.words import key_of, percent
from engine.contract.records import Finding
from engine.data.phrases import count_of, verb

KIND: Final = "label_suspects"
_FEWEST_PATIENTS: Final = 20
"""Of each class; with fewer there is no telling."""
_STRENGTHS: Final = (1.0, 10.0, 100.0)
_MOST_FITTED: Final = 20_000
_FEWEST_FITTED: Final = 500
"""Of each class, where there are as many."""
_LIKELY: Final = 0.5
_MANY: Final = 0.1
_SOME: Final = 0.02
_SEED: Final = 0


def find_label_errors(study: Study) -> list[Finding]:
    """Find labels that are probably wrong.

    Raises:
        EngineError: If there are no features: no weights, or originals that can't be read.
    """
    if study.has_one_class:
        everything = np.arange(len(study))
        return _suspects(study, everything, study.labels, study.class_names)
    findings = []
    for target in study.targets:
        known = np.flatnonzero(target.is_known)
        labels = target.is_positive[known].astype(np.int64)
        findings += _suspects(study, known, labels, (target.other, target.name))
    return findings


def _suspects(
    study: Study, chosen: NDArray[np.int64], labels: NDArray[np.int64], names: tuple[str, ...]
) -> list[Finding]:
    groups = study.groups[chosen]
    n_patients = [len(np.unique(groups[labels == k])) for k in range(len(names))]
    if len(names) < 2 or min(n_patients) < _FEWEST_PATIENTS:
        return []
    logits = cross_validated_logits(study.features[chosen], labels, groups)
    noise = estimate_label_noise(logits, labels)
    if noise.share == 0.0:
        return []
    suspects = _named_by_both(noise, labels)
    if len(suspects) == 0:
        return []
    return [_finding(study, chosen, suspects, noise, names)]


def cross_validated_logits(
    features: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return class scores of every image by a model fitted on other patients, shape ``(N, K)``.

    Of several strengths of regularisation the one with the lowest loss is taken.

    Args:
        features: Shape ``(N, D)``.
        labels: Class indices, shape ``(N,)``.
        groups: Patients, shape ``(N,)``.
    """
    from sklearn.linear_model import LogisticRegression

    folds = patient_folds(groups, labels)
    is_fitted = _to_fit_on(labels)
    best: tuple[float, NDArray[np.float64]] | None = None
    for strength in _STRENGTHS:

        def fit(
            train: NDArray[np.int64], test: NDArray[np.int64], strength: float = strength
        ) -> NDArray[np.float64]:
            train = train[is_fitted[train]]
            model = LogisticRegression(C=strength, max_iter=200)
            model.fit(features[train], labels[train])
            scores = model.decision_function(features[test])
            return np.stack([-scores / 2, scores / 2], axis=1) if scores.ndim == 1 else scores

        logits = out_of_fold(folds, fit)
        loss = calibrated_loss(logits, labels)
        if best is None or loss < best[0]:
            best = (loss, logits)
    assert best is not None
    return best[1]


def _to_fit_on(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return a random part that can be fitted in reasonable time, with enough of each class."""
    shuffled = np.random.default_rng(_SEED).permutation(len(labels))
    is_chosen = np.zeros(len(labels), dtype=np.bool_)
    is_chosen[shuffled[:_MOST_FITTED]] = True
    for k in np.unique(labels):
        is_chosen[shuffled[labels[shuffled] == k][:_FEWEST_FITTED]] = True
    return is_chosen


def _named_by_both(noise: LabelNoise, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the images that mixture and confident learning suspect, the likeliest first."""
    from cleanlab.filter import find_label_issues

    confident = find_label_issues(
        labels, noise.probabilities, filter_by="prune_by_noise_rate", n_jobs=1
    )
    suspects = np.flatnonzero((noise.is_wrong > _LIKELY) & confident)
    return suspects[np.argsort(-noise.is_wrong[suspects], kind="stable")]


def _severity(share: float) -> str:
    return "high" if share >= _MANY else "medium" if share >= _SOME else "low"


def _finding(
    study: Study,
    chosen: NDArray[np.int64],
    suspects: NDArray[np.int64],
    noise: LabelNoise,
    names: tuple[str, ...],
) -> Finding:
    n, expected = len(suspects), float(noise.is_wrong.sum())
    records = tuple(study.record_ids[chosen[suspects]].tolist())
    about = "" if study.has_one_class else f" for {names[1]}"
    return Finding(
        kind=KIND,
        key=f"{'' if study.has_one_class else names[1]}/{key_of(records)}",
        severity=_severity(expected / len(chosen)),
        n=n,
        sentence=f"About {expected:,.0f} of {len(chosen):,} labels{about} "
        f"({percent(expected / len(chosen))}) are probably wrong: {count_of(n, 'image')} "
        f"{verb(n, 'looks')} so much like another class that chance hardly explains it.",
        advice="Look at them, the likeliest first, and correct what you see to be wrong; don't "
        "change a label only because a classifier disagrees, least of all in the test part.",
        records=records,
        figures={"n_expected": expected, "share": noise.share},
    )
