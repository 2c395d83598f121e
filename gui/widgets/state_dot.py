"""The state of a stage as a small mark whose shape, not only its colour, tells what it means."""

from __future__ import annotations

from enum import StrEnum

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPen, QPolygonF

from gui.theme import theme

__all__ = ["StageState", "draw_state_dot"]


class StageState(StrEnum):
    """What is known about the results of a stage."""

    EMPTY = "empty"
    READY = "ready"
    ACTIVE = "active"
    DONE = "done"
    STALE = "stale"
    ALERT = "alert"


def draw_state_dot(
    painter: QPainter, center: QPointF, side: float, state: StageState, *, is_current: bool = False
) -> None:
    """Paint a ring, a ring with a core, a half-filled disc, a tick, a triangle or a diamond.

    Args:
        painter: Painter with antialiasing on.
        center: Middle of the mark.
        side: Diameter in pixels.
        state: What to show.
        is_current: Draws rings in the accent colour, for the page that is shown.
    """
    if state is StageState.DONE:
        _draw_tick(painter, center, side)
    elif state is StageState.STALE:
        _draw_triangle(painter, center, side)
    elif state is StageState.ALERT:
        _draw_diamond(painter, center, side)
    elif state is StageState.ACTIVE:
        _draw_half_disc(painter, center, side)
    else:
        _draw_ring(painter, center, side, has_core=state is StageState.READY, is_lit=is_current)


def _line_width(side: float) -> float:
    return max(1.3, side / 7)


def _draw_tick(painter: QPainter, center: QPointF, side: float) -> None:
    radius = side / 2
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme().color("good"))
    painter.drawEllipse(center, radius, radius)
    corners = (QPointF(-0.48, 0.04), QPointF(-0.12, 0.40), QPointF(0.50, -0.36))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(theme().color("panel"), _line_width(side)))
    painter.drawPolyline(QPolygonF([center + corner * radius for corner in corners]))


def _draw_triangle(painter: QPainter, center: QPointF, side: float) -> None:
    radius = side / 2
    pen = QPen(theme().color("warning"), _line_width(side))
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    corners = (QPointF(0, -1), QPointF(1, 0.8), QPointF(-1, 0.8))
    painter.drawPolygon(QPolygonF([center + corner * radius for corner in corners]))
    painter.drawLine(center + QPointF(0, -radius * 0.2), center + QPointF(0, radius * 0.25))


def _draw_diamond(painter: QPainter, center: QPointF, side: float) -> None:
    radius = side / 2 * 1.15  # as large to the eye as a disc
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme().color("bad"))
    corners = (QPointF(0, -1), QPointF(1, 0), QPointF(0, 1), QPointF(-1, 0))
    painter.drawPolygon(QPolygonF([center + corner * radius for corner in corners]))
    painter.setPen(QPen(theme().color("panel"), _line_width(side)))
    painter.drawLine(center + QPointF(0, -radius * 0.45), center + QPointF(0, radius * 0.05))
    painter.drawPoint(center + QPointF(0, radius * 0.45))


def _draw_half_disc(painter: QPainter, center: QPointF, side: float) -> None:
    radius, line = side / 2, _line_width(side)
    painter.setPen(QPen(theme().color("accent"), line))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawEllipse(center, radius - line / 2, radius - line / 2)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme().color("accent"))
    square = QRectF(center.x() - radius, center.y() - radius, side, side)
    painter.drawPie(square, 90 * 16, -180 * 16)


def _draw_ring(
    painter: QPainter, center: QPointF, side: float, *, has_core: bool, is_lit: bool
) -> None:
    radius, line = side / 2, _line_width(side)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(theme().color("accent" if is_lit else "control"), line))
    painter.drawEllipse(center, radius - line / 2 - 0.5, radius - line / 2 - 0.5)
    if has_core:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme().color("accent" if is_lit else "secondary"))
        painter.drawEllipse(center, radius * 0.42, radius * 0.42)
