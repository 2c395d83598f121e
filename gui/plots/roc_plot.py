"""ROC: how many of the sick are found at the price of how many false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QWidget

from gui.plots.themed_plot import ThemedPlot
from gui.theme import theme
from gui.widgets.counts import decimal_text

__all__ = ["OperatingPoint", "RocCurve", "RocPlot"]


@dataclass(frozen=True, slots=True)
class RocCurve:
    """One curve: rates in [0, 1] of equal length, ascending in ``fpr``.

    Attributes:
        thresholds: Score at or above which an image counts as positive, one per point; or empty.
        class_index: Which class colour the curve has.
    """

    name: str
    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    thresholds: tuple[float, ...] = ()
    class_index: int = 0


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Where a threshold puts the classifier on its curve."""

    fpr: float
    tpr: float
    threshold: float


class RocPlot(ThemedPlot):
    """Curves, the diagonal of guessing, and the point of the threshold in use."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__("", parent=parent)
        self.setAccessibleName(self.tr("ROC curve"))
        self._curves: tuple[RocCurve, ...] = ()
        self._lines: list[Any] = []
        self._point: OperatingPoint | None = None
        self._diagonal: Any = self.add_curve([0, 1], [0, 1])
        self._mark: Any = self.add_curve(symbol="o", symbolSize=11)
        self._item.setXRange(0, 1, padding=0.02)
        self.set_axis_labels(bottom=self.tr("1 − specificity"), left=self.tr("sensitivity"))
        ticks = [[(value / 4, decimal_text(value / 4, 2)) for value in range(5)]]
        for axis in self._axes.values():
            axis.setTicks(ticks)
        self.restyle()

    def sizeHint(self) -> QSize:
        """Return a square, as both axes mean the same."""
        return QSize(theme().px(300), theme().px(300))

    def set_curves(self, curves: Sequence[RocCurve]) -> None:
        """Show these curves; the first is the one that is read off and saved first.

        Raises:
            ValueError: If the lists of a curve have different lengths.
        """
        for curve in curves:
            n = len(curve.fpr)
            if len(curve.tpr) != n or (curve.thresholds and len(curve.thresholds) != n):
                raise ValueError(f"The lists of the curve '{curve.name}' differ in length.")
        self._curves = tuple(curves)
        for line in self._lines:
            self._item.removeItem(line)
        self._lines = [self.add_curve(c.fpr, c.tpr) for c in curves]
        self.restyle()

    def set_operating_point(self, point: OperatingPoint | None) -> None:
        """Mark the threshold in use, or none."""
        self._point = point
        if point is None:
            self._mark.setData([], [])
        else:
            self._mark.setData([point.fpr], [point.tpr])
            self.setAccessibleDescription(_describe(point))

    def restyle(self) -> None:
        """Colour the curves, the diagonal and the mark."""
        super().restyle()
        self._diagonal.setPen(self.pen("control", width=1, is_dashed=True))
        for curve, line in zip(self._curves, self._lines, strict=True):
            line.setPen(self.pen(self.tokens.class_color(curve.class_index), width=2))
        self._mark.setZValue(10)
        self._mark.setSymbolBrush(self.shade("second"))
        self._mark.setSymbolPen(self.pen("panel", width=1.5))

    def redraw(self) -> None:
        """Do nothing: curves are set as a whole."""

    def stops(self) -> list[float]:
        """Return the false-positive rates of the first curve."""
        return sorted(set(self._curves[0].fpr)) if self._curves else []

    def read_out(self, x: float) -> str:
        """Return both rates of the first curve, and the threshold where it is known."""
        curve = self._curves[0]
        place = max(index for index, fpr in enumerate(curve.fpr) if fpr == x)
        threshold = curve.thresholds[place] if curve.thresholds else float("nan")
        return _describe(OperatingPoint(x, curve.tpr[place], threshold))

    def fit_ends(self) -> None:
        """Show all of [0, 1] and the numbers at its ends."""
        self._item.setYRange(0, 1, padding=self.end_padding())

    def to_csv(self) -> str:
        """Return one line per point of every curve."""
        lines = ["curve,fpr,tpr,threshold"]
        for curve in self._curves:
            name = '"' + curve.name.replace('"', '""') + '"'
            for place, (fpr, tpr) in enumerate(zip(curve.fpr, curve.tpr, strict=True)):
                threshold = curve.thresholds[place] if curve.thresholds else ""
                lines.append(f"{name},{fpr},{tpr},{threshold}")
        return "\n".join(lines) + "\n"


def _describe(point: OperatingPoint) -> str:
    from PySide6.QtCore import QCoreApplication

    def tr(text: str) -> str:
        return QCoreApplication.translate("RocPlot", text)

    text = tr("sensitivity {0} · specificity {1}").format(
        decimal_text(point.tpr, 3), decimal_text(1.0 - point.fpr, 3)
    )
    if point.threshold == point.threshold and abs(point.threshold) != float("inf"):
        text += " · " + tr("threshold {0}").format(decimal_text(point.threshold, 3))
    return text
