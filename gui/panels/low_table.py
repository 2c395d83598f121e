"""A table that is as high as its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QHelpEvent, QResizeEvent, QStandardItemModel
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QToolTip

from gui.theme import theme

__all__ = ["RIGHT", "LowTable", "set_heads"]

RIGHT: Final = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
"""How numbers stand in their cells."""
_LEFT: Final = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter

_MAX_ROWS: Final = 8
_LEAST_PX: Final = 160
"""So wide a column of texts stays where others lack room, at a text scale of 1."""
_MOST_PX: Final = 280
"""Texts wider than this are cut, at a text scale of 1; they are whole in their tooltip."""


class LowTable(QTableView):
    """A table as high as its rows, up to a few, so that the page scrolls instead of the table."""

    def __init__(self) -> None:
        super().__init__()
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        # Qt insets the text of cells further than that of heads.
        self.setStyleSheet("QHeaderView::section { padding-left: 11px; padding-right: 11px; }")
        self.setFrameShape(QTableView.Shape.NoFrame)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        head = self.horizontalHeader()
        head.setHighlightSections(False)
        head.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        head.setStretchLastSection(False)
        theme().changed.connect(self.fit_height)

    def fit_height(self) -> None:
        """Take the height of the rows."""
        row = self.fontMetrics().height() + 14
        self.verticalHeader().setDefaultSectionSize(row)
        is_wide = self._fit_columns()
        n_rows = self.model().rowCount() if self.model() is not None else 0
        height = self.horizontalHeader().sizeHint().height() + min(max(n_rows, 1), _MAX_ROWS) * row
        bar = self.horizontalScrollBar().sizeHint().height() if is_wide else 0
        self.setFixedHeight(height + bar + 2 * self.frameWidth() + 2)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Share out the width."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.fit_height()

    def _shortened(self, wanted: list[int]) -> list[int]:
        """Return widths of which the widest texts give what the others lack, if that is enough."""
        widths, least = list(wanted), theme().px(_LEAST_PX)
        for column in sorted(range(len(wanted)), key=wanted.__getitem__, reverse=True):
            lacking = sum(widths) - self.viewport().width()
            if lacking > 0 and not self._holds_numbers(column):
                widths[column] = max(min(least, wanted[column]), wanted[column] - lacking)
        return widths if sum(widths) <= self.viewport().width() else wanted

    def _holds_numbers(self, column: int) -> bool:
        """Whether a column is aligned to the right: half a number would be a wrong one."""
        role = Qt.ItemDataRole.TextAlignmentRole
        side = self.model().headerData(column, Qt.Orientation.Horizontal, role)
        return side is not None and bool(Qt.AlignmentFlag(side) & Qt.AlignmentFlag.AlignRight)

    def viewportEvent(self, event: QEvent) -> bool:
        """Show a text that is cut as a whole, where its cell has no tooltip of its own."""
        if isinstance(event, QHelpEvent) and event.type() is QEvent.Type.ToolTip:
            index = self.indexAt(event.pos())
            own = index.data(Qt.ItemDataRole.ToolTipRole)
            is_cut = self.sizeHintForIndex(index).width() > self.columnWidth(index.column())
            if index.isValid() and not own and is_cut:
                QToolTip.showText(event.globalPos(), str(index.data()), self)
                return True
        return super().viewportEvent(event)

    def _fit_columns(self) -> bool:
        """Give each column what it needs and share out the rest; say if there is too little."""
        model = self.model()
        if model is None or model.rowCount() == 0:
            return False
        n_columns = model.columnCount()
        heads = self.horizontalHeader()
        most = theme().px(_MOST_PX)
        wanted = [
            max(min(self.sizeHintForColumn(c), most), heads.sectionSizeHint(c))
            for c in range(n_columns)
        ]
        wanted = self._shortened(wanted)
        rest = max(0, self.viewport().width() - sum(wanted))
        for column, width in enumerate(wanted):
            # The odd pixels go to the last column, so that the rows reach the edge.
            odd = rest % n_columns if column == n_columns - 1 else 0
            self.setColumnWidth(column, width + rest // n_columns + odd)
        return sum(wanted) > self.viewport().width()


def set_heads(rows: QStandardItemModel, heads: Sequence[tuple[str, str]]) -> None:
    """Name the columns: the first holds names, the others numbers.

    Args:
        rows: What the table shows.
        heads: The text and the tooltip of each column.
    """
    rows.setHorizontalHeaderLabels([text for text, _ in heads])
    for column, (_, tip) in enumerate(heads):
        head = rows.horizontalHeaderItem(column)
        head.setTextAlignment(RIGHT if column else _LEFT)
        head.setToolTip(tip)
