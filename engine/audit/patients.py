"""Patients: on one side of the split, in one class or in several, or not known at all."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.audit.study import UNASSIGNED, Study
from engine.audit.words import key_of
from engine.contract.records import Finding
from engine.contract.units import PLURALS
from engine.data.phrases import count_of, verb
from engine.splits.leakage import check_no_overlap

LEAK_KIND: Final = "split_leak"
PROOF_KIND: Final = "patients_apart"
CLASSES_KIND: Final = "patient_in_classes"
UNKNOWN_KIND: Final = "unknown_patients"


def find_split_leaks(study: Study) -> list[Finding]:
    """Look every patient up in every part of the split, and say what came of it."""
    if not study.has_split:
        return []
    proof = check_no_overlap(study.groups, study.split)
    if proof.overlaps:
        return [_leak(study, np.array([overlap.group for overlap in proof.overlaps]))]
    counts = proof.n_groups
    unit = PLURALS[study.unit]
    return [
        Finding(
            kind=PROOF_KIND,
            key="",
            severity="info",
            n=int((study.split != UNASSIGNED).sum()),
            sentence=f"No {study.unit} is on two sides of the split: all "
            f"{sum(counts.values()):,} {unit} were looked up, {counts['train']:,} in training, "
            f"{counts['val']:,} in validation and {counts['test']:,} in test.",
            figures={f"n_{name}": count for name, count in counts.items()},
        )
    ]


def _leak(study: Study, groups: NDArray[np.int64]) -> Finding:
    is_leaking = np.isin(study.groups, groups) & (study.split != UNASSIGNED)
    n = len(groups)
    return Finding(
        kind=LEAK_KIND,
        key=key_of(groups),
        severity="high",
        n=int(is_leaking.sum()),
        sentence=f"{count_of(n, 'patient', 'has')} images on two sides of the split, or "
        f"{verb(n, 'is')} kept together with one on another side: "
        f"{count_of(int(is_leaking.sum()), 'image')}.",
        advice="Make the split anew; it keeps each patient, and patients that are kept together, "
        "on one side.",
        records=study.ids(is_leaking),
        figures={"n_patients": n},
    )


def find_patients_in_several_classes(study: Study) -> list[Finding]:
    """Find patients whose images are of several classes."""
    if not study.has_one_class or study.unit != "patient":
        return []
    several = _in_several_classes(study.patients, study.labels)
    if len(several) == 0:
        return []
    is_theirs = np.isin(study.patients, several)
    n, n_images = len(several), int(is_theirs.sum())
    classes = "both classes" if len(study.class_names) == 2 else "several classes"
    return [
        Finding(
            kind=CLASSES_KIND,
            key=key_of(study.ids(is_theirs)),
            severity="info",
            n=n_images,
            sentence=f"{count_of(n, 'patient', 'has')} images in {classes}: "
            f"{count_of(n_images, 'image')}.",
            advice="This is often right, as when a disease came or went between two examinations. "
            "Look whether it is; each patient is on one side of a split all the same.",
            records=study.ids(is_theirs),
            figures={"n_patients": n},
        )
    ]


def _in_several_classes(
    patients: NDArray[np.int64], labels: NDArray[np.int64]
) -> NDArray[np.int64]:
    pairs = np.unique(np.stack([patients, labels], axis=1), axis=0)
    found, n_classes = np.unique(pairs[:, 0], return_counts=True)
    several: NDArray[np.int64] = found[n_classes > 1]
    return several


def find_unknown_patients(study: Study) -> list[Finding]:
    """Say so when files or studies stand in for patients."""
    if study.unit == "patient":
        return []
    n = len(np.unique(study.groups))
    return [
        Finding(
            kind=UNKNOWN_KIND,
            key=study.unit,
            severity="medium" if study.unit == "file" else "low",
            n=len(study),
            sentence=f"No patient ids are known: each {study.unit} counts as a patient of its own, "
            f"{n:,} in all.",
            advice="If patients have several images, import with a patient column or a pattern for "
            "the file name: otherwise one patient may be on two sides of the split, and results "
            "look too good. If each patient has one, accept this.",
        )
    ]
