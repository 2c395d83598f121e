"""A measure with its interval, one line per group: does it hold for everyone?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QLocale, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui.plots.printable import PrintableWidget
from gui.theme import theme
from gui.widgets.counts import decimal_text
from gui.widgets.painting import draw_bar, draw_elided, smooth_painter

__all__ = ["IntervalRow", "IntervalRows"]


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """A group, its size, and its measure with 95 % interval."""

    name: str
    n: int
    value: float
    low: float
    high: float


class IntervalRows(PrintableWidget):
    """Name, n, and a bar from low to high with the value as a dot, on a common scale."""

    def __init__(
        self,
        measure: str = "",
        *,
        low: float = 0.5,
        high: float = 1.0,
        parent: QWidget | None = None,
    ) -> None:
        """Make an empty table; ``low`` and ``high`` are the ends of the scale."""
        super().__init__(parent=parent)
        self._measure = measure
        self._scale = (low, high)
        self._rows: tuple[IntervalRow, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(measure)

    def set_rows(self, rows: Sequence[IntervalRow]) -> None:
        """Show these groups; the scale grows where an interval leaves it."""
        self._rows = tuple(rows)
        self._scale = (
            min((self._scale[0], *(row.low for row in rows))),
            max((self._scale[1], *(row.high for row in rows))),
        )
        self.setAccessibleDescription("; ".join(_say(row) for row in rows))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Return a line of 24 px per group and one for the head."""
        return QSize(theme().px(360), self._line() * (len(self._rows) + 1))

    def minimumSizeHint(self) -> QSize:
        """Return the full height; names elide in width."""
        return QSize(theme().px(260), self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint head and lines."""
        del event
        painter = smooth_painter(self)
        font = theme().font("secondary")
        columns = self._columns()
        heads = (self.tr("Group"), self.tr("n"), "", self._measure)
        for (left, width), text in zip(columns, heads, strict=True):
            rect = QRectF(left, 0, width, self._line())
            draw_elided(painter, rect, text, font, QColor(self.tokens.secondary))
        for index, row in enumerate(self._rows):
            self._paint_row(painter, row, (index + 1) * self._line(), columns)

    def to_csv(self) -> str:
        """Return one line per group."""
        names = ('"' + row.name.replace('"', '""') + '"' for row in self._rows)
        pairs = zip(names, self._rows, strict=True)
        lines = [f"{name},{row.n},{row.value},{row.low},{row.high}" for name, row in pairs]
        return "\n".join(("group,n,value,low,high", *lines)) + "\n"

    def _line(self) -> int:
        return max(24, QFontMetrics(theme().font("body")).height() + 6)

    def _columns(self) -> list[tuple[float, float]]:
        metrics = QFontMetrics(theme().font("body"))
        n_width = max(
            (metrics.horizontalAdvance(QLocale().toString(row.n)) for row in self._rows),
            default=theme().px(24),
        )
        text_width = metrics.horizontalAdvance("0.00 (0.00 – 0.00)") + 4
        names = max((metrics.horizontalAdvance(row.name) for row in self._rows), default=0)
        name_width = min(names, self.width() * 0.3)
        n_left = name_width + 12
        bar_left = n_left + n_width + 12
        bar_width = self.width() - bar_left - 12 - text_width
        if bar_width < theme().px(48):
            # Too narrow for both: the bar stays, the numbers remain in the tooltip and the table.
            return [(0, name_width), (n_left, n_width), (bar_left, self.width() - bar_left), (0, 0)]
        return [
            (0, name_width),
            (n_left, n_width),
            (bar_left, bar_width),
            (bar_left + bar_width + 12, text_width),
        ]

    def _paint_row(
        self, painter: QPainter, row: IntervalRow, top: float, columns: list[tuple[float, float]]
    ) -> None:
        font = theme().font("body")
        tokens = self.tokens
        cells = [QRectF(left, top, width, self._line()) for left, width in columns]
        draw_elided(painter, cells[0], row.name, font, QColor(tokens.text))
        draw_elided(painter, cells[1], QLocale().toString(row.n), font, QColor(tokens.secondary))
        draw_elided(painter, cells[3], _numbers(row), font, QColor(tokens.secondary))
        middle = top + self._line() / 2
        track = QRectF(cells[2].left(), middle - 6, cells[2].width(), 12)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(tokens.raised))
        painter.drawRoundedRect(track, 3, 3)
        left, right = self._place(row.low, track), self._place(row.high, track)
        draw_bar(painter, QRectF(left, middle - 2, right - left, 4), 1.0, QColor(tokens.accent))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(tokens.text))
        painter.drawEllipse(QPointF(self._place(row.value, track), middle), 3.5, 3.5)

    def _place(self, value: float, track: QRectF) -> float:
        low, high = self._scale
        return track.left() + (value - low) / max(high - low, 1e-9) * track.width()


def _numbers(row: IntervalRow) -> str:
    value, low, high = (decimal_text(v, 2) for v in (row.value, row.low, row.high))
    return f"{value} ({low} – {high})"


def _say(row: IntervalRow) -> str:
    return f"{row.name}, n = {row.n}: {_numbers(row)}"
