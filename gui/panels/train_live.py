"""What a run shows while it goes on, and what stays of it when it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QLocale, QTimer, Signal
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from engine.contract.events import (
    COMPLETED,
    FAILED,
    STOPPED,
    BatchFinished,
    EpochFinished,
    Event,
    Recovered,
    RunFinished,
    RunPaused,
    RunProgressed,
    RunResumed,
    RunStarted,
    SamplePrediction,
    Warned,
)
from gui.itemmodels.run_words import number_text
from gui.messages import most_left_text, time_text
from gui.panels.method_facts import MethodFactsCard
from gui.panels.sample_findings import findings_cell
from gui.panels.sample_strip import SampleCell, SampleStrip
from gui.panels.train_notes import TrainNotes
from gui.panels.train_plots import TrainPlots
from gui.run_state import RunState
from gui.session import Session
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.card import Card
from gui.widgets.painting import set_role
from gui.widgets.progress_row import ProgressRow
from gui.widgets.stat_tile import StatTile

__all__ = ["TrainLive"]

_REFRESH_MS: Final = 200
_MIB_PER_GB: Final = 1024.0


class TrainLive(QWidget):
    """Progress, curves, figures and validation images of the present or the last run.

    Events are taken in constant time; what they change is drawn a few times a second.

    Signals:
        figure_failed: Sentence and remedy, where a figure could not be saved.
    """

    figure_failed = Signal(str, str)

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._started: RunStarted | None = None
        self._max_epochs = 0
        self._n_batches = 0
        self._batch: BatchFinished | None = None
        self._stage: RunProgressed | None = None
        self._epoch: EpochFinished | None = None
        self._best = float("nan")
        self._finished: RunFinished | None = None
        self._was_cut_off = False
        self._clock = QTimer(self)
        self._clock.setSingleShot(True)
        self._clock.setInterval(_REFRESH_MS)
        self._clock.timeout.connect(self.refresh)
        self._build()

    @property
    def started(self) -> RunStarted | None:
        """How the shown run began; None until the engine has said so."""
        return self._started

    @property
    def best_auroc(self) -> float:
        """Best AUROC on validation so far; NaN while there is none."""
        return self._best

    def take(self, event: Event) -> None:
        """Note what an event says; shows within a fifth of a second."""
        match event:
            case RunStarted():
                self._begin(event)
            case BatchFinished():
                self._take_batch(event)
            case EpochFinished():
                self._take_epoch(event)
            case RunProgressed():
                self._stage = event
            case RunPaused():
                self._notes.set_pause(event.reason)
            case RunResumed():
                self._notes.set_pause("")
            case Warned():
                self._notes.add(f"{event.message} {event.remedy}".strip(), is_warning=True)
            case Recovered():
                self._notes.add(event.message, is_warning=False)
            case RunFinished():
                self._finished = event
                self._was_cut_off = self._session.runs.was_cut_off(event)
                self.refresh()
                return
            case _:
                return
        if not self._clock.isActive():
            self._clock.start()

    def prepare(self) -> None:
        """Forget the former run: another one was asked for."""
        self._started = self._batch = self._stage = self._epoch = self._finished = None
        config = self._session.config
        self._max_epochs = 0 if config.method.key == "linear_probe" else config.method.max_epochs
        self._n_batches = 0
        self._best = float("nan")
        self._notes.clear()
        self._strip.set_cells(())
        self._plots.start(self._max_epochs or None)
        self.refresh()

    def refresh(self) -> None:
        """Draw what is known now."""
        has_epochs = self._max_epochs > 0 and (self._batch is not None or self._epoch is not None)
        self._plots.setVisible(has_epochs)
        self._tiles.setVisible(has_epochs)
        self._strip_card.setVisible(bool(self._strip.cells))
        result = {} if self._finished is None else self._finished.result
        self._facts.setVisible(self._facts.set_facts(result.get("method_facts") or {}))
        now, end = self.tr("Validation images, now"), self.tr("Validation images, at the end")
        self._strip_card.set_title(now if self._finished is None else end)
        self._show_progress()
        self._show_tiles()

    def _build(self) -> None:
        self._progress = ProgressRow()
        self._comment = QLabel()
        self._comment.setWordWrap(True)
        set_role(self._comment, "secondary")
        self._notes = TrainNotes()
        card = Card()
        for part in (self._progress, self._comment, self._notes):
            card.body.addWidget(part)
        self._strip = SampleStrip()
        self._strip_card = Card()
        self._strip_card.body.addWidget(self._strip)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(card)
        self._plots = TrainPlots()
        self._plots.figure_failed.connect(self.figure_failed)
        column.addWidget(self._plots)
        self._tiles = self._build_tiles()
        column.addWidget(self._tiles)
        self._facts = MethodFactsCard()
        column.addWidget(self._facts)
        column.addWidget(self._strip_card)

    def _build_tiles(self) -> AdaptiveRow:
        self._auroc_tile = StatTile(self.tr("AUROC (validation)"))
        self._speed_tile = StatTile(self.tr("Speed"))
        self._memory_tile = StatTile(self.tr("Memory"))
        self._rate_tile = StatTile(self.tr("Learning rate"))
        row = AdaptiveRow()
        for tile in (self._auroc_tile, self._speed_tile, self._memory_tile, self._rate_tile):
            row.add(tile)
        return row

    def _begin(self, event: RunStarted) -> None:
        self.prepare()
        self._started = event
        self._max_epochs = event.max_epochs
        self._plots.start(event.max_epochs or None)

    def _take_batch(self, event: BatchFinished) -> None:
        if event.n_batches != self._n_batches:
            self._n_batches = event.n_batches
            if self._batch is None:
                self._plots.begin_batches(event.n_batches)
        self._batch, self._stage = event, None
        self._plots.append_batch(event)

    def _take_epoch(self, event: EpochFinished) -> None:
        self._epoch, self._stage = event, None
        self._plots.append_epoch(event)
        if event.is_best:
            self._best = event.val_auroc
        if event.samples:
            self._strip.set_thumbnails(self._session.thumbnails)
            self._strip.set_cells(self._cells(event.samples))

    def _cells(self, samples: Sequence[SamplePrediction]) -> list[SampleCell]:
        names = self._session.snapshot.trained_names
        records = self._session.snapshot.by_id
        return [
            _cell(sample, names, records[sample.record].row, records[sample.record].patient)
            for sample in samples
            if sample.record in records
        ]

    def _show_progress(self) -> None:
        if self._finished is not None:
            self._show_end(self._finished)
            return
        state = self._session.runs.state
        fraction, label, left = self._where()
        words = {
            RunState.PAUSING: self.tr("Pausing…"),
            RunState.PAUSED: self.tr("Paused"),
            RunState.PROCEEDING: self.tr("Going on…"),
            RunState.STOPPING: self.tr("Stopping; the best epoch is kept…"),
            RunState.CANCELING: self.tr("Canceling…"),
            RunState.HUNG: self.tr("No progress"),
            RunState.RESTARTING: self.tr("Going on from the last saved state…"),
        }
        if state in words:
            label, left = f"{words[state]} · {label}", ""
        self._progress.set_label(label)
        self._progress.set_progress(fraction, left)
        self._progress.bar.show()
        if state in (RunState.HUNG, RunState.RESTARTING):
            self._set_comment("")  # "still improving" it isn't
            return
        self._set_comment(self._epoch.comment if self._epoch is not None else self._first_words())

    def _where(self) -> tuple[float | None, str, str]:
        """Return how far the run is, in one phrase, and the time left."""
        stage, batch, epoch = self._stage, self._batch, self._epoch
        if stage is not None and batch is None:
            locale = QLocale()
            label = stage.stage
            if stage.total:
                counts = locale.toString(stage.done), locale.toString(stage.total)
                label = self.tr("{0}: {1} of {2}").format(stage.stage, *counts)
            left = most_left_text(stage.seconds_left)
            return (stage.done / stage.total if stage.total else None), label, left
        if batch is None and epoch is None:
            return None, self.tr("Starting…"), ""
        number = max(batch.epoch if batch else 0, epoch.epoch if epoch else 0)
        of = self._max_epochs or number
        label = self.tr("Epoch {0} of {1}").format(number, of)
        if stage is not None:
            label = f"{label} · {stage.stage}"
        done = epoch.epoch if epoch is not None else 0
        if batch is not None and batch.epoch > done:
            done_exactly = batch.epoch - 1 + batch.batch / max(1, batch.n_batches)
        else:
            done_exactly = float(done)
        return done_exactly / of, label, most_left_text(batch.seconds_left if batch else None)

    def _first_words(self) -> str:
        started = self._started
        if started is None:
            return self.tr("Starting the engine; the first time takes a few seconds.")
        locale = QLocale()
        text = self.tr(
            "Learning from {0} training images; measured on {1} validation images. The test set "
            "isn't touched."
        )
        return text.format(locale.toString(started.n_train), locale.toString(started.n_val))

    def _show_end(self, finished: RunFinished) -> None:
        result = finished.result
        seconds = time_text(float(result["seconds"])) if result.get("seconds") else ""
        names = {
            COMPLETED: self.tr("Finished"),
            STOPPED: self.tr("Stopped; the best epoch is kept"),
        }
        other = self.tr("Canceled; nothing was kept")
        if finished.outcome == FAILED:
            other = self.tr("Failed")
        elif self._was_cut_off:
            other = self.tr("Interrupted; it can be continued")
        is_kept = finished.outcome in names
        self._progress.set_label(names.get(finished.outcome, other))
        self._progress.set_progress(1.0, seconds)
        self._progress.bar.setVisible(is_kept)
        self._notes.set_pause("")
        if not is_kept:
            self._set_comment(f"{finished.error or ''} {finished.remedy or ''}".strip())
            return
        auroc = result.get("val_auroc")
        value = number_text(float(auroc) if auroc is not None else self._best)
        text = self.tr("AUROC on validation {0}. The test set hasn't been looked at with this run.")
        told = (result.get("repeat") or {}).get("sentence", "")
        self._set_comment(f"{text.format(value)} {self.tr(told) if told else ''}".strip())

    def _set_comment(self, text: str) -> None:
        self._comment.setText(text)
        self._comment.setVisible(bool(text))

    def _show_tiles(self) -> None:
        epoch, batch = self._epoch, self._batch
        if epoch is not None:
            best = self.tr("best, epoch %d") % epoch.best_epoch
            self._auroc_tile.set_value(number_text(self._best), "", best)
        else:
            self._auroc_tile.set_value("–", "", self.tr("after the first epoch"))
        if batch is None:
            return
        locale = QLocale()
        self._speed_tile.set_value(
            locale.toString(batch.images_per_s, "f", 0 if batch.images_per_s >= 10 else 1),
            self.tr("images/s"),
            self.tr("{0} updates").format(locale.toString(batch.step)),
        )
        gigabytes = locale.toString(batch.memory_mb / _MIB_PER_GB, "f", 1)
        is_card = self._session.device.get("device", "cpu") != "cpu"
        where = self.tr("on the graphics card") if is_card else self.tr("of the training process")
        self._memory_tile.set_value(gigabytes, self.tr("GB"), where)
        self._rate_tile.set_value(_rate_text(batch.learning_rate), "", self.tr("of the new head"))


def _rate_text(rate: float) -> str:
    mantissa, _, exponent = f"{rate:.1e}".partition("e")
    return f"{QLocale().toString(float(mantissa), 'f', 1)}e{int(exponent)}"


def _cell(sample: SamplePrediction, names: Sequence[str], row: int, patient: str) -> SampleCell:
    if sample.findings:
        return findings_cell(sample, names, row, patient)
    probabilities = sample.probabilities
    predicted = max(range(len(probabilities)), key=probabilities.__getitem__)
    known = dict(enumerate(names))
    return SampleCell(
        row=row,
        patient=patient,
        label=known.get(sample.label, ""),
        predicted=known.get(predicted, ""),
        class_index=predicted,
        probability=probabilities[predicted],
        is_right=predicted == sample.label,
    )
