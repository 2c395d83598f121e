"""Is 70 % really 70 %? Stated probability against what was observed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PySide6.QtCore import QSize
from PySide6.QtWidgets import QWidget

from gui.plots.themed_plot import ThemedPlot
from gui.theme import theme
from gui.widgets.counts import decimal_text

__all__ = ["ReliabilityBin", "ReliabilityPlot"]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Images with similar scores: mean score, share of positives with interval, how many."""

    stated: float
    observed: float
    low: float
    high: float
    n_images: int


class ReliabilityPlot(ThemedPlot):
    """A point with its interval for each bin; on the diagonal the scores can be trusted."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__("", parent=parent)
        self.setAccessibleName(self.tr("Reliability of the probabilities"))
        self._bins: tuple[ReliabilityBin, ...] = ()
        self._diagonal: Any = self.add_curve([0, 1], [0, 1])
        self._bars: Any = self.add_curve(connect="pairs")
        self._points: Any = self.add_curve(symbol="o", symbolSize=8)
        self._item.setRange(xRange=(0, 1), yRange=(0, 1), padding=0.02)
        self.set_axis_labels(bottom=self.tr("stated probability"), left=self.tr("observed share"))
        self.restyle()

    def sizeHint(self) -> QSize:
        """Return a square, as both axes mean the same."""
        return QSize(theme().px(260), theme().px(260))

    def set_bins(self, bins: Sequence[ReliabilityBin]) -> None:
        """Show these bins."""
        self._bins = tuple(sorted(bins, key=lambda item: item.stated))
        stated = np.array([item.stated for item in self._bins])
        self._points.setData(stated, [item.observed for item in self._bins])
        ends = [end for item in self._bins for end in (item.low, item.high)]
        self._bars.setData(np.repeat(stated, 2), ends)

    def restyle(self) -> None:
        """Colour points, intervals and the diagonal."""
        super().restyle()
        self._diagonal.setPen(self.pen("control", width=1, is_dashed=True))
        self._bars.setPen(self.pen("accent", width=1.5))
        self._points.setPen(None)
        self._points.setSymbolBrush(self.shade("accent"))
        self._points.setSymbolPen(None)

    def redraw(self) -> None:
        """Do nothing: bins are set as a whole."""

    def stops(self) -> list[float]:
        """Return the mean scores of the bins."""
        return [item.stated for item in self._bins]

    def read_out(self, x: float) -> str:
        """Return what was stated and what was observed in a bin."""
        item = next(item for item in self._bins if item.stated == x)
        numbers = (decimal_text(v, 2) for v in (item.stated, item.observed))
        return self.tr("stated {0} · observed {1} · n = {2}").format(*numbers, item.n_images)

    def to_csv(self) -> str:
        """Return one line per bin."""
        rows = [f"{b.stated},{b.observed},{b.low},{b.high},{b.n_images}" for b in self._bins]
        return "\n".join(("stated,observed,low,high,n_images", *rows)) + "\n"
