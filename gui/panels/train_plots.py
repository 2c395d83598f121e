"""The curves of a run, built when the window has time for them: each costs a blink to make."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from engine.contract.events import BatchFinished, EpochFinished
from gui.plots.learning_curves import LearningCurves
from gui.plots.metric_curve import MetricCurve
from gui.plots.plot_card import PlotCard
from gui.widgets.adaptive_row import AdaptiveRow

__all__ = ["TrainPlots"]

_PLOT_PX: Final = 176
_BUILD_AFTER_MS: Final = 120


class TrainPlots(QWidget):
    """Loss of training and validation, and AUROC on validation, by epoch.

    Signals:
        figure_failed: Sentence and remedy, where a figure could not be saved.
    """

    figure_failed = Signal(str, str)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._n_epochs: int | None = None
        self._loss: LearningCurves | None = None
        self._metric: MetricCurve | None = None
        self._row = AdaptiveRow()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._row)
        # One at a time, so that the page opens at once and nothing stands still for long.
        for delay, build in ((1, self._curves), (2, self._measure)):
            QTimer.singleShot(delay * _BUILD_AFTER_MS, self, build)

    def start(self, n_epochs: int | None, steps_per_epoch: int | None = None) -> None:
        """Forget the former run."""
        self._n_epochs = n_epochs
        if self._loss is not None:
            self._loss.start(steps_per_epoch=steps_per_epoch, n_epochs=n_epochs)
        if self._metric is not None:
            self._metric.start(n_epochs=n_epochs)

    def begin_batches(self, n_batches: int) -> None:
        """Say how many batches an epoch has, before the first one is added."""
        self._curves().start(steps_per_epoch=n_batches, n_epochs=self._n_epochs)

    def append_batch(self, event: BatchFinished) -> None:
        """Add the loss of a batch."""
        self._curves().append_batch(event.step, event.loss)

    def append_epoch(self, event: EpochFinished) -> None:
        """Add an epoch."""
        curves = self._curves()
        curves.append_epoch(event.epoch, event.train_loss, event.val_loss, event.val_auroc)
        self._measure().append(event.epoch, event.val_auroc)

    def _curves(self) -> LearningCurves:
        if self._loss is None:
            self._loss = LearningCurves()
            self._loss.start(n_epochs=self._n_epochs)
            card = PlotCard(
                self.tr("Loss"),
                self._loss,
                explanation=self.tr(
                    "The loss says how far the answers are from the labels; lower is better. If "
                    "the validation loss rises while the training loss falls, the network learns "
                    "the training images by heart."
                ),
                file_name="loss",
                legend=((self.tr("training"), "accent"), (self.tr("validation"), "second")),
            )
            self._add(card)
        return self._loss

    def _measure(self) -> MetricCurve:
        self._curves()  # stands to the left
        if self._metric is None:
            name = self.tr("AUROC on validation")
            self._metric = MetricCurve(name)
            self._metric.start(n_epochs=self._n_epochs)
            card = PlotCard(
                name,
                self._metric,
                explanation=self.tr(
                    "How often, of two validation images of different classes, the right one gets "
                    "the higher score: 0.5 is guessing, 1 is perfect. The ring marks the best "
                    "pass, which is the one that is kept."
                ),
                file_name="validation-auroc",
            )
            self._add(card)
        return self._metric

    def _add(self, card: PlotCard) -> None:
        card.figure.setMinimumHeight(_PLOT_PX)
        card.failed.connect(self.figure_failed)
        self._row.add(card)
