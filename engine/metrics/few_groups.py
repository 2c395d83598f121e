"""Classes of so few patients that no figure on them says anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.units import units

_FEWEST: Final = 3
"""Of one or two patients hardly any resample differs from another, and one may decide all."""


def scarce_classes(
    labels: NDArray[np.int64], groups: NDArray[np.int64], class_names: Sequence[str]
) -> dict[str, int]:
    """Return the patients of each class that has fewer than three, by what they have.

    Args:
        labels: Class indices, shape ``(N,)``; or findings, ``(N, K)``, -1 unknown: of each, those
            with and those without it count.
        groups: Patient of every image, shape ``(N,)``.
        class_names: K names in index order.
    """
    if labels.ndim == 2:
        sides = [
            (f"{'' if state else 'no '}{name}", labels[:, k] == state)
            for k, name in enumerate(class_names)
            for state in (1, 0)
        ]
    else:
        sides = [(name, labels == k) for k, name in enumerate(class_names)]
    counts = {name: len(np.unique(groups[chosen])) for name, chosen in sides}
    return {name: n for name, n in counts.items() if n < _FEWEST}


def scarcity_sentence(scarce: Mapping[str, int], part: str, unit: str) -> str:
    """Return that nothing can be told of classes so small; empty without any.

    Args:
        scarce: As :func:`scarce_classes` returns it.
        part: Of the split, in words, as "validation".
        unit: What a group is: ``patient``, ``study`` or ``file``.
    """
    if not scarce:
        return ""
    found = ", ".join(f"{units(unit, n)} of “{name}”" for name, n in scarce.items())
    return f"Among the {part} images there {_be(scarce)} only {found}: too few to tell anything."


def _be(scarce: Mapping[str, int]) -> str:
    return "is" if next(iter(scarce.values())) == 1 else "are"
