"""Says before a run that the graphics card isn't used, why, and what to do."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from gui.device_words import unused_card
from gui.dialogs.device_card import Sign
from gui.session import Session
from gui.widgets.buttons import make_link
from gui.widgets.painting import set_role

__all__ = ["DeviceNote"]


class DeviceNote(QFrame):
    """A sentence with the way to the checks; there is none where all is well."""

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        set_role(self, "card")
        self._problem, self._remedy = QLabel(), QLabel()
        set_role(self._problem, "heading")
        set_role(self._remedy, "secondary")
        texts = QVBoxLayout()
        texts.setSpacing(4)
        for label in (self._problem, self._remedy):
            label.setWordWrap(True)
            texts.addWidget(label)
        self._check = make_link(self.tr("Check this computer"))
        self._check.clicked.connect(self._open)
        row = QHBoxLayout(self)
        row.setContentsMargins(15, 11, 11, 11)
        row.setSpacing(12)
        row.addWidget(Sign("warning", "warning"))
        row.addLayout(texts, 1)
        row.addWidget(self._check, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    @property
    def text(self) -> str:
        """What it says; empty where it says nothing."""
        return f"{self._problem.text()} {self._remedy.text()}".strip()

    def refresh(self, *, is_wanted: bool) -> None:
        """Show what is known of the machine now, where there is something to say.

        Args:
            is_wanted: Whether the page has room for it: a run can be started.
        """
        found = unused_card(self._session.device)
        problem, remedy = found or ("", "")
        self._problem.setText(self.tr(problem) if problem else "")
        until = self.tr("The times below are for the processor.")
        self._remedy.setText(f"{self.tr(remedy)} {until}".strip() if found else "")
        self.setVisible(is_wanted and found is not None)

    def _open(self) -> None:
        from gui.dialogs.this_computer import show_this_computer

        show_this_computer(self._session, self.window())
