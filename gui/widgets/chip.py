"""Small rounded labels, and their clickable sibling for filters."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton, QSizePolicy, QWidget

from gui.widgets.painting import repolish, set_role

__all__ = ["Chip", "ChipButton"]


class Chip(QLabel):
    """A short fact in a rounded label, such as a device or a licence."""

    def __init__(
        self, text: str = "", *, is_strong: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(text, parent)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        # A label with a frame indents its text by half a letter.
        self.setIndent(0)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setProperty("role", "chip")
        self.setProperty("strong", is_strong)
        repolish(self)
        self.setAccessibleName(text)

    def setText(self, text: str) -> None:
        """Replace the text."""
        super().setText(text)
        self.setAccessibleName(text)


class ChipButton(QPushButton):
    """A chip to press: a filter that opens a menu (`setMenu`) or switches on and off."""

    def __init__(
        self, text: str = "", *, is_checkable: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(text, parent)
        self.setAutoDefault(False)
        self.setCheckable(is_checkable)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        set_role(self, "chip")
