"""The part of a page that scrolls under its header, so that the primary button stays in place."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from gui.panels.panel import Panel

__all__ = ["SCROLL_MARGIN_PX", "ScrollBody", "scroll_body"]


SCROLL_MARGIN_PX: Final = 16
"""How far the body reaches into the right margin of its page."""


class ScrollBody(QScrollArea):
    """A column that scrolls up and down only.

    On a :class:`Panel` its scroll bar stands in the margin of the page, so that the content ends
    where the header ends.
    """

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        page = QWidget()
        page.setObjectName("page")
        self._column = QVBoxLayout(page)
        self._column.setSpacing(12)
        self.setWidget(page)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        page.installEventFilter(self)
        self.verticalScrollBar().rangeChanged.connect(self._keep_right_edge)
        self._keep_right_edge()

    @property
    def column(self) -> QVBoxLayout:
        """The layout that takes the content."""
        return self._column

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Never be narrower than the content: there is no sideways scrolling."""
        if event.type() is QEvent.Type.LayoutRequest and watched is self.widget():
            self.setMinimumWidth(self._least_width())
        return super().eventFilter(watched, event)

    def _keep_right_edge(self) -> None:
        bar = self.verticalScrollBar()
        room = bar.sizeHint().width() if bar.maximum() > 0 else 0
        self._column.setContentsMargins(0, 0, max(0, SCROLL_MARGIN_PX - room), 0)

    def _least_width(self) -> int:
        room = self.verticalScrollBar().sizeHint().width()
        return self._column.minimumSize().width() + room


def scroll_body(panel: Panel) -> ScrollBody:
    """Make all of a page below its header scroll, and return what takes the content."""
    body = ScrollBody()
    if (layout := panel.layout()) is not None:
        margins = layout.contentsMargins()
        margins.setRight(max(0, margins.right() - SCROLL_MARGIN_PX))
        layout.setContentsMargins(margins)
    panel.header.setContentsMargins(0, 0, SCROLL_MARGIN_PX, 0)
    panel.body.addWidget(body, 1)
    return body
