"""Warns before the start that the chosen method needs more images than there are."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QWidget

from engine.contract.recommendation import shortage
from gui.dialogs.device_card import Sign
from gui.session import Session
from gui.widgets.buttons import make_button
from gui.widgets.painting import set_role

__all__ = ["ShortageNote"]


class ShortageNote(QFrame):
    """A sentence of ``engine.contract.recommendation``, as the run itself will say it.

    Args:
        session: Whose next run is judged.
        has_button: Whether a button leads to the page where methods are chosen.

    Signals:
        model_requested: The button was pressed.
    """

    model_requested = Signal()

    def __init__(
        self, session: Session, *, has_button: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        set_role(self, "message")
        self.setProperty("kind", "warning")
        self._text = QLabel()
        self._text.setWordWrap(True)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 8, 12, 8)
        row.setSpacing(12)
        row.addWidget(Sign("warning", "warning", size_px=20), 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self._text, 1)
        if has_button:
            button = make_button(self.tr("Choose another method"))
            button.clicked.connect(self.model_requested)
            row.addWidget(button, 0, Qt.AlignmentFlag.AlignVCenter)
        self.hide()

    @property
    def text(self) -> str:
        """What it says; empty where there are enough images."""
        return self._text.text()

    def refresh(self, *, is_wanted: bool = True) -> None:
        """Judge the present choice.

        Args:
            is_wanted: Whether the page has room for it.
        """
        facts = self._session.advice.facts
        said = shortage(facts, self._session.config.method.key) if facts is not None else None
        self._text.setText(self.tr(said) if said else "")
        self.setAccessibleName(self.text)
        self.setVisible(is_wanted and bool(said))
