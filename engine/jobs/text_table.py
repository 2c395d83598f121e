"""A table as lines of text, for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def table_lines(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows with their columns aligned, two spaces apart.

    Args:
        rows: At least one, all of the same length; the first usually heads the columns.
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return ["  ".join(row).rstrip() for row in padded]
