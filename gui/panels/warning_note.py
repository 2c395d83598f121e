"""A warning on a page: what is wrong, and where it is known what to do."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from gui.dialogs.device_card import Sign
from gui.widgets.buttons import make_button
from gui.widgets.painting import set_role

__all__ = ["WarningNote"]


class WarningNote(QFrame):
    """A sentence with its remedy; hidden while there is nothing to say.

    Args:
        remedy: What to do, in a second line.

    Signals:
        pressed: The button was pressed, where there is one.
    """

    pressed = Signal()

    def __init__(self, remedy: str = "", *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "message")
        self.setProperty("kind", "warning")
        self._what, self._remedy = QLabel(), QLabel(remedy)
        set_role(self._remedy, "secondary")
        if not remedy:
            self._remedy.hide()
        texts = QVBoxLayout()
        texts.setSpacing(2)
        for label in (self._what, self._remedy):
            label.setWordWrap(True)
            texts.addWidget(label)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(12, 8, 12, 8)
        self._row.setSpacing(12)
        self._row.addWidget(Sign("warning", "warning", size_px=20), 0, Qt.AlignmentFlag.AlignTop)
        self._row.addLayout(texts, 1)
        self.hide()

    @property
    def text(self) -> str:
        """What it says; empty where it says nothing."""
        return self._what.text()

    def add_button(self, text: str) -> None:
        """Offer a way to the remedy."""
        button = make_button(text)
        button.clicked.connect(self.pressed)
        self._row.addWidget(button, 0, Qt.AlignmentFlag.AlignVCenter)

    def show_text(self, text: str, *, is_wanted: bool = True) -> None:
        """Say something, or nothing.

        Args:
            text: The sentence; empty for nothing.
            is_wanted: Whether the page has room for it.
        """
        self._what.setText(text)
        self.setAccessibleName(text)
        self.setVisible(is_wanted and bool(text))
