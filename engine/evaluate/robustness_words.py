"""What a measurement of robustness means, for someone who isn't a statistician."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from engine.contract.results import AttackPoint, CorruptionPoint, FindingRobustness, MaskingCheck

_SHOWN_255: Final = 2.0
_SHOWN_SEVERITY: Final = 3
_HARMLESS: Final = 0.05
_CHANCE: Final = 0.05  # p-values below are none
_SMALL_LOSS: Final = 0.1
_SEEN: Final = 0.0005  # what three decimals show
_NAMES: Final = {
    "noise": "noise",
    "blur": "blur",
    "resolution": "low resolution",
    "contrast": "low contrast",
    "exposure": "wrong exposure",
    "jpeg": "JPEG compression",
    "rotation": "rotation",
}


def describe(
    attacks: Sequence[AttackPoint],
    corruptions: Sequence[CorruptionPoint],
    checks: Sequence[MaskingCheck],
    *,
    n_images: int,
    noise_p: Sequence[float],
    findings: Sequence[FindingRobustness] = (),
) -> tuple[str, ...]:
    """Return the results in a few sentences, the most important first.

    Args:
        attacks: By strength, from 0.
        corruptions: May be empty.
        checks: Signs of masked gradients; empty for a network that says the same about every image.
        n_images: Measured images.
        noise_p: At each strength but 0, how likely chance alone makes so much of a difference
            between noise and unchanged images.
        findings: Each finding's own, where several were learned at once; the others are means.
    """
    if not checks:
        return ("This classifier says the same about every image, so no change can turn anything.",)
    shown = min(attacks[1:], key=lambda point: abs(point.epsilon_255 - _SHOWN_255))
    is_chance = noise_p[attacks.index(shown) - 1] >= _CHANCE
    clean = attacks[0].accuracy.value
    what = f"Of {n_images} unchanged images"
    if findings:
        what = f"On average over the findings of {n_images} unchanged images"
    sentences = [
        f"{what} {_percent(clean)} are called right. If someone chose the "
        f"worst change of at most {_steps(shown.epsilon_255)} in 255, which nobody sees, "
        f"{_percent(shown.accuracy.value)} would be.",
        _by_accident(clean, shown, n_images, is_chance=is_chance),
    ]
    if len(findings) > 1:
        sentences.insert(1, _frailest(findings, attacks.index(shown)))
    if failed := [check for check in checks if not check.is_passed]:
        sentences.insert(
            0,
            "The attack may have failed rather than the classifier withstood it: the true worst "
            f"case may be worse than shown. {failed[0].sentence}",
        )
    if corruptions:
        sentences.append(_degraded(attacks[0], corruptions))
    return tuple(sentences)


def _frailest(findings: Sequence[FindingRobustness], at: int) -> str:
    def loss(finding: FindingRobustness) -> float:
        lost = finding.attacks[0].auroc.value - finding.attacks[at].auroc.value
        return lost if math.isfinite(lost) else -math.inf

    worst = max(findings, key=loss)
    if not loss(worst) >= _SEEN:
        return (
            "None of the findings loses AUROC then. The change is sought for all findings of an "
            "image together; one aimed at a single finding can do more."
        )
    return (
        f"Of the findings {worst.name} loses most then: its AUROC goes from "
        f"{worst.attacks[0].auroc.value:.3f} to {worst.attacks[at].auroc.value:.3f}. The change is "
        "sought for all findings of an image together; one aimed at a single finding can do more."
    )


def _by_accident(clean: float, shown: AttackPoint, n_images: int, *, is_chance: bool) -> str:
    if clean - shown.noise <= _HARMLESS:
        return (
            f"Random changes of the same size leave {_percent(shown.noise)} right: such a worst "
            "case doesn't come by accident, but matters where images could be tampered with."
        )
    if is_chance:
        return (
            f"Random changes of the same size leave {_percent(shown.noise)} of these {n_images} "
            "images right, a difference that can be chance: to know whether noise alone is a "
            "problem, measure more images."
        )
    return (
        f"Even random changes of the same size leave only {_percent(shown.noise)} of these "
        f"{n_images} images right, more than chance explains: noise alone is a problem for this "
        "classifier."
    )


def _degraded(clean: AttackPoint, corruptions: Sequence[CorruptionPoint]) -> str:
    if not any(_is_worse(point, clean) for point in corruptions):
        return (
            "No everyday degradation that was tried does harm: the AUROC stays at "
            f"{clean.auroc.value:.3f} or above."
        )
    points: dict[str, list[CorruptionPoint]] = {}
    for point in corruptions:
        points.setdefault(point.kind, []).append(point)
    worst = min(points, key=lambda kind: _means(points[kind]))
    at = next(point for point in points[worst] if point.severity == _SHOWN_SEVERITY)
    how = "at medium severity"
    if not _is_worse(at, clean):  # some harm only the severe ones do
        at = min(points[worst], key=lambda point: _means([point]))
        how = f"at severity {at.severity} of {max(p.severity for p in points[worst])}"
    sentence = (
        f"Of everyday degradations {_NAMES[worst]} hurts most: {how} the AUROC goes "
        f"from {clean.auroc.value:.3f} to {at.auroc.value:.3f}, the share called right from "
        f"{_percent(clean.accuracy.value)} to {_percent(at.accuracy.value)}."
    )
    moved = [p for p in corruptions if _has_moved(p, clean)]
    if len(moved) >= len(corruptions) / 4:
        sentence += (
            " Often the classifier still tells the classes apart, but all its probabilities have "
            "moved, so that the threshold no longer fits: images of another device may need "
            "another one."
        )
    return sentence


def _means(points: Sequence[CorruptionPoint]) -> tuple[float, float]:
    """Return the mean AUROC as figures show it, and the mean accuracy, which decides a tie."""
    auroc = round(float(np.mean([point.auroc.value for point in points])), 3)
    return auroc, float(np.mean([point.accuracy.value for point in points]))


def _is_worse(point: CorruptionPoint, clean: AttackPoint) -> bool:
    """Return whether a degradation took something that the figures show."""
    lost = clean.auroc.value - point.auroc.value, clean.accuracy.value - point.accuracy.value
    return any(loss >= _SEEN for loss in lost)


def _has_moved(point: CorruptionPoint, clean: AttackPoint) -> bool:
    """Return whether the ranking kept most of its worth and the decisions lost most of theirs."""
    ranking = clean.auroc.value - point.auroc.value
    decisions = clean.accuracy.value - point.accuracy.value
    return ranking < _SMALL_LOSS and decisions > 2.0 * _SMALL_LOSS


def _steps(epsilon_255: float) -> str:
    return "1 grey step" if epsilon_255 == 1 else f"{epsilon_255:g} grey steps"


def _percent(share: float) -> str:
    return "none" if share == 0 else f"{100 * share:.0f} %"
