"""What stays on one side of a split, in words."""

from __future__ import annotations

from typing import Final

PLURALS: Final = {"patient": "patients", "study": "studies", "file": "files"}


def units(unit: str, n: int) -> str:
    """Return how many patients, studies or files there are."""
    return f"{n:,} {unit if n == 1 else PLURALS[unit]}"
