"""What a bundle said: the table, the files that were left out, where the table was written."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PySide6.QtCore import QSortFilterProxyModel, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from engine.contract.records import SkippedFile
from engine.contract.results import PredictionResult
from gui.itemmodels.prediction_table import SORT_ROLE, PredictionDelegate, PredictionTableModel
from gui.theme import theme
from gui.widgets.buttons import make_button
from gui.widgets.card import Card
from gui.widgets.counts import images_text
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.painting import set_role

__all__ = ["ApplyResult"]

_FIRST_PROBABILITY: Final = 3
_MAX_REASONS: Final = 200


class ApplyResult(QWidget):
    """The table of predictions, which sorts by any column, and the skipped files below it."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._out = Path()
        self._rows = PredictionTableModel(self)
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSourceModel(self._rows)
        self._sorted.setSortRole(SORT_ROLE)
        self._table = _PredictionTable()
        self._table.setModel(self._sorted)
        self._table.setAccessibleName(self.tr("Predictions"))
        self._card = Card()
        self._skipped = _SkippedCard()
        self._build()

    @property
    def table(self) -> QTableView:
        """The table itself."""
        return self._table

    @property
    def skipped(self) -> QWidget:
        """The card with the files that were left out."""
        return self._skipped

    def set_result(self, result: PredictionResult, threshold: str) -> None:
        """Show a result.

        Args:
            result: What applying gave.
            threshold: The sentence about the threshold, or nothing.
        """
        self._out = Path(result.out)
        self._rows.set_result(result)
        self._sorted.sort(-1)
        self._table.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self._table.paint_probabilities(_FIRST_PROBABILITY, len(result.classes))
        self._card.set_title(images_text(result.n_images))
        self._written.setText(self.tr("Written to %s") % result.out)
        notes = [threshold, *result.notes, self.tr("Not for clinical use.")]
        self._notes.setText(" ".join(note for note in notes if note))
        self._warning.set_text(" ".join(result.warnings))
        self._skipped.set_files(result.skipped)

    def open_table(self) -> None:
        """Open the table in whatever opens such files here."""
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._out)))

    def show_in_folder(self) -> None:
        """Open the folder of the table."""
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._out.parent)))

    def _build(self) -> None:
        self._written = ElidedLabel(role="secondary", mode=Qt.TextElideMode.ElideMiddle)
        self._warning = _Warning()
        self._notes = QLabel()
        self._notes.setWordWrap(True)
        set_role(self._notes, "secondary")
        open_table = make_button(self.tr("Open the table"), icon="table")
        open_table.clicked.connect(self.open_table)
        show = make_button(self.tr("Show in folder"), icon="folder")
        show.clicked.connect(self.show_in_folder)
        self._card.add_action(open_table)
        self._card.add_action(show)
        self._card.body.addWidget(self._written)
        self._card.body.addWidget(self._warning)
        self._card.body.addWidget(self._table, 1)
        self._card.body.addWidget(self._notes)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(self._card, 1)
        column.addWidget(self._skipped)


class _PredictionTable(QTableView):
    """A sortable table whose first column takes the room that is left."""

    def __init__(self) -> None:
        super().__init__()
        self._delegate = PredictionDelegate(self)
        self.setSortingEnabled(True)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.verticalHeader().hide()
        # Qt insets the text of cells further than that of heads.
        self.setStyleSheet("QHeaderView::section { padding-left: 11px; padding-right: 11px; }")
        self.horizontalHeader().setHighlightSections(False)
        self.setMinimumHeight(theme().px(200))
        theme().changed.connect(self._fit)

    def paint_probabilities(self, first: int, n_classes: int) -> None:
        """Say which columns are probabilities."""
        for column in range(self.model().columnCount()):
            is_probability = first <= column < first + n_classes
            delegate = self._delegate if is_probability else self.itemDelegate()
            self.setItemDelegateForColumn(column, delegate)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit()

    def _fit(self) -> None:
        head = self.horizontalHeader()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 14)
        if self.model() is None or self.model().columnCount() == 0:
            return
        n_columns = self.model().columnCount()
        head.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        head.setMinimumSectionSize(theme().px(56))
        # Only the rows in sight are measured: a table may hold a hundred thousand.
        head.setResizeContentsPrecision(50)
        self.resizeColumnsToContents()
        taken = sum(self.columnWidth(column) for column in range(1, n_columns))
        self.setColumnWidth(0, max(theme().px(160), self.viewport().width() - taken))


class _Warning(QFrame):
    """Says, above the table, why not to use it as it is."""

    def __init__(self) -> None:
        super().__init__()
        set_role(self, "message")
        self.setProperty("kind", "warning")
        self._text = QLabel()
        self._text.setWordWrap(True)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 8, 12, 8)
        row.addWidget(self._text)

    def set_text(self, text: str) -> None:
        """Show a text, or nothing where it is empty."""
        self.setVisible(bool(text))
        self._text.setText(text)
        self.setAccessibleName(text)


class _SkippedCard(Card):
    """Files that were left out, each with the reason."""

    def __init__(self) -> None:
        super().__init__()
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        set_role(self._text, "secondary")
        self.body.addWidget(self._text)

    def set_files(self, files: tuple[SkippedFile, ...]) -> None:
        """Show these files."""
        self.setVisible(bool(files))
        one = self.tr("1 file was left out")
        many = self.tr("{0} files were left out").format(len(files))
        self.set_title(one if len(files) == 1 else many)
        lines = [f"{file.path}: {file.reason}" for file in files[:_MAX_REASONS]]
        if len(files) > _MAX_REASONS:
            lines.append(self.tr("and {0} more").format(len(files) - _MAX_REASONS))
        self._text.setText("\n".join(lines))
