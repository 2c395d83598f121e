"""One line of text that shortens itself with an ellipsis instead of pushing the layout."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QStyle, QStyleOption, QWidget

from gui.widgets.painting import set_role

__all__ = ["ElidedLabel"]


class ElidedLabel(QLabel):
    """A label that elides on the right or in the middle and shows the whole text as tooltip.

    With `setWordWrap` it breaks lines instead, and elides only what no line can hold.

    `text` and the accessible name are always the whole text.
    """

    def __init__(
        self,
        text: str = "",
        *,
        role: str = "",
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        n_letters: int = 6,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(text, parent)
        self._mode = mode
        self._n_letters = n_letters
        self._own_tool_tip = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        if role:
            set_role(self, role)

    def setText(self, text: str) -> None:
        """Replace the text."""
        super().setText(text)
        self._update_tool_tip()

    @property
    def is_elided(self) -> bool:
        """Whether the text doesn't fit at the present width."""
        room = self.contentsRect()
        if not self.wordWrap():
            return self.whole_width > room.width()
        broken = self.fontMetrics().boundingRect(
            0, 0, room.width(), 0, int(Qt.TextFlag.TextWordWrap), self.text()
        )
        return broken.width() > room.width()

    @property
    def whole_width(self) -> int:
        """Width in px of the whole text in one line."""
        return self.fontMetrics().horizontalAdvance(self.text())

    def minimumSizeHint(self) -> QSize:
        """Return room for a few characters and the ellipsis."""
        metrics = self.fontMetrics()
        whole = super().sizeHint()
        least = metrics.averageCharWidth() * self._n_letters
        return QSize(min(whole.width(), least), whole.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Offer the whole text as tooltip as soon as it is cut."""
        super().resizeEvent(event)
        self._update_tool_tip()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the shortened text in the colours of the style sheet."""
        if self.wordWrap() and not self.is_elided:
            super().paintEvent(event)
            return
        painter = QPainter(self)
        option = QStyleOption()
        option.initFrom(self)
        style = self.style()
        style.drawPrimitive(QStyle.PrimitiveElement.PE_Widget, option, painter, self)
        rect = self.contentsRect()
        shown = self.fontMetrics().elidedText(self.text(), self._mode, rect.width())
        style.drawItemText(
            painter,
            rect,
            int(self.alignment()),
            self.palette(),
            self.isEnabled(),
            shown,
            self.foregroundRole(),
        )

    def _update_tool_tip(self) -> None:
        current = self.toolTip()
        if current and current != self._own_tool_tip:
            return
        self._own_tool_tip = self.text() if self.is_elided else ""
        self.setToolTip(self._own_tool_tip)
