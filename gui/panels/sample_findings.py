"""A validation image with several findings, in the few words that a cell of the strip has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QCoreApplication

from engine.contract.events import SamplePrediction
from engine.contract.targets import UNKNOWN
from gui.panels.sample_strip import SampleCell

__all__ = ["findings_cell"]

_EVEN: Final = 0.5


def findings_cell(
    sample: SamplePrediction, names: Sequence[str], row: int, patient: str
) -> SampleCell:
    """Return the most probable finding of an image, and whether all that is known is right.

    Thresholds are chosen when training has ended, so that until then even odds decide.

    Args:
        sample: What the network says of the image.
        names: Findings, in the order of the probabilities.
        row: Row of its thumbnail.
        patient: Pseudonym.
    """
    probabilities = sample.probabilities
    first = max(range(len(probabilities)), key=probabilities.__getitem__)
    known = dict(enumerate(names))
    pairs = list(zip(probabilities, sample.findings, strict=True))
    predicted = [k for k, p in enumerate(probabilities) if p >= _EVEN]
    # The most probable first: the cell shows its bar, and little more than its name.
    predicted.sort(key=lambda k: -probabilities[k])
    return SampleCell(
        row=row,
        patient=patient,
        label=_joined([known.get(k, "") for k, value in enumerate(sample.findings) if value == 1]),
        predicted=_joined([known.get(k, "") for k in predicted or [first]]),
        class_index=first,
        probability=probabilities[first],
        is_right=all((p >= _EVEN) == (value == 1) for p, value in pairs if value != UNKNOWN),
    )


def _joined(names: Sequence[str]) -> str:
    return ", ".join(names) or QCoreApplication.translate("SampleFindings", "no finding")
