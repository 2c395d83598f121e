"""Which images one page asks another to show."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ShownImages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownImages:
    """Images that the Data page was asked to show, and no others.

    Attributes:
        title: What they are, in a few words.
        ids: The images.
        current: The one to select, or None for the first.
    """

    title: str
    ids: tuple[int, ...]
    current: int | None = None
