"""Whether the borders that make images square give the class away, and which fit does not.

Where classes differ in shape, letterboxing tells the network so: the number of flat rows or columns
at the edge, in whatever grey, is the shape. This measures it on the images as they would look under
each rule, with the same ruler: how many outer rows and columns are flat, and their grey.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.audit.clues import Clue
from engine.audit.pictures import thumbnail_contents
from engine.audit.shortcuts import (
    KIND,
    LARGE,
    Measured,
    figures_of,
    flagged_targets,
    severity_of,
    telling,
)
from engine.audit.study import Study, Target
from engine.audit.words import percent
from engine.contract.records import Finding
from engine.metrics.ranking import auroc
from engine.project.findings import CROP

_MOST_LOOKED_AT: Final = 4000
_DIFFERENT_SHAPE: Final = 0.02
_FLAT: Final = 1
"""Grey levels by which a flat row may vary."""
_CUT_OFF_MUCH: Final = 0.35
_GUESSING: Final = 0.55
_SEED: Final = 0
Fit = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


def find_telling_borders(study: Study) -> list[Finding]:
    """Find out whether letterboxing tells the classes apart, and what each other rule would do."""
    contract = study.project.image_contract
    if contract.fit != "letterbox" or not _shapes_differ(study):
        return []
    rules: dict[str, Fit] = {
        "black": _on_black,
        "edge_mean": _on_edge_mean,
        "center_crop": _cropped,
    }
    clues = _border_clues(study, rules)
    flagged = flagged_targets(study, clues[contract.padding], n_clues=1)
    if not flagged:
        return []
    worst = flagged[0]
    other = "edge_mean" if contract.padding == "black" else "black"
    values = {rule: _auroc(study, clues[rule], worst.target) for rule in (other, "center_crop")}
    return [_finding(study, worst, other, values)]


def _finding(study: Study, worst: Measured, other: str, values: dict[str, float]) -> Finding:
    numbers = study.facts.numbers
    shorter = np.minimum(numbers["width"], numbers["height"])
    cut_off = float(np.median(1 - shorter / np.maximum(numbers["width"], numbers["height"])))
    crop = values["center_crop"]
    helps = crop < LARGE or crop < worst.interval.estimate - 0.1
    in_grey = "in the mean grey of the edge" if other == "edge_mean" else "in black"
    advice = (
        "Crop the images to their centre square, so that nothing is added; of the longer side "
        f"{percent(cut_off)} is cut off in the median."
        if helps
        else "The images have such borders themselves; cut them off in the originals."
    )
    if cut_off > _CUT_OFF_MUCH:
        advice += " That is much: look whether what matters is still inside."
    return Finding(
        kind=KIND,
        key="borders",
        severity=severity_of(worst.interval.estimate),
        n=len(study),
        sentence=f"The borders that make the images square alone tell {telling(worst)}, because "
        f"the classes differ in shape. Borders {in_grey} would tell them with {values[other]:.2f}; "
        "cropped to the centre square, the empty edges that images have themselves tell them "
        f"{_said(crop)}.",
        advice=advice,
        figures={
            **figures_of(worst.interval),
            f"auroc_{other}": values[other],
            "auroc_center_crop": crop,
            "cut_off": cut_off,
        },
        remedy=CROP if helps else "",
    )


def _said(value: float) -> str:
    return "no better than guessing" if value < _GUESSING else f"with {value:.2f}"


def _shapes_differ(study: Study) -> bool:
    ratio = study.facts.numbers["width"] / study.facts.numbers["height"]
    differs = np.abs(np.log(ratio / np.median(ratio))) > _DIFFERENT_SHAPE
    return bool(differs.mean() > _DIFFERENT_SHAPE)


def _border_clues(study: Study, rules: dict[str, Fit]) -> dict[str, Clue]:
    """Return what the outer rows and columns show under each rule, of a random part if many."""
    n = len(study)
    looked_at = np.sort(np.random.default_rng(_SEED).permutation(n)[:_MOST_LOOKED_AT])
    numbers = {rule: np.full((n, 5), np.nan) for rule in rules}
    for done, content in enumerate(thumbnail_contents(study, looked_at)):
        for rule, fit in rules.items():
            numbers[rule][looked_at[done]] = flat_edges(fit(content))
        study.tick(done + 1, len(looked_at))
    return {
        rule: Clue(key="borders", name="The borders", numbers=values, advice="")
        for rule, values in numbers.items()
    }


def flat_edges(square: NDArray[np.uint8]) -> tuple[float, float, float, float, float]:
    """Return the shares of the side that are flat from top, bottom, left and right, and their grey.

    Args:
        square: Grey image, shape ``(S, S)``.

    Returns:
        The last number is 0 to 255; 0 where nothing is flat.
    """
    side = len(square)
    rows, columns = np.ptp(square, axis=1) <= _FLAT, np.ptp(square, axis=0) <= _FLAT
    top, bottom = _run(rows), _run(rows[::-1])
    left, right = _run(columns), _run(columns[::-1])
    inner = square[top : side - bottom, left : side - right]
    n_flat = square.size - inner.size
    grey = (float(square.sum()) - float(inner.sum())) / n_flat if n_flat else 0.0
    return top / side, bottom / side, left / side, right / side, grey


def _run(is_flat: NDArray[np.bool_]) -> int:
    """Return how many at the beginning are flat; none if all are."""
    return 0 if is_flat.all() else int(np.argmin(is_flat))


def _on_black(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _letterboxed(content, 0)


def _on_edge_mean(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    edges = (content[0], content[-1], content[1:-1, 0], content[1:-1, -1])
    return _letterboxed(content, round(float(np.concatenate(edges).mean())))


def _letterboxed(content: NDArray[np.uint8], grey: int) -> NDArray[np.uint8]:
    height, width = content.shape
    side = max(height, width)
    square = np.full((side, side), grey, dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = content
    return square


def _cropped(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = content.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return content[top : top + side, left : left + side]


def _auroc(study: Study, clue: Clue, target: Target) -> float:
    chosen = np.flatnonzero(target.is_known & clue.is_known)
    is_positive = target.is_positive[chosen]
    scores = clue.scores(chosen, is_positive, study.groups[chosen])
    return auroc(scores, is_positive)
