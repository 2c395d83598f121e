"""Shapes that several widgets paint alike: focus ring, rounded bar, elided text."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPainterPath, QPen, QPixmap
from PySide6.QtWidgets import QWidget

from gui.theme import theme
from gui.tokens import RADIUS_PX

__all__ = [
    "class_swatch",
    "draw_bar",
    "draw_elided",
    "draw_focus_ring",
    "repolish",
    "set_role",
    "smooth_painter",
]


def smooth_painter(widget: QWidget) -> QPainter:
    """Return a painter on the widget with antialiasing switched on."""
    painter = QPainter(widget)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    return painter


def draw_focus_ring(painter: QPainter, rect: QRectF, radius: float = RADIUS_PX) -> None:
    """Outline the part that has the keyboard, just inside ``rect``."""
    painter.setPen(QPen(theme().color("accent"), 2))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(rect.adjusted(1, 1, -1, -1), radius, radius)


def draw_bar(
    painter: QPainter, rect: QRectF, fraction: float, fill: QColor, track: QColor | None = None
) -> None:
    """Paint a rounded bar that is full from the left up to ``fraction`` in [0, 1]."""
    radius = rect.height() / 2
    outline = QPainterPath()
    outline.addRoundedRect(rect, radius, radius)
    if track is not None:
        painter.fillPath(outline, track)
    width = rect.width() * min(max(fraction, 0.0), 1.0)
    if width > 0:
        painter.save()
        painter.setClipPath(outline)
        painter.fillRect(QRectF(rect.left(), rect.top(), width, rect.height()), fill)
        painter.restore()


def class_swatch(color: str) -> QPixmap:
    """Return the small rounded square that stands for a class, for cells of tables."""
    side, ratio = theme().px(8), 2.0
    image = QPixmap(round(side * ratio), round(side * ratio))
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(color))
    painter.drawRoundedRect(image.rect(), 2 * ratio, 2 * ratio)
    painter.end()
    image.setDevicePixelRatio(ratio)
    return image


def draw_elided(
    painter: QPainter,
    rect: QRectF,
    text: str,
    font: QFont,
    color: QColor,
    align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft,
) -> bool:
    """Write one line, vertically centred, and return whether it had to be shortened."""
    shown = QFontMetrics(font).elidedText(
        text, Qt.TextElideMode.ElideRight, max(0, int(rect.width() + 0.5))
    )
    painter.setFont(font)
    painter.setPen(color)
    painter.drawText(rect, int(align | Qt.AlignmentFlag.AlignVCenter), shown)
    return shown != text


def set_role(widget: QWidget, role: str) -> None:
    """Name the part the style sheet shall dress the widget as (``title``, ``card``, ...)."""
    widget.setProperty("role", role)
    repolish(widget)


def repolish(widget: QWidget) -> None:
    """Make the style sheet look at the dynamic properties of a widget again."""
    if not widget.testAttribute(Qt.WidgetAttribute.WA_WState_Polished):
        return  # it will be looked at when it is first shown
    style = widget.style()
    style.unpolish(widget)
    style.polish(widget)
