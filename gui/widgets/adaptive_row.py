"""Cards side by side where there is room, below each other where there isn't."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QLayout, QWidget

from gui.widgets.card import Card

__all__ = ["AdaptiveRow"]

_SHOWN_OR_HIDDEN: Final = frozenset({QEvent.Type.ShowToParent, QEvent.Type.HideToParent})


class AdaptiveRow(QWidget):
    """A row of widgets that breaks into fewer columns when large text or a small window asks.

    Hidden widgets take no room; titles of cards that stand side by side are level.
    Its own minimum width is that of its widest child, so a page needs no sideways scrolling.
    """

    def __init__(self, *, spacing_px: int = 12, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(spacing_px)
        # The grid's own minimum is that of the present columns and would forbid having fewer.
        self._grid.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        self._children: list[tuple[QWidget, int]] = []
        self._n_columns = 0

    def add(self, widget: QWidget, stretch: int = 1) -> None:
        """Append a widget; ``stretch`` counts while all stand in one row."""
        self._children.append((widget, stretch))
        widget.installEventFilter(self)
        self._arrange(len(self._shown()))

    @property
    def n_columns(self) -> int:
        """How many widgets stand side by side now."""
        return self._n_columns

    def minimumSizeHint(self) -> QSize:
        """Return the width of the widest child and the height of the present arrangement."""
        widest = max((_least_width(widget) for widget, _ in self._shown()), default=0)
        return QSize(widest, self._grid.minimumSize().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Choose the number of columns that fits."""
        super().resizeEvent(event)
        n_columns = self._n_fitting(event.size().width())
        if n_columns != self._n_columns:
            self._arrange(n_columns)

    def event(self, event: QEvent) -> bool:
        """Level the titles when a card's header may have changed."""
        if event.type() is QEvent.Type.LayoutRequest:
            self._level_titles()
        return super().event(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Close the gap of a widget that was hidden, and make room for one that was shown."""
        if event.type() in _SHOWN_OR_HIDDEN:
            self._arrange(self._n_fitting(self.width()))
        return super().eventFilter(watched, event)

    def _shown(self) -> list[tuple[QWidget, int]]:
        """Return the widgets that nobody has hidden; new ones count before they are on screen."""
        return [
            (widget, stretch)
            for widget, stretch in self._children
            if not (
                widget.isHidden()
                and widget.testAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide)
            )
        ]

    def _n_fitting(self, width: int) -> int:
        gap = self._grid.spacing()
        widths = [_least_width(widget) for widget, _ in self._shown()]
        total = len(widths)
        if sum(widths) + gap * (total - 1) <= width:
            return max(1, total)
        for n_columns in range(total - 1, 1, -1):
            # Four tiles become two and two, not three and one.
            is_even = total % n_columns == 0 or total < 4
            if is_even and n_columns * (max(widths) + gap) - gap <= width:
                return n_columns
        return 1

    def _arrange(self, n_columns: int) -> None:
        for column in range(self._grid.columnCount()):
            self._grid.setColumnStretch(column, 0)
        shown = self._shown()
        for index, (widget, stretch) in enumerate(shown):
            row, column = divmod(index, n_columns)
            self._grid.addWidget(widget, row, column)
            is_single = n_columns == len(shown)
            self._grid.setColumnStretch(column, stretch if is_single else 1)
        self._n_columns = n_columns
        self._level_titles()
        self.updateGeometry()

    def _level_titles(self) -> None:
        cards = [widget for widget, _ in self._shown() if isinstance(widget, Card)]
        highest = max((card.header_height for card in cards), default=0)
        for card in cards:
            card.set_header_height(highest if self._n_columns > 1 else 0)


def _least_width(widget: QWidget) -> int:
    return max(widget.minimumSizeHint().width(), widget.minimumWidth())
