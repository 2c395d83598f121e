"""Where the user says why a finding is all right; a line on the page, not a window."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from gui.widgets.buttons import make_button
from gui.widgets.painting import set_role

__all__ = ["NoteRow"]

_LONGEST = 500


class NoteRow(QWidget):
    """A text field with Accept and Cancel; Enter accepts, Escape closes it.

    Signals:
        note_given: Why the finding is accepted.
        closed: The user thought better of it.
    """

    note_given = Signal(str)
    closed = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        question = QLabel(self.tr("Why is this all right? The note goes into the report."))
        question.setWordWrap(True)
        set_role(question, "small")
        self._text = QLineEdit()
        self._text.setMaxLength(_LONGEST)
        self._text.setPlaceholderText(self.tr("For example: two views of one examination"))
        self._text.setAccessibleName(question.text())
        self._text.textChanged.connect(self._on_text_changed)
        self._text.returnPressed.connect(self._give)
        question.setBuddy(self._text)
        self._accept = make_button(self.tr("Accept"))
        self._accept.clicked.connect(self._give)
        self._cancel = make_button(self.tr("Cancel"))
        self._cancel.clicked.connect(self._close)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self._text, 1)
        row.addWidget(self._accept)
        row.addWidget(self._cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(question)
        column.addLayout(row)
        self.hide()

    def open(self) -> None:
        """Show an empty field with the keyboard in it."""
        self._text.clear()
        self._on_text_changed()
        self.show()
        self._text.setFocus(Qt.FocusReason.OtherFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Close on Escape."""
        if event.key() == Qt.Key.Key_Escape:
            self._close()
        else:
            super().keyPressEvent(event)

    def _on_text_changed(self) -> None:
        self._accept.setEnabled(bool(self._text.text().strip()))

    def _give(self) -> None:
        note = self._text.text().strip()
        if note:
            self.hide()
            self.note_given.emit(note)

    def _close(self) -> None:
        self.hide()
        self.closed.emit()
