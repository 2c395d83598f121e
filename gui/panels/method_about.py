"""How the chosen method works and who published it, and whether the images are enough for it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from engine.contract.methods import MethodCard
from gui.panels.shortage_note import ShortageNote
from gui.session import Session
from gui.widgets.painting import set_role

__all__ = ["MethodAbout"]


class MethodAbout(QWidget):
    """A card of the chosen method, below a warning where it needs more images than there are."""

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shortage = ShortageNote(session)
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
        column.addWidget(self._shortage)
        column.addWidget(_framed(self._title, how, self._how, reference, self._reference))

    @property
    def shortage(self) -> str:
        """What is said of too few images; empty where there are enough."""
        return self._shortage.text

    def show_method(self, card: MethodCard) -> None:
        """Show the method that is chosen."""
        self._title.setText(self.tr(card.title))
        self._how.setText(self.tr(card.how))
        self._reference.setText(card.reference)
        self._shortage.refresh()


def _framed(*labels: QLabel) -> QFrame:
    frame = QFrame()
    set_role(frame, "card")
    column = QVBoxLayout(frame)
    column.setContentsMargins(16, 12, 16, 14)
    column.setSpacing(4)
    for label in labels:
        column.addWidget(label)
    return frame
