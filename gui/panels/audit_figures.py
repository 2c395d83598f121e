"""How well what shouldn't matter tells the classes apart: a number, a bar and words."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from engine.contract.records import Finding
from gui.theme import theme
from gui.widgets.counts import decimal_text
from gui.widgets.painting import draw_elided, set_role, smooth_painter

__all__ = ["AurocFigure", "IntervalBar"]

_GUESSING: Final = 0.5
_TICKS: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class AurocFigure(QWidget):
    """AUROC with its interval on the way from guessing to giving the class away."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value = QLabel()
        set_role(self._value, "figure")
        self._name = QLabel(self.tr("AUROC"))
        set_role(self._name, "small")
        self._bar = IntervalBar()
        self._words = QLabel()
        self._words.setWordWrap(True)
        set_role(self._words, "small")
        number = QVBoxLayout()
        number.setSpacing(0)
        number.addWidget(self._name)
        number.addWidget(self._value)
        number.addStretch(1)
        right = QVBoxLayout()
        right.setSpacing(4)
        right.addWidget(self._bar)
        right.addWidget(self._words)
        row = QHBoxLayout()
        row.setSpacing(20)
        row.addLayout(number)
        row.addLayout(right, 1)
        self._others = _Others()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(row)
        column.addWidget(self._others)

    def show_finding(self, finding: Finding) -> None:
        """Show a finding's AUROC; without one, take no room."""
        value = finding.figures.get("auroc")
        self.setVisible(value is not None)
        if value is None:
            return
        low = finding.figures.get("auroc_low", value)
        high = finding.figures.get("auroc_high", value)
        self._value.setText(decimal_text(value, 2))
        self._bar.set_interval(value, low, high)
        interval = self.tr("95 %% interval %s to %s") % (
            decimal_text(low, 2),
            decimal_text(high, 2),
        )
        meaning = self.tr(
            "Of two random images of different classes, this alone tells which is which "
            "%d times in 100; guessing would be right 50 times."
        ) % round(100 * value)
        self._words.setText(f"{interval}. {meaning}")
        self._others.show_figures(finding.figures)
        self.setAccessibleName(f"{self._name.text()} {self._value.text()}")
        self.setAccessibleDescription(self._words.text())


class _Others(QWidget):
    """What the AUROC would be with other borders, under the one that there is now."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(4)
        self._grid.setColumnStretch(1, 1)
        names = {
            "auroc_black": self.tr("With black borders"),
            "auroc_edge_mean": self.tr("With borders in the grey of the edge"),
            "auroc_center_crop": self.tr("Cropped to the centre square"),
        }
        self._rows: dict[str, tuple[QLabel, IntervalBar, QLabel]] = {}
        for row, (key, text) in enumerate(names.items()):
            name, bar, number = QLabel(text), IntervalBar(has_scale=False), QLabel()
            set_role(name, "small")
            set_role(number, "smallText")
            for column, widget in enumerate((name, bar, number)):
                self._grid.addWidget(widget, row, column)
            self._rows[key] = (name, bar, number)

    def show_figures(self, figures: dict[str, float]) -> None:
        """Show those that are known."""
        for key, (name, bar, number) in self._rows.items():
            value = figures.get(key)
            for widget in (name, bar, number):
                widget.setVisible(value is not None)
            if value is not None:
                bar.set_interval(value, value, value)
                bar.setAccessibleName(f"{name.text()}: {decimal_text(value, 2)}")
                number.setText(decimal_text(value, 2))
        self.setVisible(any(key in figures for key in self._rows))


class IntervalBar(QWidget):
    """A value and its interval on a line from 0.5 to 1."""

    def __init__(self, *, has_scale: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._has_scale = has_scale
        self._value, self._low, self._high = _GUESSING, _GUESSING, _GUESSING
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme().changed.connect(self._on_theme_changed)

    def set_interval(self, value: float, low: float, high: float) -> None:
        """Show a value with the ends of its interval, all in [0, 1]."""
        self._value, self._low, self._high = value, low, high
        self.setAccessibleName(
            self.tr("%s, from %s to %s")
            % (decimal_text(value, 2), decimal_text(low, 2), decimal_text(high, 2))
        )
        self.update()

    def sizeHint(self) -> QSize:
        """Return a wide bar with its scale."""
        scale = self._text_height() if self._has_scale else 0
        return QSize(theme().px(280), theme().px(14) + scale)

    def minimumSizeHint(self) -> QSize:
        """Return the least useful length."""
        return QSize(theme().px(120), self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint track, interval, value and scale."""
        del event
        painter = smooth_painter(self)
        look = theme()
        radius, middle = look.px(5), look.px(7)
        width = float(self.width())

        def place(value: float) -> float:
            share = (value - _GUESSING) / (1.0 - _GUESSING)
            return width * min(max(share, 0.0), 1.0)

        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.color("chip"))
        painter.drawRoundedRect(QRectF(0, middle - 3, width, 6), 3, 3)
        painter.setBrush(look.color("accent"))
        low, high = place(self._low), place(self._high)
        painter.drawRoundedRect(QRectF(low, middle - 3, max(high - low, 2.0), 6), 3, 3)
        painter.setPen(QPen(look.color("panel"), 2))
        painter.setBrush(look.color("text"))
        center = min(max(place(self._value), radius + 1.0), width - radius - 1.0)
        painter.drawEllipse(QPointF(center, middle), radius, radius)
        if self._has_scale:
            self._paint_scale(painter)

    def _on_theme_changed(self) -> None:
        self.updateGeometry()
        self.update()

    def _paint_scale(self, painter: QPainter) -> None:
        look, top = theme(), theme().px(14)
        font, color = look.font("small"), look.color("secondary")
        height = self._text_height()
        width = QFontMetrics(font).horizontalAdvance("0.00") + 4
        for tick in _TICKS:
            share = (tick - _GUESSING) / (1.0 - _GUESSING)
            start = self.width() * share - width / 2
            start = min(max(start, 0.0), self.width() - width)
            align = Qt.AlignmentFlag.AlignHCenter
            if tick == _TICKS[0]:
                align = Qt.AlignmentFlag.AlignLeft
            elif tick == _TICKS[-1]:
                align = Qt.AlignmentFlag.AlignRight
            room = QRectF(start, top, width, height)
            draw_elided(painter, room, decimal_text(tick, 1), font, color, align)

    @staticmethod
    def _text_height() -> int:
        return QFontMetrics(theme().font("small")).height()
