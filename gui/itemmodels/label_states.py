"""What is known of each finding of images: present, absent, unknown, or not the same for all.

Many records share one mapping of findings, so each mapping is looked at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from PySide6.QtCore import QCoreApplication

from engine.contract.records import SPLITS, ClassSummary, ImageRecord

__all__ = [
    "SIGNS",
    "Mark",
    "MarkCounts",
    "count_marks",
    "is_clear",
    "is_unread",
    "label_text",
    "left_out_findings",
    "mark_of",
    "mark_text",
    "present_names",
]

Findings = Mapping[int, int | None]


class Mark(StrEnum):
    """How a finding stands."""

    PRESENT = "present"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    MIXED = "mixed"


SIGNS: Final = {Mark.PRESENT: "+", Mark.ABSENT: "−", Mark.UNKNOWN: "?", Mark.MIXED: "±"}


@dataclass(frozen=True, slots=True)
class MarkCounts:
    """In how many images a finding is present, absent and unknown."""

    n_present: int = 0
    n_absent: int = 0
    n_unknown: int = 0

    @property
    def common(self) -> Mark:
        """What all images have in common; unknown without images."""
        counts = (self.n_present, self.n_absent, self.n_unknown)
        marks = (Mark.PRESENT, Mark.ABSENT, Mark.UNKNOWN)
        found = [mark for mark, n in zip(marks, counts, strict=True) if n]
        return Mark.UNKNOWN if not found else found[0] if len(found) == 1 else Mark.MIXED


def mark_of(findings: Findings, class_id: int) -> Mark:
    """Return how a finding stands in one image; what nobody said anything on is unknown."""
    value = findings.get(class_id)
    return Mark.UNKNOWN if value is None else Mark.PRESENT if value else Mark.ABSENT


def count_marks(
    records: Iterable[ImageRecord], classes: Sequence[ClassSummary]
) -> dict[int, MarkCounts]:
    """Return by class id in how many images each finding is present, absent and unknown."""
    mappings: dict[int, Findings] = {}
    times: Counter[int] = Counter()
    for record in records:
        key = id(record.findings)
        times[key] += 1
        mappings[key] = record.findings
    pairs: Counter[tuple[int, int | None]] = Counter()
    for key, findings in mappings.items():
        n = times[key]
        if n == 1:
            pairs.update(findings.items())  # counts in C
        else:
            for pair in findings.items():
                pairs[pair] += n
    total = times.total()
    return {
        c.id: MarkCounts(pairs[c.id, 1], pairs[c.id, 0], total - pairs[c.id, 1] - pairs[c.id, 0])
        for c in classes
    }


def left_out_findings(
    records: Iterable[ImageRecord], classes: Sequence[ClassSummary]
) -> dict[str, str]:
    """Return findings that a run on all of them would leave out, each with the reason, by name.

    Nothing where one is chosen to be learned alone.
    """
    import numpy as np  # with the project, which is open by then

    from engine.project.learnable import why_not_learnable

    if any(c.is_positive for c in classes):
        return {}
    in_use = [c for c in classes if c.index is not None]
    mappings: dict[int, Findings] = {}
    times: Counter[tuple[str | None, int]] = Counter()
    for record in records:
        if record.excluded is None:
            key = id(record.findings)
            times[record.split, key] += 1
            mappings[key] = record.findings
    pairs: Counter[tuple[str | None, int, int | None]] = Counter()
    for (split, key), n in times.items():
        for class_id, value in mappings[key].items():
            pairs[split, class_id, value] += n
    counts = [
        [[pairs[part, c.id, value] for value in (0, 1)] for c in in_use] for part in (*SPLITS, None)
    ]
    return why_not_learnable(
        np.array(counts, dtype=np.int64).reshape(len(SPLITS) + 1, len(in_use), 2),
        [c.name for c in in_use],
    )


def is_unread(findings: Findings) -> bool:
    """Return whether nothing is known of an image."""
    values = findings.values()
    return 1 not in values and 0 not in values


def is_clear(findings: Findings) -> bool:
    """Return whether something is known of an image, and nothing of it is present."""
    values = findings.values()
    return 1 not in values and 0 in values


def present_names(findings: Findings, classes: Iterable[ClassSummary]) -> list[str]:
    """Return the names of the findings that are present, in the order of the classes."""
    return [c.name for c in classes if findings.get(c.id)]


def label_text(findings: Findings, classes: Iterable[ClassSummary]) -> str:
    """Return the findings of an image in words: "Pneumonia, Effusion", "No finding"."""
    if names := present_names(findings, classes):
        return ", ".join(names)
    return _tr("No label") if is_unread(findings) else _tr("No finding")


def mark_text(mark: Mark) -> str:
    """Return a mark as people read it."""
    words = {
        Mark.PRESENT: _tr("present"),
        Mark.ABSENT: _tr("absent"),
        Mark.UNKNOWN: _tr("unknown"),
        Mark.MIXED: _tr("mixed"),
    }
    return words[mark]


def _tr(text: str) -> str:
    return QCoreApplication.translate("LabelStates", text)
