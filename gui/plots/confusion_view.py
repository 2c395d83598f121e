"""The confusion matrix: rows are the reference, columns the prediction."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QLocale, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from gui.plots.printable import PrintableWidget
from gui.theme import theme
from gui.tokens import contrast_ratio, mix
from gui.widgets.counts import decimal_text
from gui.widgets.painting import draw_elided, draw_focus_ring, smooth_painter

__all__ = ["ConfusionView"]

_GAP_PX = 4
_MAX_CELL_PX = 120
_ARROWS = {
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
}


class ConfusionView(PrintableWidget):
    """Counts and row percentages; right answers are blue, wrong ones orange, stronger is more.

    A click on a cell, or Enter on the one that the arrow keys chose, asks for its images.

    Signals:
        cell_clicked: Indices of the reference class and the predicted class.
    """

    cell_clicked = Signal(int, int)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._classes: tuple[str, ...] = ()
        self._counts: tuple[tuple[int, ...], ...] = ()
        self._current = (0, 0)
        self._hovered: tuple[int, int] | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setAccessibleName(self.tr("Confusion matrix"))

    def set_counts(self, classes: Sequence[str], counts: Sequence[Sequence[int]]) -> None:
        """Show a matrix.

        Args:
            classes: Names, in order.
            counts: Images per reference class (row) and predicted class (column).

        Raises:
            ValueError: If it isn't square, or not one row per class.
        """
        n = len(classes)
        if len(counts) != n or any(len(row) != n for row in counts):
            raise ValueError("A confusion matrix needs one row and one column per class.")
        self._classes = tuple(classes)
        self._counts = tuple(tuple(int(value) for value in row) for row in counts)
        self._current = (0, 0)
        self._describe_current()
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Return comfortable cells and room for the class names."""
        look = theme()
        n = max(2, len(self._classes))
        cell = look.px(96) if n <= 3 else look.px(64)
        width = self._names_width(10_000) + n * cell
        return QSize(width, self._head_height() + n * look.px(60))

    def minimumSizeHint(self) -> QSize:
        """Return the least size in which the counts can be read."""
        look = theme()
        n = max(2, len(self._classes))
        return QSize(look.px(72) + n * look.px(44), self._head_height() + n * look.px(44))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint names and cells."""
        del event
        if not self._classes:
            return
        painter = smooth_painter(self)
        self._paint_names(painter)
        for row in range(len(self._classes)):
            for column in range(len(self._classes)):
                self._paint_cell(painter, row, column)
        if self.hasFocus() and not self.is_printing:
            draw_focus_ring(painter, self._cell_rect(*self._current).adjusted(-2, -2, 2, 2))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show which cell a click would open."""
        self._hovered = self._cell_at(event.position())
        shape = Qt.CursorShape.PointingHandCursor if self._hovered else Qt.CursorShape.ArrowCursor
        self.setCursor(shape)
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """Forget the cell under the mouse."""
        super().leaveEvent(event)
        self._hovered = None
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Open the cell."""
        cell = self._cell_at(event.position())
        if cell is not None and event.button() is Qt.MouseButton.LeftButton:
            self._choose(cell)
            self.cell_clicked.emit(*cell)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move with the arrows, open with Enter or Space."""
        key = Qt.Key(event.key())
        if not self._classes:
            super().keyPressEvent(event)
        elif key in _ARROWS:
            last = len(self._classes) - 1
            row, column = (
                min(max(place + step, 0), last)
                for place, step in zip(self._current, _ARROWS[key], strict=True)
            )
            self._choose((row, column))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.cell_clicked.emit(*self._current)
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Say a cell in words as its tooltip."""
        if isinstance(event, QHelpEvent) and event.type() is QEvent.Type.ToolTip:
            cell = self._cell_at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), self._say(*cell) if cell else "", self)
            return True
        return super().event(event)

    def to_csv(self) -> str:
        """Return the counts, one line per reference class."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("reference", *self._classes))
        for name, row in zip(self._classes, self._counts, strict=True):
            writer.writerow((name, *row))
        return out.getvalue()

    def cell_colors(self, row: int, column: int) -> tuple[str, str]:
        """Return fill and text colour of a cell as ``#rrggbb``; their contrast is at least 4.5."""
        tokens = self.tokens
        share = self._share(row, column)
        base = tokens.accent if row == column else tokens.second
        fill = mix(tokens.raised, base, 0.10 + 0.50 * math.sqrt(share) if share else 0.0)
        # Of black and white one always has at least 4.58.
        return fill, max(("#000000", "#ffffff"), key=lambda ink: contrast_ratio(ink, fill))

    def _share(self, row: int, column: int) -> float:
        total = sum(self._counts[row])
        return self._counts[row][column] / total if total else 0.0

    def _say(self, row: int, column: int) -> str:
        percent = decimal_text(100.0 * self._share(row, column), 0)
        text = self.tr("reference {0}, predicted {1}: {2} images, {3} % of the row")
        count = self._counts[row][column]
        return text.format(self._classes[row], self._classes[column], count, percent)

    def _choose(self, cell: tuple[int, int]) -> None:
        self._current = cell
        self._describe_current()
        self.update()

    def _describe_current(self) -> None:
        if self._classes:
            self.setAccessibleDescription(self._say(*self._current))

    def _head_height(self) -> int:
        look = theme()
        return (
            QFontMetrics(look.font("secondary")).height()
            + QFontMetrics(look.font("body")).height()
            + 8
        )

    def _names_width(self, room: int) -> int:
        look = theme()
        metrics, small = (QFontMetrics(look.font(role)) for role in ("body", "secondary"))
        widths = [metrics.horizontalAdvance(name) for name in self._classes]
        longest = max(*widths, small.horizontalAdvance(self.tr("reference")), 0)
        return min(longest + 12, max(theme().px(56), room * 2 // 5))

    def _cell_size(self) -> tuple[float, float]:
        n = len(self._classes)
        limit = theme().px(_MAX_CELL_PX)
        width = (self.width() - self._names_width(self.width())) / n
        height = (self.height() - self._head_height()) / n
        return min(width, limit), min(height, limit * 0.75)

    def _cell_rect(self, row: int, column: int) -> QRectF:
        width, height = self._cell_size()
        left = self._names_width(self.width()) + column * width
        top = self._head_height() + row * height
        half = _GAP_PX / 2
        return QRectF(left, top, width, height).adjusted(half, half, -half, -half)

    def _cell_at(self, point: QPointF) -> tuple[int, int] | None:
        places = range(len(self._classes))
        cells = ((row, column) for row in places for column in places)
        return next((cell for cell in cells if self._cell_rect(*cell).contains(point)), None)

    def _paint_names(self, painter: QPainter) -> None:
        look = theme()
        body, small = look.font("body"), look.font("secondary")
        secondary, text = QColor(self.tokens.secondary), QColor(self.tokens.text)
        small_height = QFontMetrics(small).height()
        width, _ = self._cell_size()
        left = self._names_width(self.width())
        center, right = Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignRight
        corner = QRectF(0, 0, left - 8, small_height)
        draw_elided(painter, corner, self.tr("reference"), small, secondary, right)
        head = QRectF(left, 0, width * len(self._classes), small_height)
        draw_elided(painter, head, self.tr("prediction"), small, secondary, center)
        body_height = QFontMetrics(body).height()
        for index, name in enumerate(self._classes):
            above = self._cell_rect(0, index)
            rect = QRectF(above.left(), small_height + 2, above.width(), body_height)
            draw_elided(painter, rect, name, body, text, center)
            beside = self._cell_rect(index, 0)
            rect = QRectF(0, beside.top(), left - 8, beside.height())
            draw_elided(painter, rect, name, body, text, right)

    def _paint_cell(self, painter: QPainter, row: int, column: int) -> None:
        look = theme()
        rect = self._cell_rect(row, column)
        fill, ink = self.cell_colors(row, column)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(fill))
        painter.drawRoundedRect(rect, 6, 6)
        if self._hovered == (row, column):
            painter.setPen(QColor(self.tokens.text))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect.adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        count = QLocale().toString(self._counts[row][column])
        percent = decimal_text(100.0 * self._share(row, column), 0) + " %"
        big, small = look.font("body", is_bold=True), look.font("secondary")
        center = Qt.AlignmentFlag.AlignHCenter
        heights = QFontMetrics(big).height(), QFontMetrics(small).height()
        if rect.height() < sum(heights) + 4:
            draw_elided(painter, rect, count, big, QColor(ink), center)
            return
        top = rect.center().y() - sum(heights) / 2
        line = QRectF(rect.left(), top, rect.width(), heights[0])
        draw_elided(painter, line, count, big, QColor(ink), center)
        line = QRectF(rect.left(), top + heights[0], rect.width(), heights[1])
        draw_elided(painter, line, percent, small, QColor(ink), center)
