"""How well a clue that doesn't show the disease tells the classes apart, and for which it matters.

Reported is only what is both large (AUROC of 0.65 or more) and certain: the lower end of the 95 %
interval over patients lies above 0.6, and the difference from guessing is far beyond what the best
of all these clues would reach by luck (Bonferroni).

References:
    Zech et al., "Variable generalization performance of a deep learning model to detect pneumonia
    in chest radiographs", PLOS Medicine 2018. DeGrave, Janizek and Lee, "AI for radiographic
    COVID-19 detection selects shortcuts over signal", Nature Machine Intelligence 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.audit.clues import Clue, corner_clue, header_clues, sheet_clues
from engine.audit.study import Study, Target
from engine.audit.words import percent, with_interval
from engine.contract.records import SEVERITIES, Finding
from engine.metrics.intervals import Interval, bootstrap_auroc
from engine.metrics.ranking import auroc
from engine.project.findings import CROP

KIND: Final = "shortcut"
LARGE: Final = 0.65
CERTAIN: Final = 0.6
_HIGH: Final = 0.8
_MEDIUM: Final = 0.7
_FEWEST_PATIENTS: Final = 10
_LUCK: Final = 0.05
_MOST_CELLS: Final = 4_000_000
_SHAPE_KEYS: Final = ("width", "height", "aspect_ratio")
_EXPECTED: Final = (
    " Where the classes are different kinds of examination, this is to be expected: accept it."
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """How well a clue tells one class from the rest.

    Attributes:
        interval: AUROC with its 95 % interval over patients.
        chosen: Images of which clue and class are known, by index.
    """

    target: Target
    interval: Interval
    chosen: NDArray[np.int64]


def find_header_shortcuts(study: Study) -> list[Finding]:
    """Find what files, headers and sheet columns give away."""
    return _findings(study, [*header_clues(study), *sheet_clues(study)])


def find_corner_shortcuts(study: Study) -> list[Finding]:
    """Find out whether the corners give the class away.

    Raises:
        DatasetError: If originals are needed and can't be read.
    """
    return _findings(study, [corner_clue(study)])


def _findings(study: Study, clues: Sequence[Clue]) -> list[Finding]:
    clues = [clue for clue in clues if clue.varies]
    findings = []
    for done, clue in enumerate(clues, start=1):
        flagged = flagged_targets(study, clue, n_clues=len(clues))
        if flagged:
            findings.append(_finding(study, clue, flagged))
        study.tick(done, len(clues))
    return findings


def flagged_targets(study: Study, clue: Clue, *, n_clues: int) -> list[Measured]:
    """Return the classes that a clue gives away, the worst first.

    Args:
        study: The images.
        clue: What is tried.
        n_clues: How many clues are tried in all.
    """
    measured = [
        found
        for target in study.targets
        if (found := measure(study, clue, target, n_tests=n_clues * len(study.targets)))
    ]
    flagged = [found for found in measured if found.interval.low > CERTAIN]
    return sorted(flagged, key=lambda found: -found.interval.estimate)


def measure(study: Study, clue: Clue, target: Target, *, n_tests: int) -> Measured | None:
    """Return how well a clue tells a class apart; None if not well, or by luck.

    Args:
        study: The images.
        clue: What is tried; a single number counts in the direction that fits better.
        target: The class.
        n_tests: How many comparisons are made in all.
    """
    chosen = np.flatnonzero(target.is_known & clue.is_known)
    is_positive, groups = target.is_positive[chosen], study.groups[chosen]
    n_positive = len(np.unique(groups[is_positive]))
    n_negative = len(np.unique(groups[~is_positive]))
    if min(n_positive, n_negative) < _FEWEST_PATIENTS:
        return None
    scores = clue.scores(chosen, is_positive, groups)
    value = auroc(scores, is_positive)
    if clue.numbers is not None and clue.numbers.ndim == 1 and value < 0.5:
        scores, value = -scores, 1.0 - value
    if value < LARGE or _may_be_luck(value, n_positive, n_negative, n_tests):
        return None
    n_resamples = int(np.clip(_MOST_CELLS // len(chosen), 200, 2000))
    interval = bootstrap_auroc(scores, is_positive, groups, n_resamples=n_resamples)
    return Measured(target=target, interval=interval, chosen=chosen)


def _may_be_luck(value: float, n_positive: int, n_negative: int, n_tests: int) -> bool:
    """Return whether the best of many useless clues would often do as well.

    By the normal approximation of the Mann-Whitney statistic, patients counting once.
    """
    spread = np.sqrt((n_positive + n_negative + 1) / (12 * n_positive * n_negative))
    p = 2 * (1 - NormalDist().cdf((value - 0.5) / float(spread)))
    return p * n_tests > _LUCK


def severity_of(value: float, worst: str = "high") -> str:
    """Return how serious an AUROC is, but never more so than ``worst``."""
    found = "high" if value >= _HIGH else "medium" if value >= _MEDIUM else "low"
    return max(found, worst, key=SEVERITIES.index)


def telling(found: Measured) -> str:
    """Return ``PNEUMONIA from NORMAL with an AUROC of 0.88 (95 % interval 0.85 to 0.90)``."""
    target = found.target
    return f"{target.name} from {target.other} with an AUROC of {with_interval(found.interval)}"


def _finding(study: Study, clue: Clue, flagged: Sequence[Measured]) -> Finding:
    worst = flagged[0]
    n_more = len(flagged) - 1
    others = "another class" if n_more == 1 else f"{n_more:,} other classes"
    more = f" The same holds for {others}." if n_more else ""
    verb = "tell" if clue.key == "corners" else "tells"
    is_cropped = study.project.image_contract.fit == "center_crop"
    is_shape = clue.key in _SHAPE_KEYS
    severity = severity_of(
        worst.interval.estimate, "medium" if is_shape and is_cropped else clue.worst
    )
    advice = clue.advice
    if is_shape and not is_cropped:
        advice += " Cropped to their centre square, all have the same shape."
    elif is_shape:
        advice += " They are cropped to their centre square already: no border gives it away."
    if len(study.targets) > 1 and study.has_one_class:
        advice += _EXPECTED
    return Finding(
        kind=KIND,
        key=clue.key,
        severity=severity,
        n=len(worst.chosen),
        sentence=f"{clue.name} alone {verb} {telling(worst)}.{_example(clue, worst)}{more}",
        advice=advice,
        figures=figures_of(worst.interval),
        remedy=CROP if is_shape and not is_cropped else "",
    )


def figures_of(interval: Interval) -> dict[str, float]:
    """Return an AUROC by the names under which the window draws it."""
    return {
        "auroc": interval.estimate,
        "auroc_low": interval.low,
        "auroc_high": interval.high,
    }


def _example(clue: Clue, found: Measured) -> str:
    """Return a sentence on how the classes differ."""
    target, chosen = found.target, found.chosen
    is_positive = target.is_positive[chosen]
    if clue.words is not None:
        words = np.array([clue.words[i] for i in chosen])
        shares = {
            word: (
                float(np.mean(words[is_positive] == word)),
                float(np.mean(words[~is_positive] == word)),
            )
            for word in np.unique(words)
        }
        word, (there, elsewhere) = max(shares.items(), key=lambda item: item[1][0] - item[1][1])
        said = f"“{word}”" if word else "“Not known”"
        return (
            f" {said} makes up {percent(there)} of {target.name} and {percent(elsewhere)} of "
            f"{target.other}."
        )
    assert clue.numbers is not None
    if clue.numbers.ndim > 1 or clue.key == "acquired":
        return ""
    values = clue.numbers[chosen]
    there, elsewhere = (float(np.median(values[part])) for part in (is_positive, ~is_positive))
    return (
        f" Its median is {_number(there)}{clue.unit} in {target.name} and {_number(elsewhere)} in "
        f"{target.other}."
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
