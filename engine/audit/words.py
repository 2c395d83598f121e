"""How figures and findings read in sentences, and how a finding is told from others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from engine.metrics.intervals import Interval

MOST_PAIRS: Final = 20_000
"""Pairs that a finding names, the most alike; a later audit finds the rest."""
_KEY_DIGITS: Final = 12


def percent(share: float) -> str:
    """Return a share such as ``12 %``; small ones with a digit more."""
    value = 100 * share
    return f"{value:.1f} %" if 0 < value < 1 or 99 < value < 100 else f"{value:.0f} %"


def with_interval(interval: Interval) -> str:
    """Return ``0.88 (95 % interval 0.85 to 0.90)``."""
    return f"{interval.estimate:.2f} (95 % interval {interval.low:.2f} to {interval.high:.2f})"


def listed(names: Sequence[str], joiner: str = "and") -> str:
    """Return names as in speech: ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {joiner} {names[-1]}"


def key_of(ids: Iterable[int]) -> str:
    """Return a short hash of some images, whatever their order: a finding on others is another."""
    text = ",".join(str(number) for number in sorted({int(number) for number in ids}))
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]
