"""How the shown run bears changed images, measured on validation unless test is asked for."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from PySide6.QtCore import QLocale, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from engine.contract.commands import Robustness
from engine.contract.config import preset_config
from engine.contract.config_io import from_plain
from engine.contract.errors import EngineError
from engine.contract.events import COMPLETED, Event, JobFinished, JobProgressed, Warned
from engine.contract.records import RunSummary
from engine.contract.results import RobustnessResult
from gui.messages import left_text, time_text
from gui.panels.evaluate_robust_findings import RobustFindings
from gui.panels.evaluate_robust_table import DegradationTable
from gui.plots.attack_plot import AttackPlot
from gui.plots.plot_card import PlotCard
from gui.session import Session
from gui.tokens import ColorToken
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.buttons import make_button, make_link
from gui.widgets.card import Card
from gui.widgets.counts import images_text, patients_text
from gui.widgets.painting import set_role
from gui.widgets.progress_row import ProgressRow
from gui.worker.engine_thread import EngineThread

__all__ = ["EvaluateRobust", "expected_seconds"]

_N_IMAGES: Final = 200
_STEPS_AN_IMAGE: Final = 45  # training steps that take as long as one image's measurement
_STEPS_IF_ROBUST: Final = 90  # most images are attacked again; training took longer, too


class EvaluateRobust(QWidget):
    """What robustness is, a button to measure it, and what was found.

    Signals:
        job_failed: The :class:`JobFinished` of a measurement that didn't complete.
        read_failed: An :class:`EngineError`: a kept result can't be read.
        figure_failed: Sentence and remedy, where a figure could not be saved.
    """

    job_failed = Signal(object)
    read_failed = Signal(object)
    figure_failed = Signal(str, str)

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._run: RunSummary | None = None
        self._result: RobustnessResult | None = None
        self._job: EngineThread | None = None
        self._is_canceling = False
        self._figures: _Figures | None = None
        self._card = Card(self.tr("Robustness"))
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._time = QLabel()
        self._time.setWordWrap(True)
        set_role(self._time, "secondary")
        self._warning = QLabel()
        self._warning.setWordWrap(True)
        self._warning.hide()
        self._progress = ProgressRow()
        self._measure = make_button("")
        self._measure.clicked.connect(lambda: self.measure("val"))
        self._test = make_link(self.tr("Measure on test images"))
        self._test.clicked.connect(lambda: self.measure("test"))
        self._cancel = make_button(self.tr("Cancel"))
        self._cancel.clicked.connect(self._on_cancel)
        buttons = QHBoxLayout()
        buttons.setSpacing(12)
        for button in (self._measure, self._test, self._cancel):
            buttons.addWidget(button)
        buttons.addStretch(1)
        for part in (self._text, self._time, self._warning, self._progress):
            self._card.body.addWidget(part)
        self._card.body.addSpacing(4)
        self._card.body.addLayout(buttons)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(12)
        self._column.addWidget(self._card)
        self._show()

    @property
    def text(self) -> str:
        """The sentences that are shown."""
        return self._text.text()

    @property
    def warning(self) -> str:
        """What there is to be told of a measurement under way, or the last one."""
        return self._warning.text() if not self._warning.isHidden() else ""

    @property
    def findings(self) -> RobustFindings | None:
        """The findings, once there is a result."""
        return self._figures.findings if self._figures is not None else None

    @property
    def table(self) -> DegradationTable | None:
        """The degradations, once there is a result."""
        return self._figures.table if self._figures is not None else None

    def set_run(self, run: RunSummary | None) -> None:
        """Show what is known of a run."""
        is_other = (run.id if run else "") != (self._run.id if self._run else "")
        self._run = run
        if is_other:
            self._warning.hide()
            self._result = self._read()
        self._show()

    def measure(self, split: str) -> None:
        """Measure the shown run on images of validation (``val``) or ``test``."""
        if self._session.folder is None or self._run is None or self._job is not None:
            return
        command = Robustness(
            project=str(self._session.folder), run=self._run.id, split=split, n_images=_N_IMAGES
        )
        self._is_canceling = False
        self._warning.hide()
        self._progress.set_label(self.tr("Measuring…"))
        self._progress.set_progress(None)
        finish = partial(self._on_finished, self._run.id)
        self._job = self._session.jobs.start(command, finish, self._on_event)
        self._show()

    def _read(self) -> RobustnessResult | None:
        from engine.project.robustness import read_robustness

        if self._session.folder is None or self._run is None:
            return None
        try:
            return read_robustness(Path(self._session.folder), self._run.id)
        except EngineError as error:
            self.read_failed.emit(error)
            return None

    def _show(self) -> None:
        result, run = self._result, self._run
        is_busy, is_stale = self._job is not None, run is not None and run.is_stale
        self._text.setText("\n\n".join(result.sentences) if result else self._what_it_is())
        self._time.setText("" if result else self._time_text())
        self._time.setVisible(not result and not is_busy and not is_stale)
        self._progress.setVisible(is_busy)
        self._measure.setText(
            self.tr("Measure again") if result else self.tr("Measure on validation images")
        )
        for button in (self._measure, self._test):
            button.setVisible(not is_busy and not is_stale)
        self._test.setToolTip(self._test_text())
        self._cancel.setVisible(is_busy)
        self._cancel.setEnabled(not self._is_canceling)
        self._cancel.setText(self.tr("Canceling…") if self._is_canceling else self.tr("Cancel"))
        self._card.set_secondary(self._measured_text() if result else "")
        if result is not None and self._figures is None:
            self._figures = _Figures()
            self._figures.figure_failed.connect(self.figure_failed)
            self._column.addWidget(self._figures)
        if self._figures is not None:
            self._figures.setVisible(result is not None)
            if result is not None:
                self._figures.set_result(result)

    def _what_it_is(self) -> str:
        return self.tr(
            "How well does this classifier bear images that are a little different? It is tested "
            "with everyday degradations, such as noise, blur and JPEG compression, and with the "
            "worst change that someone could make without being noticed."
        )

    def _time_text(self) -> str:
        seconds = self._seconds()
        if seconds is None:
            return self.tr("This takes several minutes and doesn't look at the test set.")
        text = self.tr("This takes about {0} and doesn't look at the test set.")
        return text.format(time_text(max(10.0, round(seconds, -1))))

    def _seconds(self) -> float | None:
        split = self._session.snapshot.split
        if split is None or self._run is None:
            return None
        counts = {name: sum(classes.values()) for name, classes in split.counts.items()}
        return expected_seconds(
            self._run,
            n_train=counts.get("train", 0),
            n_images=min(_N_IMAGES, counts.get("val", 0)),
        )

    def _test_text(self) -> str:
        text = self.tr(
            "This counts as a look at the test set; with this run there were {0} so far."
        )
        return text.format(QLocale().toString(self._run.looks if self._run is not None else 0))

    def _measured_text(self) -> str:
        result = self._result
        if result is None:
            return ""
        part = self.tr("Test") if result.split == "test" else self.tr("Validation")
        return self.tr("{0}: {1} of {2}").format(
            part, images_text(result.n_images), patients_text(result.n_patients)
        )

    def _on_cancel(self) -> None:
        if self._job is not None:
            self._is_canceling = True
            self._job.request("cancel")
            self._show()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Warned):  # it computes elsewhere than it should
            self._warning.setText(f"{event.message} {event.remedy}".rstrip())
            self._warning.show()
        if isinstance(event, JobProgressed):
            fraction = event.done / event.total if event.total else None
            self._progress.set_label(event.stage)
            self._progress.set_progress(fraction, left_text(event.seconds_left))

    def _on_finished(self, run: str, finished: JobFinished) -> None:
        self._job = None
        if finished.outcome == COMPLETED:
            result: RobustnessResult = from_plain(RobustnessResult, finished.result)
            if self._run is not None and run == self._run.id:
                self._result = result
            if result.looks:
                self._session.reload()  # the count of looks
        else:
            self.job_failed.emit(finished)
        self._show()


class _Figures(QWidget):
    """The worst cases as a plot, the degradations as a table; of one of several findings."""

    figure_failed = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self._result: RobustnessResult | None = None
        self.findings = RobustFindings()
        self.findings.chosen.connect(self._show_finding)
        self._plot = AttackPlot()
        self._legend: tuple[tuple[str, ColorToken], ...] = (
            (self.tr("worst case"), "accent"),
            (self.tr("random noise"), "second"),
        )
        self._plot_card = PlotCard(
            self.tr("Worst case by strength"),
            self._plot,
            explanation=self.tr(
                "Every grey value may change by so many of 255 steps. The line is the share of "
                "images that is still called right when the change is chosen as badly as "
                "possible, with its 95 % interval; the dashed line is for random changes."
            ),
            file_name="robustness",
            legend=self._legend,
        )
        self._plot_card.failed.connect(self.figure_failed)
        self.table = DegradationTable()
        self._titles = self._plot_card.title, self.table.title
        row = AdaptiveRow()
        row.add(self._plot_card)
        row.add(self.table)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(self.findings)
        column.addWidget(row)

    def set_result(self, result: RobustnessResult) -> None:
        """Show a result."""
        is_other, self._result = result is not self._result, result
        self.findings.setVisible(bool(result.findings))
        self.table.setVisible(bool(result.corruptions))
        if is_other:
            self.findings.set_result(result)
            self._show_finding(-1)

    def _show_finding(self, place: int) -> None:
        """Show one of several findings, or what is over all with -1."""
        result = self._result
        if result is None:
            return
        found = result.findings[place] if place >= 0 else result
        worst, degraded = self._titles
        if result.findings:
            name = result.findings[place].name if place >= 0 else self.tr("mean")
            worst = self.tr("Worst case: {0}").format(name)
            degraded = self.tr("Degraded: {0}").format(name)
        self._plot.set_points(found.attacks)
        self._plot.set_print_header(worst, self._legend)
        self._plot_card.set_title(worst)
        self.table.set_title(degraded)
        self.table.set_points(found.attacks[0], found.corruptions)


def expected_seconds(run: RunSummary, *, n_train: int, n_images: int) -> float | None:
    """Return about how long a measurement takes, judged by how fast the run was trained.

    Args:
        run: The run.
        n_train: Images that it was trained on.
        n_images: Images to be measured.

    Returns:
        Seconds, or None for a run without epochs to judge by.
    """
    if not run.epochs or not n_train or not run.seconds:
        return None
    n_views = preset_config(run.preset).evaluation.test_time_views
    an_image = run.seconds / (run.epochs * n_train)
    n_steps = _STEPS_IF_ROBUST if run.method == "adversarial" else _STEPS_AN_IMAGE
    return n_images * n_steps * an_image * n_views
