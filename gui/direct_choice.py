"""Which classifier answers in place of a backbone, where a run applies one as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.contract.results import ClassMatch

__all__ = ["DIRECT", "DirectChoice"]

DIRECT: Final = "direct_transfer"
"""Key of the method that can apply a classifier as it is."""


@dataclass(frozen=True, slots=True)
class DirectChoice:
    """A classifier that direct transfer applies as it is, and what its classes stand for.

    Attributes:
        backbone: Key of its own backbone.
    """

    bundle: Path
    matches: tuple[ClassMatch, ...]
    backbone: str

    def unmatched(self, own: Sequence[str]) -> str | None:
        """Return the first class of the project that none of the classifier's stands for."""
        matched = {match.own for match in self.matches}
        return next((name for name in own if name not in matched), None)
