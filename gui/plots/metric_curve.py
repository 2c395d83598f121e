"""One measure by epoch, with the best epoch marked."""

from __future__ import annotations

import math
from typing import Any

from PySide6.QtWidgets import QWidget

from gui.plots.themed_plot import ThemedPlot
from gui.widgets.counts import decimal_text

__all__ = ["MetricCurve"]


class MetricCurve(ThemedPlot):
    """A measure in [0, 1] that is better when higher, such as AUROC on validation."""

    def __init__(self, name: str, *, parent: QWidget | None = None) -> None:
        super().__init__(name, parent=parent)
        self._name = name
        self._n_epochs: int | None = None
        self._points: list[tuple[int, float]] = []
        self._curve: Any = self.add_curve(connect="finite")
        self._best: Any = self.add_curve(symbol="o", symbolSize=11)
        self.set_axis_labels(bottom=self.tr("epoch"))
        self.restyle()

    @property
    def best(self) -> tuple[int, float] | None:
        """Epoch and value of the highest point, the first of equals; ``None`` while empty."""
        finite = [point for point in self._points if math.isfinite(point[1])]
        return max(finite, key=lambda point: point[1], default=None)

    def start(self, *, n_epochs: int | None = None) -> None:
        """Forget the former run."""
        self._n_epochs = n_epochs
        self._points.clear()
        self.schedule_redraw()

    def append(self, epoch: int, value: float) -> None:
        """Add an epoch, counted from 1."""
        self._points.append((epoch, value))
        self.schedule_redraw()

    def restyle(self) -> None:
        """Colour the curve and the ring around the best epoch."""
        super().restyle()
        self._curve.setPen(self.pen("second", width=2))
        self._curve.setSymbol("s")
        self._curve.setSymbolSize(5)
        self._curve.setSymbolBrush(self.shade("second"))
        self._curve.setSymbolPen(None)
        self._best.setSymbolBrush(self.shade("panel"))
        self._best.setSymbolPen(self.pen("second", width=2))

    def fit_ends(self) -> None:
        """Keep room for the numbers at the ends."""
        self.schedule_redraw()

    def redraw(self) -> None:
        """Put all epochs into the curve."""
        epochs = [float(epoch) for epoch, _ in self._points]
        self._curve.setData(epochs, [value for _, value in self._points])
        best = self.best
        self._best.setData([best[0]] if best else [], [best[1]] if best else [])
        values = [value for _, value in self._points if math.isfinite(value)]
        if values:
            low, high = _whole_tenths(min(values), max(values))
            self._item.setYRange(low, high, padding=self.end_padding())
        last = max(epochs, default=1.0)
        first = min(epochs, default=0.0)
        self._item.setXRange(min(1.0, first), max(last, float(self._n_epochs or 2)), padding=0.02)

    def stops(self) -> list[float]:
        """Return the epochs."""
        return [float(epoch) for epoch, _ in self._points]

    def read_out(self, x: float) -> str:
        """Return the value of an epoch."""
        value = dict(self._points).get(int(x), math.nan)
        text = self.tr("epoch {0} · {1}").format(int(x), decimal_text(value, 3))
        best = self.best
        return f"{text} · {self.tr('best')}" if best is not None and best[0] == x else text

    def to_csv(self) -> str:
        """Return one line per epoch."""
        lines = [f"{epoch},{value}" for epoch, value in self._points]
        return "\n".join(("epoch,value", *lines)) + "\n"


def _whole_tenths(least: float, greatest: float) -> tuple[float, float]:
    """Return the ends of the axis: whole tenths with some air, never beyond what is possible."""
    low = max(0.0, math.floor(least * 10 - 0.2) / 10)
    high = min(1.0, math.ceil(greatest * 10 + 0.2) / 10)
    return (low, high) if high - low > 0.15 else (max(0.0, high - 0.2), high)
