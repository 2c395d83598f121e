"""A grid of evaluated images, each with what the network said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPainterPath, QPen, QPixmap, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from gui.itemmodels.thumbnail_delegate import thumbnail_pixmap
from gui.theme import theme
from gui.widgets.painting import draw_elided, set_role

if TYPE_CHECKING:
    from engine.project.thumbnails import Thumbnails

__all__ = ["PredictionCell", "PredictionGrid"]

_Index = QModelIndex | QPersistentModelIndex
_NO_PARENT: Final = QModelIndex()
_CELL_ROLE: Final = Qt.ItemDataRole.UserRole
_LEAST_PX: Final = 128
_GAP_PX: Final = 8


@dataclass(frozen=True, slots=True)
class PredictionCell:
    """One image.

    Attributes:
        row: Row of its thumbnail.
        caption: What the network says, such as "normal 0.97".
        label: What it should be, such as "labelled opacity".
        is_right: Whether both agree.
        tool_tip: The same in full.
    """

    row: int
    caption: str
    label: str
    is_right: bool
    tool_tip: str


class PredictionGrid(QListView):
    """Thumbnails with captions, as many columns as fit; arrow keys move."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cells = _CellModel(self)
        self._delegate = _CellDelegate(self)
        self.setModel(self._cells)
        self.setItemDelegate(self._delegate)
        set_role(self, "grid")
        self.setFrameShape(QListView.Shape.NoFrame)
        self.setStyleSheet("QListView { border: none; background: transparent; }")
        # List mode with wrapping: icon mode keeps a tree of all items.
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        theme().changed.connect(self._fit_columns)

    @property
    def cells(self) -> Sequence[PredictionCell]:
        """What is shown."""
        return self._cells.cells

    def set_cells(self, cells: Sequence[PredictionCell], thumbnails: Thumbnails | None) -> None:
        """Show these images."""
        self._delegate.set_thumbnails(thumbnails)
        self._cells.set_cells(cells)
        self.scrollToTop()
        self._fit_columns()

    def minimumSizeHint(self) -> QSize:
        """Return room for two columns."""
        bar = self.verticalScrollBar().sizeHint().width()
        return QSize(2 * theme().px(_LEAST_PX) + bar, theme().px(180))

    def sizeHint(self) -> QSize:
        """Return little height: the grid scrolls, and takes what there is."""
        return QSize(2 * theme().px(150), self.minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Let the columns fill the width."""
        self._fit_columns()
        super().resizeEvent(event)

    def _fit_columns(self) -> None:
        # As if the scroll bar were always there: its coming must not change the columns.
        width = self.width() - self.verticalScrollBar().sizeHint().width()
        n_columns = max(1, width // theme().px(_LEAST_PX))
        self._delegate.set_cell_width(max(48, (width - 1) // n_columns))
        self.setGridSize(self._delegate.cell())
        self.viewport().update()


class _CellModel(QAbstractListModel):
    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.cells: tuple[PredictionCell, ...] = ()

    def set_cells(self, cells: Sequence[PredictionCell]) -> None:
        self.beginResetModel()
        self.cells = tuple(cells)
        self.endResetModel()

    def rowCount(self, parent: _Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(self.cells)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self.cells):
            return None
        cell = self.cells[index.row()]
        if role == _CELL_ROLE:
            return cell
        if role == Qt.ItemDataRole.DisplayRole:
            return cell.caption
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return cell.tool_tip
        return None


class _CellDelegate(QStyledItemDelegate):
    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._thumbnails: Thumbnails | None = None
        self._pictures: dict[int, QPixmap | None] = {}
        self._width = 140

    def set_thumbnails(self, thumbnails: Thumbnails | None) -> None:
        self._thumbnails = thumbnails
        self._pictures.clear()

    def set_cell_width(self, width: int) -> None:
        self._width = width

    def cell(self) -> QSize:
        captions = 2 * QFontMetrics(theme().font("secondary")).height() + 6
        return QSize(self._width, self._width - _GAP_PX + captions + _GAP_PX)

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        del option, index
        return self.cell()

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        cell = index.data(_CELL_ROLE)
        if not isinstance(cell, PredictionCell):
            return
        look = theme()
        side = self._width - _GAP_PX
        corner = QRectF(option.rect)
        picture = QRectF(corner.left(), corner.top(), side, side)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        outline = QPainterPath()
        outline.addRoundedRect(picture, 4, 4)
        painter.fillPath(outline, QColor("#000000"))
        if (pixmap := self._picture(cell.row)) is not None:
            painter.save()
            painter.setClipPath(outline)
            painter.drawPixmap(picture, pixmap, QRectF(pixmap.rect()))
            painter.restore()
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QPen(look.color("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(picture.adjusted(1, 1, -1, -1), 4, 4)
        self._paint_captions(painter, picture, cell)
        painter.restore()

    @staticmethod
    def _paint_captions(painter: QPainter, picture: QRectF, cell: PredictionCell) -> None:
        look = theme()
        font, bold = look.font("secondary"), look.font("secondary", is_bold=True)
        height = QFontMetrics(font).height()
        mark = "✓" if cell.is_right else "×"
        room = QFontMetrics(bold).horizontalAdvance("✓") + 4
        line = QRectF(picture.left(), picture.bottom() + 3, picture.width(), height)
        right = QRectF(line.right() - room, line.top(), room, height)
        ink = look.color("good" if cell.is_right else "bad")
        draw_elided(painter, right, mark, bold, ink, Qt.AlignmentFlag.AlignRight)
        above = line.adjusted(0, 0, -room, 0)
        draw_elided(painter, above, cell.caption, font, look.color("text"))
        below = line.translated(0, height)
        draw_elided(painter, below, cell.label, font, look.color("secondary"))

    def _picture(self, row: int) -> QPixmap | None:
        if row not in self._pictures:
            self._pictures[row] = thumbnail_pixmap(self._thumbnails, row)
        return self._pictures[row]
