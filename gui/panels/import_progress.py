"""An import or a look at a folder under way."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from engine.contract.events import JobProgressed
from gui.messages import job_text
from gui.widgets.card import Card
from gui.widgets.painting import set_role
from gui.widgets.progress_row import ThinProgress

__all__ = ["ImportProgress"]


class ImportProgress(QWidget):
    """One job: what it does, how far it is, and since when."""

    def __init__(self) -> None:
        super().__init__()
        self._stage = QLabel()
        set_role(self._stage, "heading")
        self._bar = ThinProgress()
        self._numbers = QLabel()
        set_role(self._numbers, "secondary")
        card = Card()
        card.body.addWidget(self._stage)
        card.body.addWidget(self._bar)
        card.body.addWidget(self._numbers)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(card)
        column.addStretch(1)
        # A folder that is looked through in a moment needs no flash of a progress bar.
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.timeout.connect(card.show)
        self._card = card

    def begin(self, text: str) -> None:
        """Show that something begins, unless it ends at once."""
        self._card.hide()
        self._delay.start(200)
        self._stage.setText(text)
        self._numbers.setText("")
        self._bar.set_fraction(None)

    def show_progress(self, event: JobProgressed) -> None:
        """Show how far a job is."""
        self._stage.setText(event.stage)
        self._numbers.setText(job_text(event).removeprefix(event.stage).lstrip(": "))
        self._bar.set_fraction(event.done / event.total if event.total else None)
        self._bar.setAccessibleName(event.stage)

    def show_pending(self, text: str) -> None:
        """Say that a request is on its way."""
        self._stage.setText(text)
        self._numbers.setText("")
        self._bar.set_fraction(None)
