"""Messages under the top bar: what happened, what to do, and the buttons that do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from gui.icons import pixmap
from gui.theme import theme
from gui.tokens import ColorToken
from gui.widgets.buttons import IconButton
from gui.widgets.painting import set_role

__all__ = ["MAX_MESSAGES", "MessageAction", "MessageBar", "MessageKind"]

MAX_MESSAGES: Final = 3


class MessageKind(StrEnum):
    """How much a message matters; each has its own icon and its own word for screen readers."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    ERROR = "error"


_COLORS: dict[MessageKind, ColorToken] = {
    MessageKind.INFO: "accent",
    MessageKind.SUCCESS: "good",
    MessageKind.WARNING: "warning",
    MessageKind.ERROR: "bad",
}
_SEVERITY = {kind: rank for rank, kind in enumerate(MessageKind)}


@dataclass(frozen=True, slots=True)
class MessageAction:
    """A button in a message; pressing it calls ``run`` and closes the message."""

    text: str
    run: Callable[[], object]


class MessageBar(QWidget):
    """Up to three messages, newest first; the bar takes no room while there are none.

    A message equal to one that is shown replaces it. Where a fourth comes, the least severe of the
    others goes, the oldest first. Escape closes the message that has the focus.

    Signals:
        dismissed: The number of a message that was closed, by whom ever.
    """

    dismissed = Signal(int)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines: dict[int, _MessageLine] = {}
        self._next_number = 1
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(1)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        set_role(self, "messages")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.setAccessibleName(self.tr("Messages"))
        self.hide()

    @property
    def n_messages(self) -> int:
        """How many messages are shown."""
        return len(self._lines)

    def show_message(
        self,
        kind: MessageKind,
        what: str,
        remedy: str = "",
        actions: Sequence[MessageAction] = (),
        *,
        timeout_s: float = 0.0,
    ) -> int:
        """Show a message and return its number.

        Args:
            kind: How much it matters.
            what: What happened, one sentence.
            remedy: What to do next, one sentence.
            actions: Buttons that carry the remedy out.
            timeout_s: Seconds until it closes itself; 0 keeps it until it is closed.
        """
        for number, line in list(self._lines.items()):
            if (line.kind, line.what, line.remedy) == (kind, what, remedy):
                self.dismiss(number)
        while len(self._lines) >= MAX_MESSAGES:
            self.dismiss(min(self._lines, key=lambda n: (_SEVERITY[self._lines[n].kind], n)))
        number = self._next_number
        self._next_number += 1
        line = _MessageLine(number, kind, what, remedy, actions)
        line.closed.connect(self.dismiss)
        self._lines[number] = line
        self._column.insertWidget(0, line)
        self.show()
        if timeout_s > 0:
            line.close_after(timeout_s)
        return number

    def dismiss(self, number: int) -> None:
        """Close a message; a number that isn't shown is ignored."""
        line = self._lines.pop(number, None)
        if line is None:
            return
        self._column.removeWidget(line)
        line.hide()
        line.deleteLater()
        self.setVisible(bool(self._lines))
        self.dismissed.emit(number)

    def withdraw(self, what: str) -> None:
        """Close the messages that say this: it is no longer so."""
        for number, line in list(self._lines.items()):
            if line.what == what:
                self.dismiss(number)

    def clear(self) -> None:
        """Close all messages."""
        for number in list(self._lines):
            self.dismiss(number)


class _MessageLine(QFrame):
    """One message."""

    closed = Signal(int)

    def __init__(
        self,
        number: int,
        kind: MessageKind,
        what: str,
        remedy: str,
        actions: Sequence[MessageAction],
    ) -> None:
        super().__init__()
        self._number = number
        self.kind, self.what, self.remedy = kind, what, remedy
        set_role(self, "message")
        self.setProperty("kind", str(kind))
        self._icon = QLabel()
        text = QLabel(what)
        text.setWordWrap(True)
        text.setTextFormat(Qt.TextFormat.PlainText)
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        texts = QVBoxLayout()
        texts.setSpacing(2)
        texts.addWidget(text)
        if remedy:
            more = QLabel(remedy)
            more.setWordWrap(True)
            more.setTextFormat(Qt.TextFormat.PlainText)
            set_role(more, "secondary")
            texts.addWidget(more)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 8, 12, 8)
        row.setSpacing(12)
        row.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(texts, 1)
        for action in actions:
            row.addWidget(_ActionButton(action, self), 0, Qt.AlignmentFlag.AlignVCenter)
        self._close = IconButton("close", self.tr("Close message"), size_px=16)
        self._close.clicked.connect(self.close_message)
        row.addWidget(self._close, 0, Qt.AlignmentFlag.AlignVCenter)
        words = {
            MessageKind.INFO: self.tr("Information"),
            MessageKind.SUCCESS: self.tr("Done"),
            MessageKind.WARNING: self.tr("Warning"),
            MessageKind.ERROR: self.tr("Error"),
        }
        self.setAccessibleName(f"{words[kind]}: {what}")
        self.setAccessibleDescription(remedy)
        self._icon.setAccessibleName(words[kind])
        theme().changed.connect(self._paint_icon)
        self._paint_icon()

    def close_message(self) -> None:
        self.closed.emit(self._number)

    def close_after(self, timeout_s: float) -> None:
        # A child timer and not QTimer.singleShot, whose slot outlives the line it would close.
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.timeout.connect(self.close_message)
        timer.start(round(timeout_s * 1000))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.close_message()
        else:
            super().keyPressEvent(event)

    def _paint_icon(self) -> None:
        image = pixmap(str(self.kind), size_px=theme().px(20), color=_COLORS[self.kind])
        self._icon.setPixmap(image)


class _ActionButton(QPushButton):
    """Carries out the remedy of a message."""

    def __init__(self, action: MessageAction, line: _MessageLine) -> None:
        super().__init__(action.text)
        self._action = action
        self._line = line
        self.setAutoDefault(False)
        # Bound methods only: PySide crashes on lambdas whose sender is deleted later.
        self.clicked.connect(self._run)

    def _run(self) -> None:
        # Closed first: the action may show a message of its own.
        self._line.close_message()
        self._action.run()
