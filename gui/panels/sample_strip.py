"""A few validation images with what the network says about them now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QHelpEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPixmap,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from gui.itemmodels.run_words import percent_text
from gui.itemmodels.thumbnail_delegate import thumbnail_pixmap
from gui.theme import theme
from gui.widgets.painting import draw_bar, draw_elided, smooth_painter

if TYPE_CHECKING:
    from engine.project.thumbnails import Thumbnails

__all__ = ["SampleCell", "SampleStrip"]

_GAP_PX: Final = 8
_LEAST_PX: Final = 96
_MOST_PX: Final = 148


@dataclass(frozen=True, slots=True)
class SampleCell:
    """One image and its prediction.

    Attributes:
        row: Row of its thumbnail.
        patient: Pseudonym.
        label: Name of its reference class.
        predicted: Name of the predicted class.
        class_index: Index of the predicted class, for the colour.
        probability: Of the predicted class.
        is_right: Whether both classes are the same.
    """

    row: int
    patient: str
    label: str
    predicted: str
    class_index: int
    probability: float
    is_right: bool


class SampleStrip(QWidget):
    """Thumbnails, each with a bar of the predicted class and a mark for right or wrong."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._thumbnails: Thumbnails | None = None
        self._cells: tuple[SampleCell, ...] = ()
        self._pictures: dict[int, QPixmap | None] = {}
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.tr("Validation images with the present prediction"))
        theme().changed.connect(self._on_theme_changed)

    @property
    def cells(self) -> tuple[SampleCell, ...]:
        """What is shown."""
        return self._cells

    def set_thumbnails(self, thumbnails: Thumbnails | None) -> None:
        """Take pictures from another project."""
        self._thumbnails = thumbnails
        self._pictures.clear()

    def set_cells(self, cells: Sequence[SampleCell]) -> None:
        """Show these images."""
        is_other_number = len(cells) != len(self._cells)
        self._cells = tuple(cells)
        self.setAccessibleDescription("; ".join(self._say(cell) for cell in cells))
        if is_other_number:
            self._fit_height()
        self.update()

    def heightForWidth(self, width: int) -> int:
        """Return the height of all rows."""
        n_columns, side = self._columns(width)
        n_rows = -(-len(self._cells) // n_columns)
        return int(n_rows * (side + self._caption_height()) + max(0, n_rows - 1) * _GAP_PX)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Take the height that the rows need at this width."""
        super().resizeEvent(event)
        self._fit_height()

    def minimumSizeHint(self) -> QSize:
        """Return room for two images side by side."""
        return QSize(2 * theme().px(_LEAST_PX) + _GAP_PX, 0)

    def event(self, event: QEvent) -> bool:
        """Say in words what a cell shows."""
        if isinstance(event, QHelpEvent) and event.type() is QEvent.Type.ToolTip:
            point = QPointF(event.pos())
            places = range(len(self._cells))
            found = next((i for i in places if self._cell_rect(i).contains(point)), None)
            text = self._say(self._cells[found]) if found is not None else ""
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint every cell."""
        del event
        painter = smooth_painter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        for place, cell in enumerate(self._cells):
            self._paint_cell(painter, self._cell_rect(place), cell)

    def _paint_cell(self, painter: QPainter, rect: QRectF, cell: SampleCell) -> None:
        look = theme()
        picture = QRectF(rect.left(), rect.top(), rect.width(), rect.width())
        outline = QPainterPath()
        outline.addRoundedRect(picture, 4, 4)
        painter.fillPath(outline, QColor("#000000"))
        if (pixmap := self._picture(cell.row)) is not None:
            painter.save()
            painter.setClipPath(outline)
            painter.drawPixmap(picture, pixmap, QRectF(pixmap.rect()))
            painter.restore()
        bar = QRectF(rect.left(), picture.bottom() + 5, rect.width(), 6)
        fill = QColor(look.tokens.class_color(cell.class_index))
        draw_bar(painter, bar, cell.probability, fill, look.color("chip"))
        font = look.font("secondary")
        line = QRectF(rect.left(), bar.bottom() + 3, rect.width(), QFontMetrics(font).height())
        mark = "✓" if cell.is_right else "×"
        ink = look.color("good" if cell.is_right else "bad")
        mark_width = QFontMetrics(look.font("secondary", is_bold=True)).horizontalAdvance("✓") + 4
        right = QRectF(line.right() - mark_width, line.top(), mark_width, line.height())
        bold = look.font("secondary", is_bold=True)
        draw_elided(painter, right, mark, bold, ink, Qt.AlignmentFlag.AlignRight)
        text = f"{percent_text(cell.probability)} {cell.predicted}"
        room = line.adjusted(0, 0, -mark_width - 2, 0)
        draw_elided(painter, room, text, font, look.color("secondary"))

    def _picture(self, row: int) -> QPixmap | None:
        if row not in self._pictures:
            self._pictures[row] = thumbnail_pixmap(self._thumbnails, row)
        return self._pictures[row]

    def _columns(self, width: int) -> tuple[int, float]:
        least = theme().px(_LEAST_PX)
        n_cells = max(1, len(self._cells))
        n_columns = max(1, min(n_cells, (width + _GAP_PX) // (least + _GAP_PX)))
        if n_columns < n_cells and n_cells % n_columns:  # eight become four and four
            n_columns = -(-n_cells // -(-n_cells // n_columns))
        side = (width - (n_columns - 1) * _GAP_PX) / n_columns
        return n_columns, min(side, theme().px(_MOST_PX))

    def _cell_rect(self, place: int) -> QRectF:
        n_columns, side = self._columns(self.width())
        row, column = divmod(place, n_columns)
        height = side + self._caption_height()
        gap = _GAP_PX
        if n_columns > 1:
            gap = max(_GAP_PX, int((self.width() - n_columns * side) / (n_columns - 1)))
            gap = min(gap, 3 * _GAP_PX)
        return QRectF(column * (side + gap), row * (height + _GAP_PX), side, height)

    def _caption_height(self) -> int:
        return 5 + 6 + 3 + QFontMetrics(theme().font("secondary")).height() + 2

    def _say(self, cell: SampleCell) -> str:
        text = self.tr("{0}: labelled {1}, predicted {2} with {3}: {4}")
        verdict = self.tr("right") if cell.is_right else self.tr("wrong")
        share = percent_text(cell.probability)
        return text.format(cell.patient, cell.label, cell.predicted, share, verdict)

    def _fit_height(self) -> None:
        # Not height-for-width: inside a scroll area layouts ask for it at widths that never come.
        self.setFixedHeight(max(1, self.heightForWidth(self.width())))

    def _on_theme_changed(self) -> None:
        self._fit_height()
        self.update()
