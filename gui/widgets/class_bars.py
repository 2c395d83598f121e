"""How many images and patients each class has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QLocale, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QHelpEvent, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from gui.theme import theme
from gui.widgets.counts import images_text, patients_text
from gui.widgets.painting import draw_bar, draw_elided, smooth_painter

__all__ = ["ClassBars", "ClassCount"]

_BAR_PX = 6
_GAP_PX = 12


@dataclass(frozen=True, slots=True)
class ClassCount:
    """What is shown of one class.

    Attributes:
        n_patients: None where patients are unknown.
        detail: More on it, for the tooltip.
    """

    name: str
    n_images: int
    n_patients: int | None = None
    detail: str = ""


class ClassBars(QWidget):
    """One row per class: name, "images / patients", and a bar in the colour of its index."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._counts: tuple[ClassCount, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.tr("Images per class"))
        theme().changed.connect(self._on_theme_changed)

    def set_counts(self, counts: Sequence[ClassCount]) -> None:
        """Show these classes, in this order."""
        self._counts = tuple(counts)
        self.setAccessibleDescription("; ".join(self._describe(count) for count in counts))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Return room for every row at the present text size."""
        n_rows = len(self._counts)
        height = n_rows * self._row_height() + max(0, n_rows - 1) * _GAP_PX
        return QSize(theme().px(200), height)

    def minimumSizeHint(self) -> QSize:
        """Return the full height; names elide in width."""
        return QSize(theme().px(100), self.sizeHint().height())

    def event(self, event: QEvent) -> bool:
        """Show the whole row as tooltip, because long names are cut."""
        if isinstance(event, QHelpEvent) and event.type() is QEvent.Type.ToolTip:
            index = event.pos().y() // (self._row_height() + _GAP_PX)
            if 0 <= index < len(self._counts):
                QToolTip.showText(event.globalPos(), self._describe(self._counts[index]), self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint all rows."""
        del event
        painter = smooth_painter(self)
        look = theme()
        font = look.font("body")
        text_height = QFontMetrics(font).height()
        most = max((count.n_images for count in self._counts), default=0)
        for index, count in enumerate(self._counts):
            top = index * (self._row_height() + _GAP_PX)
            numbers = self._numbers(count)
            right = QFontMetrics(font).horizontalAdvance(numbers)
            name = QRectF(0, top, self.width() - right - 12, text_height)
            draw_elided(painter, name, count.name, font, look.color("text"))
            value = QRectF(self.width() - right - 1, top, right + 1, text_height)
            align = Qt.AlignmentFlag.AlignRight
            draw_elided(painter, value, numbers, font, look.color("secondary"), align)
            bar = QRectF(0, top + text_height + 3, self.width(), _BAR_PX)
            fill = QColor(look.tokens.class_color(index))
            share = count.n_images / most if most else 0.0
            draw_bar(painter, bar, share, fill, look.color("chip"))

    def _row_height(self) -> int:
        return QFontMetrics(theme().font("body")).height() + 3 + _BAR_PX

    def _numbers(self, count: ClassCount) -> str:
        locale = QLocale()
        images = locale.toString(count.n_images)
        if count.n_patients is None:
            return images
        return f"{images} / {locale.toString(count.n_patients)}"

    def _describe(self, count: ClassCount) -> str:
        parts = [images_text(count.n_images)]
        if count.n_patients is not None:
            parts.append(patients_text(count.n_patients))
        if count.detail:
            parts.append(count.detail)
        return f"{count.name}: {', '.join(parts)}"

    def _on_theme_changed(self) -> None:
        self.updateGeometry()
        self.update()
