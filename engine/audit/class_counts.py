"""Whether the classes are large enough for the split, and how sure a test on them can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.audit.study import UNASSIGNED, Study
from engine.audit.words import listed, percent
from engine.contract.commands import MakeSplit
from engine.contract.records import SPLITS, Finding
from engine.contract.units import PLURALS, units
from engine.metrics.intervals import wilson_interval

KIND: Final = "class_counts"
IMBALANCE_KIND: Final = "class_imbalance"
_FEWEST: Final = len(SPLITS)
_TOO_FEW: Final = 10
_FEW: Final = 30
_EXAMPLE: Final = 0.9
"""The sensitivity that the interval is worked out for."""
_ADVICE: Final = {
    "medium": "Too few for a result that can be relied on: add patients, merge classes, or give "
    "the test part a larger share.",
    "low": "Enough for a first look; add patients before relying on the result.",
    "info": "Other classes are known at least as well; more patients make it narrower.",
}
_IMBALANCED: Final = 3.0
_VERY_IMBALANCED: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Size:
    """Patients with a class, in all and in the test part, present or to be expected."""

    name: str
    n_patients: int
    n_test: int


def find_class_counts(study: Study) -> list[Finding]:
    """Say whether each class has enough patients, and how wide intervals will be."""
    sizes = _sizes(study)
    if len(sizes) < 2 and study.has_one_class:
        return []
    unit = PLURALS[study.unit]
    scarce = [size for size in sizes if size.n_patients < _FEWEST]
    if scarce:
        names = listed([f"{s.name} ({s.n_patients:,})" for s in scarce])
        n = len(scarce)
        return [
            Finding(
                kind=KIND,
                key="/".join(s.name for s in scarce),
                severity="high",
                n=sum(s.n_patients for s in scarce),
                sentence=f"{'A class has' if n == 1 else f'{n:,} classes have'} fewer than "
                f"{_FEWEST} {unit}: {names}. A split needs one in each part.",
                advice=f"Add {unit} of this class, merge it with another, or leave it out."
                if n == 1
                else f"Add {unit} of these classes, merge them with others, or leave them out.",
            )
        ]
    return [_expected_interval(study, sizes)]


def _sizes(study: Study) -> list[_Size]:
    masks = [(target.name, target.is_positive) for target in study.targets]
    if study.has_one_class:
        masks = [(name, study.labels == k) for k, name in enumerate(study.class_names)]
    test_share = MakeSplit(project="").fractions[2]
    sizes = []
    for name, is_class in masks:
        n = len(np.unique(study.groups[is_class]))
        in_test = is_class & (study.split == SPLITS.index("test"))
        n_test = len(np.unique(study.groups[in_test])) if study.has_split else int(n * test_share)
        sizes.append(_Size(name, n, n_test))
    return sizes


def _expected_interval(study: Study, sizes: list[_Size]) -> Finding:
    smallest = min(sizes, key=lambda size: size.n_test)
    n, unit = smallest.n_test, PLURALS[study.unit]
    if n == 0:
        return Finding(
            kind=KIND,
            key=f"test/none/{smallest.name}",
            severity="high",
            n=0,
            sentence=f"The test part {'has' if study.has_split else 'would have'} no {study.unit} "
            f"of {smallest.name}: nothing can be said about this class.",
            advice=f"Make the split anew, or add {unit} of this class.",
        )
    n_right = round(_EXAMPLE * n)
    interval = wilson_interval(n_right, n)
    severity = "medium" if n < _TOO_FEW else "low" if n < _FEW else "info"
    return Finding(
        kind=KIND,
        key=f"test/{severity}",
        severity=severity,
        n=0,
        sentence=f"The test part {'has' if study.has_split else 'would have about'} "
        f"{units(study.unit, n)} of {smallest.name}, the fewest of any class: if a "
        f"classifier recognised {n_right:,} of them, the true share could be anything from "
        f"{percent(interval.low)} to {percent(interval.high)}.",
        advice=_ADVICE[severity],
        figures={"n_test": n, "low": interval.low, "high": interval.high},
    )


def find_class_imbalance(study: Study) -> list[Finding]:
    """Say so when one class has many times the images of another."""
    if not study.has_one_class or len(study.class_names) < 2:
        return []
    counts = _image_counts(study)
    most, fewest = int(counts.argmax()), int(counts.argmin())
    ratio = counts[most] / max(1, counts[fewest])
    if ratio < _IMBALANCED * 0.95:  # 2.97 times is three times to anyone
        return []
    names = study.class_names
    severity = "medium" if ratio >= _VERY_IMBALANCED else "low"
    return [
        Finding(
            kind=IMBALANCE_KIND,
            key=severity,
            severity=severity,
            n=0,
            sentence=f"{names[most]} has {ratio:.1f} times as many images as {names[fewest]} "
            f"({counts[most]:,} and {counts[fewest]:,}).",
            advice=f"Judge by AUROC, sensitivity and specificity: calling every image "
            f"{names[most]} would be right in {percent(counts[most] / counts.sum())} of them. "
            "Leave the class weights on.",
            figures={"ratio": float(ratio)},
        )
    ]


def _image_counts(study: Study) -> NDArray[np.int64]:
    used = study.split != UNASSIGNED if study.has_split else np.ones(len(study), dtype=np.bool_)
    return np.bincount(study.labels[used], minlength=len(study.class_names)).astype(np.int64)
