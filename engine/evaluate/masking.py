"""Whether a network withstood an attack, or the attack merely failed.

A network whose gradients vanish, break or mislead looks robust to every attack that follows them.
The signs of that are known: less effort does more harm than more, a change without limit doesn't
do all harm, or a search without gradients finds what gradients didn't.

References:
    Athalye et al., "Obfuscated Gradients Give a False Sense of Security: Circumventing Defenses to
    Adversarial Examples", ICML 2018, section 3.1.
    Carlini et al., "On Evaluating Adversarial Robustness", arXiv:1902.06705, 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

from engine.contract.results import MaskingCheck
from engine.evaluate.worst_case import Strength, WorstCaseSearch

LARGE_CHANGE: Final = 0.5  # every image can become mid-grey, and from there almost anything
N_LARGE: Final = 32
N_BLIND: Final = 20
BLIND_TRIES: Final = 150
_MAX_RIGHT: Final = 0.1
_MAX_WITHOUT_GRADIENT: Final = 0.05
_TOLERANCE: Final = 0.02
_MIN_IMAGES: Final = 2  # one image more or less proves nothing


def check_masking(
    search: WorstCaseSearch, strengths: Sequence[Strength], *, answers: str = ""
) -> tuple[MaskingCheck, ...]:
    """Look for every sign; there is none if the network says the same about every image.

    Args:
        search: Has attacked at all strengths.
        strengths: What it found, ascending.
        answers: What there are several of an image, such as ``findings``; empty for one answer.
    """
    if search.has_one_answer:
        return ()
    return (
        _gradient(search),
        _less_effort("one_step", "A single step", strengths),
        _less_effort("noise", "Random noise", strengths),
        _large_change(search, answers),
        _without_gradient(search, strengths),
    )


def _gradient(search: WorstCaseSearch) -> MaskingCheck:
    share = search.share_without_gradient
    return MaskingCheck(
        key="gradient",
        is_passed=share <= _MAX_WITHOUT_GRADIENT,
        sentence=f"At {_percent(share)} of the points on the way there is no gradient to follow.",
    )


def _less_effort(key: str, name: str, strengths: Sequence[Strength]) -> MaskingCheck:
    """Compare with an attack that takes less effort and so must not do more harm."""
    n = len(strengths[0].iterated.margins)
    allowed = max(_TOLERANCE, _MIN_IMAGES / n)
    excess = [
        strength.iterated.share_right - getattr(strength, key).share_right for strength in strengths
    ]
    worst = max(range(len(excess)), key=excess.__getitem__)
    at = f"{strengths[worst].epsilon * 255:g}/255"
    if excess[worst] > allowed:
        sentence = f"{name} does more harm than many steps along the gradient (at {at})."
    else:
        sentence = f"{name} never does more harm than many steps along the gradient."
    return MaskingCheck(key=key, is_passed=excess[worst] <= allowed, sentence=sentence)


def _large_change(search: WorstCaseSearch, answers: str) -> MaskingCheck:
    n = len(search.images)
    rows = torch.linspace(0, n - 1, min(n, N_LARGE)).round().long().to(search.images.device)
    found = search.climb(rows, search.images[rows], search.decision.loss, epsilon=LARGE_CHANGE)
    again = rows[found.answers.is_right]
    if len(again):
        still = torch.nonzero(found.answers.is_right)[:, 0]
        middle = torch.full_like(search.images[again], 0.5)
        climbed = search.climb(again, middle, search.decision.loss, epsilon=LARGE_CHANGE)
        found.take(still, climbed)
    share = found.answers.share_right
    what = f"{f'the {answers} of ' if answers else ''}{len(rows)} images"
    return MaskingCheck(
        key="large_change",
        is_passed=share <= _MAX_RIGHT,
        sentence=(
            f"With changes up to half of the grey range {_percent(share)} of {what} stay right; it "
            "should be none."
        ),
    )


def _without_gradient(search: WorstCaseSearch, strengths: Sequence[Strength]) -> MaskingCheck:
    """Search blindly for images that withstood, at the greatest strength that left some."""
    left = [strength for strength in strengths if strength.iterated.is_right.any()]
    if not left:
        return MaskingCheck(
            key="without_gradient",
            is_passed=True,
            sentence="No image was left for a search that uses no gradients.",
        )
    strength = left[-1]
    rows = torch.nonzero(strength.iterated.is_right)[:N_BLIND, 0]
    found = search.search_blindly(rows, epsilon=strength.epsilon, n_tries=BLIND_TRIES)
    before, after = strength.iterated.of(rows), found.answers
    # Of several answers it is enough that one more is turned, by a change that is worse over all.
    n_found = int(((after.n_right < before.n_right) & (after.harm > before.harm)).sum())
    return MaskingCheck(
        key="without_gradient",
        is_passed=n_found < max(_MIN_IMAGES, _MAX_RIGHT * len(rows)),
        sentence=(
            f"A search that uses no gradients turns {n_found} of {len(rows)} images that withstood "
            f"({strength.epsilon * 255:g}/255)."
        ),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
