"""How the images are divided into training, validation and test, by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QLocale, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui.theme import theme
from gui.widgets.counts import images_text, patients_text
from gui.widgets.painting import draw_elided, smooth_painter

__all__ = ["SplitBars", "SplitCount"]

_BAR_PX = 12
_GAP_PX = 16


@dataclass(frozen=True, slots=True)
class SplitCount:
    """One part of a split: images of each class, in class order, and its patients.

    Attributes:
        n_total: Its images, where they aren't the sum: one can have several findings.
    """

    name: str
    n_images: tuple[int, ...]
    n_patients: int | None = None
    n_total: int | None = None


class SplitBars(QWidget):
    """One stacked bar per part; its length is the part's share, its pieces are the classes."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._classes: tuple[str, ...] = ()
        self._parts: tuple[SplitCount, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.tr("Images per split and class"))
        theme().changed.connect(self._on_theme_changed)

    def set_counts(self, classes: Sequence[str], parts: Sequence[SplitCount]) -> None:
        """Show these parts.

        Raises:
            ValueError: If a part doesn't have one number per class.
        """
        if any(len(part.n_images) != len(classes) for part in parts):
            raise ValueError("Every part of the split needs one number per class.")
        self._classes = tuple(classes)
        self._parts = tuple(parts)
        self.setAccessibleDescription("; ".join(self._describe(part) for part in parts))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Return room for every part and its numbers at the present text size."""
        n_parts = len(self._parts)
        height = n_parts * self._part_height() + max(0, n_parts - 1) * _GAP_PX
        return QSize(theme().px(320), height)

    def minimumSizeHint(self) -> QSize:
        """Return the full height; texts elide in width."""
        return QSize(theme().px(160), self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint all parts."""
        del event
        painter = smooth_painter(self)
        look = theme()
        body = look.font("body")
        line = QFontMetrics(body).height()
        most = max((sum(part.n_images) for part in self._parts), default=0)
        for index, part in enumerate(self._parts):
            top = index * (self._part_height() + _GAP_PX)
            total = self._total(part)
            right = QFontMetrics(body).horizontalAdvance(total)
            draw_elided(
                painter,
                QRectF(0, top, self.width() - right - 12, line),
                part.name,
                look.font("body", is_bold=True),
                look.color("text"),
            )
            value = QRectF(self.width() - right - 1, top, right + 1, line)
            align = Qt.AlignmentFlag.AlignRight
            draw_elided(painter, value, total, body, look.color("secondary"), align)
            self._paint_bar(painter, part, top + line + 4, most)
            self._paint_numbers(painter, part, top + line + 4 + _BAR_PX + 4)

    def _paint_bar(self, painter: QPainter, part: SplitCount, top: float, most: int) -> None:
        look = theme()
        track = QRectF(0, top, self.width(), _BAR_PX)
        outline = QPainterPath()
        outline.addRoundedRect(track, 3, 3)
        painter.fillPath(outline, look.color("chip"))
        painter.save()
        painter.setClipPath(outline)
        left = 0.0
        for index, count in enumerate(part.n_images):
            width = self.width() * count / most if most else 0.0
            # A gap of one pixel tells neighbours apart without colour.
            piece = QRectF(left, top, max(0.0, width - 1), _BAR_PX)
            painter.fillRect(piece, QColor(look.tokens.class_color(index)))
            left += width
        painter.restore()

    def _paint_numbers(self, painter: QPainter, part: SplitCount, top: float) -> None:
        look = theme()
        font = look.font("secondary")
        metrics = QFontMetrics(font)
        side = look.px(8)
        left = 0.0
        for index, (name, count) in enumerate(zip(self._classes, part.n_images, strict=True)):
            text = f"{name} {QLocale().toString(count)}"
            room = self.width() - left - side - 6
            if room < look.px(24):
                return
            square = QRectF(left, top + (metrics.height() - side) / 2, side, side)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(look.tokens.class_color(index)))
            painter.drawRoundedRect(square, 2, 2)
            rect = QRectF(left + side + 6, top, room, metrics.height())
            draw_elided(painter, rect, text, font, look.color("secondary"))
            left += side + 6 + metrics.horizontalAdvance(text) + 16

    def _part_height(self) -> int:
        look = theme()
        body = QFontMetrics(look.font("body")).height()
        return body + 4 + _BAR_PX + 4 + QFontMetrics(look.font("secondary")).height()

    def _total(self, part: SplitCount) -> str:
        images = images_text(sum(part.n_images) if part.n_total is None else part.n_total)
        if part.n_patients is None:
            return images
        return f"{images} · " + patients_text(part.n_patients)

    def _describe(self, part: SplitCount) -> str:
        pairs = zip(self._classes, part.n_images, strict=True)
        numbers = ", ".join(f"{name} {count}" for name, count in pairs)
        return f"{part.name}: {self._total(part)} ({numbers})"

    def _on_theme_changed(self) -> None:
        self.updateGeometry()
        self.update()
