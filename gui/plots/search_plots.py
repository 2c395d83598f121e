"""Plots of the search page: the loss by learning rate, and AUROCs one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from PySide6.QtWidgets import QWidget

from engine.contract.searching import CrossvalResult, LrRangeResult, TriedSettings
from gui.plots.themed_plot import ThemedPlot
from gui.tokens import ColorToken
from gui.widgets.counts import decimal_text

__all__ = ["ROUND_LOOKS", "FoldsPlot", "RatePlot", "TrialsPlot"]

ROUND_LOOKS: Final[tuple[tuple[ColorToken, str], ...]] = (
    ("secondary", "o"),
    ("accent", "s"),
    ("second", "t1"),
)
"""Colour and mark of each round of a search: round, square, and a triangle for the last."""
_DECADES: Final = range(-5, 1)
_SHOWN_LOSS: Final = 2.5  # times the lowest: above that a loss has exploded and hides the rest


class RatePlot(ThemedPlot):
    """The loss of the same images while the learning rate rises."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__("", parent=parent)
        self.setAccessibleName(self.tr("Loss by learning rate"))
        self._result: LrRangeResult | None = None
        self._raw: Any = self.add_curve()
        self._smooth: Any = self.add_curve()
        self._marks: Any = self.add_curve()
        self.set_axis_labels(bottom=self.tr("learning rate"), left=self.tr("loss"))
        self._axes["bottom"].setTicks([[(float(d), f"{10.0**d:g}") for d in _DECADES]])
        self.restyle()

    def set_result(self, result: LrRangeResult) -> None:
        """Show a curve."""
        self._result = result
        self.schedule_redraw()

    def restyle(self) -> None:
        """Colour the curves."""
        super().restyle()
        self._raw.setPen(self.pen("accent", width=1, alpha=70))
        self._smooth.setPen(self.pen("accent", width=2))
        self._marks.setPen(None)
        self._marks.setSymbol("s")
        self._marks.setSymbolSize(10)
        self._marks.setSymbolBrush(self.shade("second"))
        self._marks.setSymbolPen(None)

    def redraw(self) -> None:
        """Put the numbers into the curves."""
        result = self._result
        if result is None:
            return
        places = self.stops()
        self._raw.setData(places, list(result.losses))
        self._smooth.setData(places, list(result.smoothed))
        mark = math.log10(result.suggested)
        self._marks.setData([mark], [result.smoothed[self._nearest(mark)]])
        lowest, first = min(result.smoothed), result.smoothed[0]
        low = min(lowest, *result.losses)
        self._item.setYRange(low, max(_SHOWN_LOSS * lowest, 1.2 * first), padding=0.03)
        self._item.setXRange(places[0], places[-1], padding=0.03)

    def stops(self) -> list[float]:
        """Return the logarithms of the rates."""
        return [] if self._result is None else [math.log10(rate) for rate in self._result.rates]

    def read_out(self, x: float) -> str:
        """Return rate and loss."""
        assert self._result is not None
        loss = decimal_text(self._result.smoothed[self._nearest(x)], 3)
        return self.tr("rate {0}: loss {1}").format(f"{10**x:.2g}", loss)

    def to_csv(self) -> str:
        """Return one line per update."""
        result = self._result
        rows = [] if result is None else zip(result.rates, result.losses, result.smoothed)  # noqa: B905
        return "learning_rate,loss,smoothed\n" + "".join(f"{r},{a},{b}\n" for r, a, b in rows)

    def _nearest(self, x: float) -> int:
        places = self.stops()
        return min(range(len(places)), key=lambda i: abs(places[i] - x))


class _Marks(ThemedPlot):
    """AUROCs as marks, one at each whole number from 1."""

    def __init__(self, name: str, bottom: str, *, parent: QWidget | None = None) -> None:
        super().__init__("", parent=parent)
        self.setAccessibleName(name)
        self.set_axis_labels(bottom=bottom, left=self.tr("AUROC"))

    def mark(self, curve: Any, token: ColorToken, symbol: str, size: int = 8) -> None:
        """Make a curve marks of one kind."""
        curve.setPen(None)
        curve.setSymbol(symbol)
        curve.setSymbolSize(size)
        curve.setSymbolBrush(self.shade(token))
        curve.setSymbolPen(None)

    def fit(self, values: Sequence[float]) -> None:
        """Show these AUROCs and a little beside them."""
        shown = [value for value in values if math.isfinite(value)]
        if not shown:
            return
        room = max(0.01, 0.15 * (max(shown) - min(shown)))
        self._item.setYRange(max(0.0, min(shown) - room), min(1.0, max(shown) + room))
        self._item.setXRange(0.5, max(2, len(values)) + 0.5, padding=0)
        step = max(1, math.ceil(len(values) / 8))
        ticks = [(float(n), f"{n}") for n in range(1, len(values) + 1) if n == 1 or n % step == 0]
        self._axes["bottom"].setTicks([ticks])


