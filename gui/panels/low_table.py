"""A table that is as high as its rows."""

from __future__ import annotations

from typing import Final

from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from gui.theme import theme

__all__ = ["LowTable"]

_MAX_ROWS: Final = 8


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

    def _fit_columns(self) -> bool:
        """Give each column what it needs and share out the rest; say if there is too little."""
        model = self.model()
        if model is None or model.rowCount() == 0:
            return False
        n_columns = model.columnCount()
        wanted = [
            max(self.sizeHintForColumn(c), self.horizontalHeader().sectionSizeHint(c))
            for c in range(n_columns)
        ]
        rest = max(0, self.viewport().width() - sum(wanted))
        for column, width in enumerate(wanted):
            self.setColumnWidth(column, width + rest // n_columns)
        return sum(wanted) > self.viewport().width()
