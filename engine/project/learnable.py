"""Which of several findings can be learned at once, and why the others can't."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST_TRAIN: Final = 5
LEAST_HELD_OUT: Final = 2
"""Images with and images without a finding that each part must hold. Fewer teach or measure
nothing: of two images with a finding one alone moves the AUROC by up to a half."""

_PARTS: Final = (
    ("training", LEAST_TRAIN),
    ("validation", LEAST_HELD_OUT),
    ("test", LEAST_HELD_OUT),
)


def count_states(values: NDArray[np.int8], split: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return how many images of each part are without and with each finding, ``(4, K, 2)``.

    Args:
        values: 1 present, 0 absent, -1 unknown, shape ``(N, K)``.
        split: 0 train, 1 validation, 2 test, -1 none (the last row of the result), ``(N,)``.
    """
    parts = [values[split == code] for code in (0, 1, 2, -1)]
    return np.stack(
        [np.stack([(part == 0).sum(axis=0), (part == 1).sum(axis=0)], axis=1) for part in parts]
    )


def why_not_learnable(counts: NDArray[np.int64], names: Sequence[str]) -> dict[str, str]:
    """Return the findings that can't be learned now, each with a sentence that says why.

    A part of the division that holds no images at all, as the test part of a study that is tested
    elsewhere, asks for nothing. Before images are divided all of them count as training images.

    Args:
        counts: As :func:`count_states` gives them.
        names: K names.
    """
    used = [
        (part, name, least)
        for part, (name, least) in zip(counts[:3], _PARTS, strict=True)
        if part.any()
    ] or [(counts.sum(axis=0), "labelled", LEAST_TRAIN)]
    reasons: dict[str, str] = {}
    for k, finding in enumerate(names):
        found = (_reason(part[k], name, least) for part, name, least in used)
        if reason := next(filter(None, found), ""):
            reasons[finding] = reason
    return reasons


def _reason(counts: NDArray[np.int64], part: str, least: int) -> str:
    for state, verb in ((1, ("shows", "show")), (0, ("is without", "are without"))):
        n = int(counts[state])
        if n < least:
            images = "image" if n == 1 else "images"
            return f"{n or 'no'} {part} {images} {verb[n != 1]} it; at least {least} must."
    return ""
