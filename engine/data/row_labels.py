"""What the rows of a sheet say of their images: a class, a grade, or findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

NO_FINDING: Final = "No finding"


@dataclass(frozen=True, slots=True)
class RowLabel:
    """What one row says.

    Attributes:
        label: Class or grade; None where the row gives none.
        findings: Values by finding, of a sheet with several findings an image: 1 present, 0
            absent, None unknown. Empty where the row says nothing. Rows may share one.
        is_contradictory: Whether the row says two things at once that exclude each other.
    """

    label: str | None = None
    findings: Mapping[str, int | None] = field(default_factory=dict)
    is_contradictory: bool = False

    @property
    def is_blank(self) -> bool:
        """Whether the row says nothing."""
        return self.label is None and not self.findings and not self.is_contradictory


@dataclass(frozen=True, slots=True)
class SheetLabels:
    """Labels of a sheet.

    Attributes:
        task: ``single``, ``multi`` or ``ordinal``.
        classes: Classes, findings, or grades from lowest to highest.
        rows: One for each row of the table.
        unites_rows: Whether rows of one image add findings to it, each row naming some; else
            each row says everything.
        notes: What was assumed, in sentences.
    """

    task: str
    classes: tuple[str, ...]
    rows: list[RowLabel]
    unites_rows: bool = False
    notes: tuple[str, ...] = ()


class SharedFindings:
    """Findings of rows that say the same are one mapping: a sheet has few different rows."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._known: dict[tuple[int | None, ...], dict[str, int | None]] = {}

    def of(self, values: tuple[int | None, ...]) -> dict[str, int | None]:
        """Return values by finding, in the order of the names."""
        if values not in self._known:
            self._known[values] = dict(zip(self._names, values, strict=True))
        return self._known[values]
