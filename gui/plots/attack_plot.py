"""How many images stay right under changes of growing strength."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from PySide6.QtWidgets import QWidget

from engine.contract.results import AttackPoint
from gui.plots.themed_plot import ThemedPlot
from gui.widgets.counts import decimal_text

__all__ = ["AttackPlot"]


class AttackPlot(ThemedPlot):
    """The worst case with its interval as a band, and random noise of the same strength.

    Strengths stand at equal distances, each about twice the one before. The worst case has round
    marks and noise square ones, so that they differ without colour.
    """

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__("", parent=parent)
        self.setAccessibleName(self.tr("Images called right by strength of change"))
        self._points: tuple[AttackPoint, ...] = ()
        self._low: Any = self.add_curve()
        self._high: Any = self.add_curve()
        self._band: Any = self._pg.FillBetweenItem(self._low, self._high)
        self._item.addItem(self._band)
        self._noise: Any = self.add_curve()
        self._worst: Any = self.add_curve()
        self.set_axis_labels(
            bottom=self.tr("largest change, in steps of 255 greys"), left=self.tr("called right")
        )
        ticks = [(value / 4, decimal_text(value / 4, 2)) for value in range(5)]
        self._axes["left"].setTicks([ticks])
        self.restyle()

    def set_points(self, points: Sequence[AttackPoint]) -> None:
        """Show these strengths, ascending."""
        self._points = tuple(points)
        names = [(float(i), f"{point.epsilon_255:g}") for i, point in enumerate(points)]
        self._axes["bottom"].setTicks([names])
        self.schedule_redraw()

    def restyle(self) -> None:
        """Colour the curves and the band."""
        super().restyle()
        for curve, token, symbol, is_dashed in (
            (self._worst, "accent", "o", False),
            (self._noise, "second", "s", True),
        ):
            curve.setPen(self.pen(token, width=2, is_dashed=is_dashed))
            curve.setSymbol(symbol)
            curve.setSymbolSize(6)
            curve.setSymbolBrush(self.shade(token))
            curve.setSymbolPen(None)
        for edge in (self._low, self._high):
            edge.setPen(None)
        fill = self.shade("accent")
        fill.setAlpha(46)
        self._band.setBrush(self._pg.mkBrush(fill))
        self._band.setZValue(-10)

    def fit_ends(self) -> None:
        """Show all of [0, 1] and the numbers at its ends."""
        self._item.setYRange(0, 1, padding=self.end_padding())

    def redraw(self) -> None:
        """Put the points into the curves."""
        places = self.stops()
        accuracies = [point.accuracy for point in self._points]
        self._worst.setData(places, [a.value for a in accuracies])
        self._noise.setData(places, [point.noise for point in self._points])
        # Without an interval the band has no height there.
        self._low.setData(places, [_or(a.low, a.value) for a in accuracies])
        self._high.setData(places, [_or(a.high, a.value) for a in accuracies])
        self._item.setXRange(0.0, max(1.0, len(places) - 1.0), padding=0.03)
        self.fit_ends()

    def stops(self) -> list[float]:
        """Return the places of the strengths."""
        return [float(place) for place in range(len(self._points))]

    def read_out(self, x: float) -> str:
        """Return both shares at a strength."""
        point = self._points[int(x)]
        if point.epsilon_255 == 0:
            share = decimal_text(point.accuracy.value, 2)
            return self.tr("unchanged: {0} called right").format(share)
        return self.tr("up to {0}: worst case {1} · noise {2}").format(
            f"{point.epsilon_255:g}",
            decimal_text(point.accuracy.value, 2),
            decimal_text(point.noise, 2),
        )

    def to_csv(self) -> str:
        """Return one line per strength."""
        lines = ["strength_of_255,accuracy,low,high,noise,one_step,auroc"]
        for p in self._points:
            a = p.accuracy
            parts = (p.epsilon_255, a.value, a.low, a.high, p.noise, p.one_step, p.auroc.value)
            lines.append(",".join(str(part) for part in parts))
        return "\n".join(lines) + "\n"


def _or(value: float, other: float) -> float:
    return value if math.isfinite(value) else other
