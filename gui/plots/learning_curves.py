"""Loss while the network learns: every batch, and training against validation by epoch."""

from __future__ import annotations

import bisect
import csv
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtWidgets import QWidget

from gui.plots.series import GrowingSeries, peak_decimate
from gui.plots.themed_plot import ThemedPlot
from gui.widgets.counts import decimal_text

__all__ = ["LearningCurves"]

_N_SHOWN = 2000


class LearningCurves(ThemedPlot):
    """Training and validation loss per epoch, above the loss of every batch.

    Points are only ever appended; 20 a second for hours cost the same as at the start. Validation
    has square marks, training round ones, so that they differ without colour.
    """

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__("", parent=parent)
        self.setAccessibleName(self.tr("Loss by epoch, training and validation"))
        self._steps_per_epoch: int | None = None
        self._n_epochs: int | None = None
        self._is_smooth = True
        self._is_log = False
        self._batches = GrowingSeries()
        self._epochs: list[tuple[int, float, float, float]] = []
        self._batch_curve: Any = self._item.plot([], [], connect="finite")
        self._train_curve: Any = self.add_curve(connect="finite")
        self._val_curve: Any = self.add_curve(connect="finite")
        self.restyle()

    @property
    def is_log(self) -> bool:
        """Whether the loss axis is logarithmic."""
        return self._is_log

    @property
    def is_smooth(self) -> bool:
        """Whether the batches are shown as their running mean."""
        return self._is_smooth

    def start(self, *, steps_per_epoch: int | None = None, n_epochs: int | None = None) -> None:
        """Forget the former run and say how long the next one can be, where that is known.

        Without ``steps_per_epoch`` the axis counts batches until the first epoch has ended.
        """
        self._steps_per_epoch = steps_per_epoch
        self._n_epochs = n_epochs
        self._batches.clear()
        self._epochs.clear()
        self.schedule_redraw()

    def append_batch(self, step: int, loss: float) -> None:
        """Add the loss of one batch; ``step`` counts batches from the start of the run."""
        self._batches.append(step, loss)
        self.schedule_redraw()

    def append_epoch(
        self, epoch: int, train_loss: float, val_loss: float, val_auroc: float = math.nan
    ) -> None:
        """Add an epoch, counted from 1; the AUROC only goes into the table that is saved."""
        self._epochs.append((epoch, train_loss, val_loss, val_auroc))
        if self._steps_per_epoch is None and len(self._batches) and epoch > 0:
            self._steps_per_epoch = max(1, round(float(self._batches.x[-1]) / epoch))
        self.schedule_redraw()

    def set_log(self, is_log: bool) -> None:
        """Make the loss axis logarithmic, or linear again."""
        self._is_log = is_log
        self._item.setLogMode(x=False, y=is_log)
        self.schedule_redraw()

    def set_smooth(self, is_smooth: bool) -> None:
        """Show the running mean of the batches, or each of them."""
        self._is_smooth = is_smooth
        self.restyle()
        self.schedule_redraw()

    def restyle(self) -> None:
        """Colour the curves."""
        super().restyle()
        alpha = 150 if self._is_smooth else 80
        self._batch_curve.setPen(self.pen("accent", width=1, alpha=alpha))
        for curve, token, symbol in (
            (self._train_curve, "accent", "o"),
            (self._val_curve, "second", "s"),
        ):
            curve.setPen(self.pen(token, width=2))
            curve.setSymbol(symbol)
            curve.setSymbolSize(6)
            curve.setSymbolBrush(self.shade(token))
            curve.setSymbolPen(None)

    def redraw(self) -> None:
        """Put at most 2,000 points of the batches, and all epochs, into the curves."""
        values = self._batches.smooth if self._is_smooth else self._batches.y
        x, y = peak_decimate(self._batches.x * self._x_scale, values, _N_SHOWN)
        self._batch_curve.setData(x, self._plottable(y))
        epochs = np.array([row[0] for row in self._epochs], dtype=np.float64)
        for curve, column in ((self._train_curve, 1), (self._val_curve, 2)):
            losses = np.array([row[column] for row in self._epochs], dtype=np.float64)
            curve.setData(epochs, self._plottable(losses))
        unit = self.tr("epoch") if self._counts_epochs else self.tr("batch")
        self.set_axis_labels(bottom=unit)
        last = max(float(x[-1]) if x.size else 0.0, float(epochs[-1]) if epochs.size else 0.0)
        planned = float(self._n_epochs or 0) if self._counts_epochs else 0.0
        self._item.setXRange(0.0, max(last, planned, 1.0), padding=0.01)

    def stops(self) -> list[float]:
        """Return the epochs, or while there are none the shown batches."""
        if self._epochs:
            return [float(row[0]) for row in self._epochs]
        x, _ = peak_decimate(self._batches.x, self._batches.y, 200)
        return [float(step) * self._x_scale for step in x]

    def read_out(self, x: float) -> str:
        """Return the losses of an epoch or of a batch."""
        for epoch, train, val, _ in self._epochs:
            if epoch == x:
                return self.tr("epoch {0} · training {1} · validation {2}").format(
                    epoch, decimal_text(train, 4), decimal_text(val, 4)
                )
        steps = self._batches.x * self._x_scale
        place = min(bisect.bisect_left(steps, x), steps.size - 1)
        loss = decimal_text(float(self._batches.y[place]), 4)
        return self.tr("batch {0} · training {1}").format(int(self._batches.x[place]), loss)

    def to_csv(self) -> str:
        """Return epochs and batches as one table; empty cells where a column doesn't apply."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("kind", "number", "train_loss", "val_loss", "val_auroc"))
        for epoch, train, val, auroc in self._epochs:
            writer.writerow(("epoch", epoch, train, val, "" if math.isnan(auroc) else auroc))
        for step, loss in zip(self._batches.x, self._batches.y, strict=True):
            writer.writerow(("batch", int(step), float(loss), "", ""))
        return out.getvalue()

    @property
    def _counts_epochs(self) -> bool:
        return self._steps_per_epoch is not None or bool(self._epochs)

    @property
    def _x_scale(self) -> float:
        return 1.0 / self._steps_per_epoch if self._steps_per_epoch else 1.0

    def _plottable(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        # A logarithm of zero or less would spoil the range of the whole axis.
        return np.where(values > 0, values, np.nan) if self._is_log else values
