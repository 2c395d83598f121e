"""The grid of thumbnails: keyboard, several at once, as many columns as fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import (
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QFrame, QListView, QWidget

from engine.contract.records import ClassSummary, ImageRecord
from gui.itemmodels.image_list import ImageListModel
from gui.itemmodels.thumbnail_delegate import ThumbnailDelegate
from gui.theme import theme

if TYPE_CHECKING:
    from engine.project.thumbnails import Thumbnails

__all__ = ["ImageGrid"]

_CELL_PX: Final = 132


class ImageGrid(QListView):
    """Images to look at and to select.

    Signals:
        selection_moved: Current image or selection changed, however that came about.
    """

    selection_moved = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._list = ImageListModel(self)
        self._delegate = ThumbnailDelegate(self)
        self.setModel(self._list)
        self.setItemDelegate(self._delegate)
        self._delegate.pictures_arrived.connect(self.viewport().update)
        self._top = 0
        self.setFrameShape(QFrame.Shape.NoFrame)
        # The cards have their own borders; the list itself is only the page behind them.
        self.setStyleSheet("QListView { border: none; background: transparent; }")
        # Not icon mode: its free placement keeps a tree of all items, far too slow at 100,000.
        self.setViewMode(QListView.ViewMode.ListMode)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setAccessibleName(self.tr("Images"))
        self._notice = QTimer(self)
        self._notice.setSingleShot(True)
        self._notice.timeout.connect(self.selection_moved)
        self._watch_selection()
        theme().changed.connect(self._on_theme_changed)

    @property
    def images(self) -> ImageListModel:
        """The model behind the grid."""
        return self._list

    @property
    def n_awaited(self) -> int:
        """How many pictures were missing when they were painted and are still being read."""
        return self._delegate.n_awaited

    def set_thumbnails(self, thumbnails: Thumbnails | None) -> None:
        """Paint from another project."""
        self._delegate.set_thumbnails(thumbnails)
        self.viewport().update()

    def set_images(
        self,
        records: Sequence[ImageRecord],
        classes: Sequence[ClassSummary],
        *,
        is_multi: bool = False,
    ) -> None:
        """Show other images; those that stay selected are selected again.

        Args:
            records: In the order in which they are shown.
            classes: Of the project.
            is_multi: Whether images have several findings.
        """
        selected = self.selected_ids()
        current = self._list.record(self.currentIndex())
        place = self.currentIndex().row()
        self._delegate.set_two_lines(has_two_lines=is_multi)
        self._fit_columns()
        if not self._list.set_records(records, classes, is_multi=is_multi):
            self._notice.start(0)
            return
        if not self._list.records:
            self._notice.start(0)
            return
        index = self._list.index_of(current.id) if current is not None else QModelIndex()
        if not index.isValid():
            place = min(max(place, 0), len(self._list.records) - 1)
            index = self._list.index(place)
            selected = []
        self.selectionModel().setCurrentIndex(
            index, QItemSelectionModel.SelectionFlag.ClearAndSelect
        )
        if len(selected) > 1:
            self._select(selected)
        if current is not None:
            self.scrollTo(index)
        self._notice.start(0)

    def current_record(self) -> ImageRecord | None:
        """Return the image with the focus."""
        return self._list.record(self.currentIndex())

    def selected_ids(self) -> list[int]:
        """Return the ids of the selected images, in order of the grid."""
        records = self._list.records
        rows = sorted(
            row
            for part in self.selectionModel().selection().toList()
            for row in range(part.top(), part.bottom() + 1)
        )
        return [records[row].id for row in rows]

    def paintEvent(self, event: QPaintEvent) -> None:
        """Have pictures read in the order in which they will be seen, and paint."""
        with self._delegate.painting():
            self._read_ahead()
            super().paintEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Let the columns fill the width."""
        self._fit_columns()
        super().resizeEvent(event)

    def sizeHint(self) -> QSize:
        """Return a few rows and columns."""
        return QSize(4 * _CELL_PX, 3 * _CELL_PX)

    def _read_ahead(self) -> None:
        """Read what is visible, then two pages the way it scrolls, then one the other way.

        After a jump what is visible is enough to do; the next move tells which way it goes.
        """
        cell, records = self.gridSize(), self._list.records
        if not records or cell.isEmpty():
            return
        top, height = self.verticalScrollBar().value(), self.viewport().height()
        columns = max(1, self.viewport().width() // cell.width())
        page = columns * (height // cell.height() + 2)
        first = columns * (top // cell.height())
        last = first + page
        below = range(last, last + 2 * page), range(first - 1, first - page, -1)
        above = range(first - 1, first - 2 * page, -1), range(last, last + page)
        near, far = below if top >= self._top else above
        is_jump = abs(top - self._top) > 2 * height
        self._top = top
        ahead = () if is_jump else (*near, *far)
        seen, soon = (
            [records[k].row for k in places if 0 <= k < len(records)]
            for places in (range(first, last), ahead)
        )
        self._delegate.want(seen, soon)

    def _fit_columns(self) -> None:
        width = self.viewport().width()
        n_columns = max(1, width // theme().px(_CELL_PX))
        # One pixel less: the last column must not wrap for want of a fraction.
        self._delegate.set_cell_width((width - 1) // n_columns)
        if self.gridSize() != self._delegate.cell():
            self.setGridSize(self._delegate.cell())
            self.verticalScrollBar().setSingleStep(max(20, self._delegate.cell().height() // 3))

    def _select(self, ids: Iterable[int]) -> None:
        places = self._list.rows_of(ids)
        selection = QItemSelection()
        start = 0
        for end in range(1, len(places) + 1):
            if end == len(places) or places[end] != places[end - 1] + 1:
                selection.select(self._list.index(places[start]), self._list.index(places[end - 1]))
                start = end
        self.selectionModel().select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def _watch_selection(self) -> None:
        model = self.selectionModel()
        model.currentChanged.connect(self._on_selection_moved)
        model.selectionChanged.connect(self._on_selection_moved)

    def _on_selection_moved(self) -> None:
        self._notice.start(0)  # both signals of one click are one move

    def _on_theme_changed(self) -> None:
        self._fit_columns()
        self.viewport().update()
