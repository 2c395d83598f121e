"""What a training had to say besides its numbers: why it waits, warnings, what it mended."""

from __future__ import annotations

from typing import Final

from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from engine.contract.events import Event, Recovered, RunResumed, Warned
from gui.icons import pixmap
from gui.theme import theme
from gui.tokens import ColorToken

__all__ = ["TrainNotes"]

_MAX_NOTES: Final = 5


class TrainNotes(QWidget):
    """The newest few notes of a training, each with a sign; hidden while there are none."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pause = _Note("pause", "warning")
        self._notes: list[_Note] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(6)
        self._column.addWidget(self._pause)
        self.clear()

    @property
    def texts(self) -> list[str]:
        """The notes as they are read, oldest first."""
        return [note.text for note in self._notes]

    @property
    def pause_reason(self) -> str:
        """Why the run waits, if not because the user asked."""
        return self._pause.text

    def add(self, text: str, *, is_warning: bool) -> None:
        """Add a note; the same one twice is one, and the oldest of many goes."""
        if text in self.texts:
            return
        note = _Note("warning" if is_warning else "info", "warning" if is_warning else "accent")
        note.set_text(text)
        self._notes.append(note)
        self._column.addWidget(note)
        if len(self._notes) > _MAX_NOTES:
            self._drop(self._notes.pop(0))
        self._show_if_needed()

    def take(self, event: Event) -> None:
        """Add what an event of a job has to say; why no card is used is told for the window.

        What a job waits for stays until it goes on.
        """
        if isinstance(event, Recovered):
            self.add(event.message, is_warning=False)
        elif isinstance(event, RunResumed):
            self.set_pause("")
        elif isinstance(event, Warned) and event.is_waiting:
            self.set_pause(f"{event.message} {event.remedy}".strip())
        elif isinstance(event, Warned) and not event.cause:
            self.add(f"{event.message} {event.remedy}".strip(), is_warning=True)

    def set_pause(self, reason: str) -> None:
        """Say why the run waits; empty when it doesn't, or when the user asked."""
        self._pause.set_text(reason)
        self._show_if_needed()

    def clear(self) -> None:
        """Forget everything."""
        while self._notes:
            self._drop(self._notes.pop())
        self.set_pause("")

    def _drop(self, note: _Note) -> None:
        self._column.removeWidget(note)
        note.hide()
        note.deleteLater()

    def _show_if_needed(self) -> None:
        self._pause.setVisible(bool(self._pause.text))
        self.setVisible(bool(self._notes or self._pause.text))


class _Note(QWidget):
    """A sign and a sentence."""

    def __init__(self, icon: str, color: ColorToken) -> None:
        super().__init__()
        self._icon_name, self._color = icon, color
        self._icon = QLabel()
        self._label = QLabel()
        self._label.setWordWrap(True)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self._icon)
        row.addWidget(self._label, 1)
        theme().changed.connect(self._paint_icon)
        self._paint_icon()

    @property
    def text(self) -> str:
        """The sentence."""
        return self._label.text()

    def set_text(self, text: str) -> None:
        """Replace the sentence."""
        self._label.setText(text)
        self.setAccessibleName(text)

    def _paint_icon(self) -> None:
        side = theme().px(16)
        self._icon.setPixmap(pixmap(self._icon_name, size_px=side, color=self._color))
