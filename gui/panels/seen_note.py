"""Warns that a network may know patients that it is measured on, and leads to other weights."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from gui.itemmodels.seen_words import remedy_text
from gui.panels.warning_note import WarningNote

__all__ = ["SeenNote"]


class SeenNote(WarningNote):
    """Says what ``gui.itemmodels.seen_words`` has to say.

    Args:
        has_button: Whether a button leads to the page where weights are chosen.
    """

    def __init__(self, *, has_button: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(remedy_text(), parent=parent)
        if has_button:
            self.add_button(self.tr("Choose other weights"))
