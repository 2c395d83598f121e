"""How the chosen method works and who published it, and whether the images are enough for it."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from engine.contract.methods import MethodCard
from gui.widgets.painting import set_role

__all__ = ["MethodAbout"]

_MARGINS_PX: Final = {"message": (12, 8, 12, 8), "card": (16, 12, 16, 14)}


class MethodAbout(QWidget):
    """A card of the chosen method, below a warning where it needs more images than there are."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shortage = QLabel()
        self._shortage.setWordWrap(True)
        self._warning = _framed("message", self._shortage)
        self._warning.setProperty("kind", "warning")
        self._title, self._how, self._reference = QLabel(), QLabel(), QLabel()
        set_role(self._title, "heading")
        how, reference = QLabel(self.tr("How it works")), QLabel(self.tr("Reference"))
        reference.setContentsMargins(0, 4, 0, 0)
        for name, value in ((how, self._how), (reference, self._reference)):
            set_role(name, "small")
            value.setWordWrap(True)
            value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            value.setAccessibleName(name.text())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(self._warning)
        column.addWidget(_framed("card", self._title, how, self._how, reference, self._reference))

    @property
    def shortage(self) -> str:
        """What is said of too few images; empty where there are enough."""
        return self._shortage.text()

    def show_method(self, card: MethodCard, shortage: str | None) -> None:
        """Show a method.

        Args:
            card: Its facts.
            shortage: That it needs more images than there are; None where there are enough.
        """
        self._title.setText(self.tr(card.title))
        self._how.setText(self.tr(card.how))
        self._reference.setText(card.reference)
        self._shortage.setText(self.tr(shortage) if shortage else "")
        self._warning.setAccessibleName(self._shortage.text())
        self._warning.setVisible(bool(shortage))


def _framed(role: str, *labels: QLabel) -> QFrame:
    frame = QFrame()
    set_role(frame, role)
    column = QVBoxLayout(frame)
    column.setContentsMargins(*_MARGINS_PX[role])
    column.setSpacing(4)
    for label in labels:
        column.addWidget(label)
    return frame
