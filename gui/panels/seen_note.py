"""Warns that a network may know patients that it is measured on, and leads to other weights."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from gui.dialogs.device_card import Sign
from gui.itemmodels.seen_words import remedy_text
from gui.widgets.buttons import make_button
from gui.widgets.painting import set_role

__all__ = ["SeenNote"]


class SeenNote(QFrame):
    """A sentence with its remedy; hidden while there is nothing to say.

    Args:
        has_button: Whether a button leads to the page where weights are chosen.

    Signals:
        model_requested: The button was pressed.
    """

    model_requested = Signal()

    def __init__(self, *, has_button: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "message")
        self.setProperty("kind", "warning")
        self._what, self._remedy = QLabel(), QLabel(remedy_text())
        set_role(self._remedy, "secondary")
        texts = QVBoxLayout()
        texts.setSpacing(2)
        for label in (self._what, self._remedy):
            label.setWordWrap(True)
            texts.addWidget(label)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 8, 12, 8)
        row.setSpacing(12)
        row.addWidget(Sign("warning", "warning", size_px=20), 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(texts, 1)
        if has_button:
            button = make_button(self.tr("Choose other weights"))
            button.clicked.connect(self.model_requested)
            row.addWidget(button, 0, Qt.AlignmentFlag.AlignVCenter)
        self.hide()

    @property
    def text(self) -> str:
        """What it says; empty where it says nothing."""
        return self._what.text()

    def show_text(self, text: str) -> None:
        """Say something, or nothing."""
        self._what.setText(text)
        self.setAccessibleName(text)
        self.setVisible(bool(text))