class TrialsPlot(_Marks):
    """The AUROC of each trial in the order in which they were made.

    Rounds have marks of their own, see :data:`ROUND_LOOKS`.
    """

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__("", "", parent=parent)
        self.setAccessibleName(self.tr("Validation AUROC of each training"))
        self.set_axis_labels(bottom=self.tr("training"), left=self.tr("AUROC (validation)"))
        self._rows: tuple[TriedSettings, ...] = ()
        self._rounds: list[Any] = [self.add_curve() for _ in ROUND_LOOKS]
        self._best: Any = self.add_curve()
        self.restyle()

    def set_rows(self, rows: Sequence[TriedSettings]) -> None:
        """Show these trials, in the order in which they were made."""
        self._rows = tuple(rows)
        self.schedule_redraw()

    def restyle(self) -> None:
        """Colour the marks and the line of the best so far."""
        super().restyle()
        for curve, (token, symbol) in zip(self._rounds, ROUND_LOOKS, strict=True):
            self.mark(curve, token, symbol)
        self._best.setPen(self.pen("accent", width=1, is_dashed=True))

    def redraw(self) -> None:
        """Put the trials into the marks."""
        for number, curve in enumerate(self._rounds, start=1):
            mine = [(i + 1, row.auroc) for i, row in enumerate(self._rows) if row.round == number]
            curve.setData([x for x, _ in mine], [y for _, y in mine])
        best, line = -math.inf, []
        for row in self._rows:
            best = max(best, row.auroc)
            line.append(best)
        self._best.setData([float(n) for n in range(1, len(line) + 1)], line)
        self.fit([row.auroc for row in self._rows])

    def stops(self) -> list[float]:
        """Return the numbers of the trials."""
        return [float(n) for n in range(1, len(self._rows) + 1)]

    def read_out(self, x: float) -> str:
        """Return what was tried and its AUROC."""
        row = self._rows[int(x) - 1]
        return self.tr("round {0}: {1}").format(row.round, decimal_text(row.auroc, 3))

    def to_csv(self) -> str:
        """Return one line per trial."""
        lines = ["trial,round,backbone,method,changes,epochs,images,auroc,loss,seconds"]
        for number, row in enumerate(self._rows, start=1):
            changes = '"' + "; ".join(row.changes) + '"'
            parts = (number, row.round, row.backbone, row.method, changes, row.epochs)
            rest = (row.n_train, row.auroc, row.loss, row.seconds)
            lines.append(",".join(str(part) for part in (*parts, *rest)))
        return "\n".join(lines) + "\n"


class FoldsPlot(_Marks):
    """The AUROC of each part of a cross-validation, and the mean of them."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__("", "", parent=parent)
        self.setAccessibleName(self.tr("AUROC of each part"))
        self.set_axis_labels(bottom=self.tr("part"), left=self.tr("AUROC"))
        self._result: CrossvalResult | None = None
        self._mean: Any = self.add_curve()
        self._folds: Any = self.add_curve()
        self.restyle()

    def set_result(self, result: CrossvalResult) -> None:
        """Show a cross-validation."""
        self._result = result
        self.schedule_redraw()

    def restyle(self) -> None:
        """Colour the marks and the line."""
        super().restyle()
        self.mark(self._folds, "accent", "o", 9)
        self._mean.setPen(self.pen("second", width=2, is_dashed=True))

    def redraw(self) -> None:
        """Put the folds into the marks."""
        if self._result is None:
            return
        aurocs = [fold.auroc for fold in self._result.folds]
        self._folds.setData(self.stops(), aurocs)
        self._mean.setData([0.5, len(aurocs) + 0.5], [self._result.mean] * 2)
        self.fit(aurocs)

    def stops(self) -> list[float]:
        """Return the numbers of the parts."""
        n_folds = 0 if self._result is None else len(self._result.folds)
        return [float(n) for n in range(1, n_folds + 1)]

    def read_out(self, x: float) -> str:
        """Return a part's AUROC."""
        assert self._result is not None
        fold = self._result.folds[int(x) - 1]
        return self.tr("part {0}: {1}").format(fold.fold, decimal_text(fold.auroc, 3))

    def to_csv(self) -> str:
        """Return one line per part."""
        folds = () if self._result is None else self._result.folds
        return "part,n_train,n_held_out,auroc,epochs,seconds\n" + "".join(
            f"{f.fold},{f.n_train},{f.n_held_out},{f.auroc},{f.epochs},{f.seconds}\n" for f in folds
        )
