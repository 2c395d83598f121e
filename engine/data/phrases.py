"""Numbers, nouns and verbs that agree, for sentences to users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_FEW: Final = 5


def count_of(n: int, noun: str, does: str = "") -> str:
    """Return a number with its noun and verb: ``1 image has``, ``1,200 images have``.

    Args:
        n: The number.
        noun: In the singular.
        does: The verb in the form for one; may be left out.
    """
    counted = f"{n:,} {noun}{'' if n == 1 else 's'}"
    return f"{counted} {verb(n, does)}" if does else counted


def verb(n: int, does: str) -> str:
    """Return a verb that agrees with a number, given its form for one."""
    if n == 1:
        return does
    return {"has": "have", "is": "are", "was": "were"}.get(does, does.removesuffix("s"))


def quoted(names: Sequence[str]) -> str:
    """Return a few names in quotation marks, and how many there are besides."""
    shown = ", ".join(f"“{name}”" for name in names[:_FEW])
    return f"{shown} and {len(names) - _FEW} more" if len(names) > _FEW else shown


def file_names(paths: Sequence[str]) -> str:
    """Return the names of a few files without their folders, and how many there are besides."""
    names = ", ".join(path.rpartition("/")[2] for path in paths[:_FEW])
    return f"{names} and {len(paths) - _FEW} more" if len(paths) > _FEW else names
