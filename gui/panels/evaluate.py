"""The results page; only its button looks at the test set, and each look is counted."""

from __future__ import annotations

from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Final

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from engine.contract.commands import Evaluate, Export
from engine.contract.config_io import from_plain
from engine.contract.errors import EngineError
from engine.contract.events import (
    COMPLETED,
    STOPPED,
    Event,
    JobFinished,
    JobProgressed,
    RunFinished,
)
from engine.contract.records import RunSummary
from engine.contract.results import EvaluationResult
from gui.dialogs.label_fields import Choice
from gui.itemmodels.run_words import run_title
from gui.itemmodels.seen_words import test_text
from gui.messages import left_text
from gui.panels.evaluate_export import ask_for_place, verified_text
from gui.panels.evaluate_result import EvaluateResult
from gui.panels.evaluate_robust import EvaluateRobust
from gui.panels.evaluate_words import known_text, ready_text, tested_text
from gui.panels.panel import Panel
from gui.panels.scroll_body import scroll_body
from gui.panels.seen_note import SeenNote
from gui.panels.warning_note import WarningNote
from gui.seen_before import told_runs
from gui.session import Session
from gui.stages import Stage
from gui.theme import theme
from gui.widgets.card import Card
from gui.widgets.chip import Chip
from gui.widgets.empty_state import EmptyState
from gui.widgets.message_bar import MessageAction, MessageKind
from gui.widgets.painting import set_role
from gui.widgets.progress_row import ProgressRow
from gui.worker.engine_thread import EngineThread

__all__ = ["EvaluatePanel"]

_RUNS_PX: Final = 720


class _View(Enum):
    """What the page is about now."""

    NO_RUN = auto()
    STALE = auto()
    READY = auto()
    BUSY = auto()
    RESULT = auto()


class EvaluatePanel(Panel):
    """Measure a finished run on the test set, see where it is wrong, and export it."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent=parent)
        self.header.set_title(self.tr("Evaluate"))
        self._run: str = ""
        self._result: EvaluationResult | None = None
        self._loaded = ("", 0)
        self._is_outdated = True
        self._was_seen = False
        self._view: EvaluateResult | None = None
        self._job: EngineThread | None = None
        self._job_kind = ""
        self._is_canceling = False
        self._search = self.header.add_button(self.tr("Find better settings"), icon="search")
        self._search.clicked.connect(lambda: self.go_to(Stage.SEARCH))
        self._again = self.header.add_button(self.tr("Measure again"), icon="refresh")
        self._cancel = self.header.add_button(self.tr("Cancel"))
        self._primary = self.header.add_button("", is_primary=True)
        self._again.clicked.connect(self.measure)
        self._cancel.clicked.connect(self._on_cancel)
        self._primary.clicked.connect(self._on_primary)
        self._build()
        session.snapshot_changed.connect(self._on_snapshot)
        session.project_changed.connect(self._on_project)
        session.device_changed.connect(self._refresh)
        session.runs.finished.connect(self._on_run_finished)
        self._on_snapshot()

    def on_shown(self) -> None:
        """Show the run that another page asked for; never look at the test set by itself."""
        if (run := self.session.shown_run) and run != self._run:
            self.show_run(run)

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what happened while another page was shown."""
        super().showEvent(event)
        self._was_seen = True
        if self._is_outdated:
            self._load()

    @property
    def result(self) -> EvaluateResult:
        """The view of the results, built when there is the first one to show."""
        if self._view is None:
            self._view = EvaluateResult(self.session)
            self._view.figure_failed.connect(partial(self.show_message, MessageKind.ERROR))
            self._column.insertWidget(self._column.indexOf(self._robust), self._view, 1000)
        return self._view

    def show_run(self, run: str) -> None:
        """Show a finished run."""
        if any(r.id == run for r in self.session.snapshot.finished_runs):
            self.session.shown_run = run
            self._run = run
            self._load()

    def measure(self) -> None:
        """Look at the test set with the shown run."""
        if self.session.folder is None or not self._run or self._job is not None:
            return
        command = Evaluate(project=str(self.session.folder), run=self._run)
        self._begin("evaluate")
        finish = partial(self._on_measured, self._run)
        self._job = self.session.jobs.start(command, finish, self._on_event)
        self._refresh()

    def ask_export(self) -> None:
        """Ask where the bundle shall go."""
        ask_for_place(self, self.session, self._summary(), self.export_to)

    def export_to(self, out: Path, *, difference_only: bool = False) -> None:
        """Write the shown run as a bundle into a folder, and have it verified.

        Args:
            out: The folder.
            difference_only: Whether to leave out what is as it was pre-trained.
        """
        if self.session.folder is None or not self._run or self._job is not None:
            return
        command = Export(
            project=str(self.session.folder),
            run=self._run,
            out=str(out),
            difference_only=difference_only,
        )
        self._begin("export")
        self._job = self.session.jobs.start(command, self._on_exported, self._on_event)
        self._refresh()

    def _begin(self, kind: str) -> None:
        self._job_kind = kind
        self._is_canceling = False
        self._progress.set_label(
            self.tr("Measuring…") if kind == "evaluate" else self.tr("Exporting…")
        )
        self._progress.set_progress(None)

    def _build(self) -> None:
        body = scroll_body(self)
        self._runs = Choice(self.tr("Run"), n_letters=24)
        self._runs.setMaximumWidth(theme().px(_RUNS_PX))
        self._runs.activated.connect(lambda place: self.show_run(self._runs.itemData(place)))
        self._stale = Chip(self.tr("stale: the data have changed since"))
        self._bar = QWidget()
        row = QHBoxLayout(self._bar)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(12)
        label = QLabel(self.tr("Run"))
        set_role(label, "secondary")
        label.setBuddy(self._runs)
        row.addWidget(label)
        row.addWidget(self._runs, 1000)
        row.addWidget(self._stale)
        row.addStretch(1)
        self._progress = ProgressRow()
        self._progress_card = Card()
        self._progress_card.body.addWidget(self._progress)
        self._seen = SeenNote(has_button=True)
        self._seen.pressed.connect(partial(self.go_to, Stage.MODEL))
        self._scarcity = WarningNote(
            self.tr("Divide the images anew with a larger share for the test, or add some.")
        )
        self._empty = EmptyState("evaluate", "", is_primary=False)
        column = body.column
        column.addWidget(self._bar)
        column.addWidget(self._seen)
        column.addWidget(self._scarcity)
        column.addWidget(self._progress_card)
        self._middle = QWidget()
        middle = QHBoxLayout(self._middle)  # long lines are hard to read
        middle.addStretch(1)
        middle.addWidget(self._empty, 1000)
        middle.addStretch(1)
        self._empty.setMaximumWidth(theme().px(680))
        column.addWidget(self._middle)
        column.setStretchFactor(self._middle, 1000)
        self._robust = EvaluateRobust(self.session)
        self._robust.job_failed.connect(self.show_failure)
        self._robust.read_failed.connect(self.show_error)
        self._robust.figure_failed.connect(partial(self.show_message, MessageKind.ERROR))
        column.addWidget(self._robust)
        column.addStretch(1)
        self._column = column

    def _on_project(self) -> None:
        self._run, self._result, self._loaded = "", None, ("", 0)
        self._was_seen = self.isVisible()
        self.session.shown_run = ""
        self._on_snapshot()

    def _on_run_finished(self, finished: RunFinished) -> None:
        """Open with the new run the next time, unless another is being looked at now."""
        if finished.outcome in (COMPLETED, STOPPED) and not self.isVisible():
            self._was_seen = False
            self.session.shown_run = ""

    def _on_snapshot(self) -> None:
        """Keep the shown run if it is still there, else take the newest finished one."""
        runs = self.session.snapshot.finished_runs
        ids = [run.id for run in runs]
        wanted = self.session.shown_run
        if self._run not in ids or not self._was_seen:
            self._run = wanted if wanted in ids else (ids[0] if ids else "")
        self._runs.clear()
        for run in runs:
            self._runs.addItem(run_title(run), run.id)
        self._is_outdated = not self.isVisible()
        if not self._is_outdated:
            self._load()

    def _load(self) -> None:
        """Show the newest result of the run; read it only if there was another look since."""
        self._is_outdated = False
        summary = self._summary()
        wanted = (self._run, summary.looks if summary is not None else 0)
        if wanted != self._loaded:
            self._loaded = wanted
            found = self._read()
            is_of_run = self._result is not None and self._result.run == self._run
            if found is not None or not is_of_run:
                self._set_result(found)
        self._runs.setCurrentIndex(self._runs.findData(self._run))
        self._robust.set_run(summary)
        self._refresh()

    def _read(self) -> EvaluationResult | None:
        try:
            return self.session.evaluation(self._run) if self._run else None
        except EngineError as error:
            self.show_error(error)
            return None

    def _set_result(self, result: EvaluationResult | None) -> None:
        if result is not None and result != self._result:
            self.result.set_result(result)
        self._result = result

    def _summary(self) -> RunSummary | None:
        runs = told_runs(self.session, self.session.snapshot.finished_runs)
        return next((run for run in runs if run.id == self._run), None)

    def _what(self) -> _View:
        summary = self._summary()
        if summary is None:
            return _View.NO_RUN
        if self._job is not None and self._job_kind == "evaluate":
            return _View.BUSY
        if self._result is not None:
            return _View.RESULT
        return _View.STALE if summary.is_stale else _View.READY

    def _refresh(self) -> None:
        what, summary = self._what(), self._summary()
        is_stale = summary is not None and summary.is_stale
        self._bar.setVisible(self._runs.count() > 1 or is_stale)
        self._stale.setVisible(is_stale)
        self._progress_card.setVisible(self._job is not None)
        if self._view is not None:
            self._view.setVisible(what is _View.RESULT)
        self._middle.setVisible(what in (_View.NO_RUN, _View.STALE, _View.READY))
        self._robust.setVisible(what in (_View.READY, _View.RESULT))
        self._show_buttons(what, is_stale=is_stale)
        self._explain(what)
        self._warn(what, summary)
        self._describe()

    def _show_buttons(self, what: _View, *, is_stale: bool) -> None:
        texts = {
            _View.NO_RUN: self.tr("Go to training"),
            _View.STALE: self.tr("Go to training"),
            _View.READY: self.tr("Measure on the test set"),
            _View.BUSY: self.tr("Measuring…"),
            _View.RESULT: self.tr("Export…"),
        }
        is_busy = self._job is not None
        exporting = is_busy and self._job_kind == "export"
        self._primary.setText(self.tr("Exporting…") if exporting else texts[what])
        self._primary.setEnabled(not is_busy)
        self._cancel.setVisible(is_busy)
        self._cancel.setEnabled(not self._is_canceling)
        self._cancel.setText(self.tr("Canceling…") if self._is_canceling else self.tr("Cancel"))
        self._again.setVisible(what is _View.RESULT and not is_busy and not is_stale)
        self._search.setVisible(what in (_View.READY, _View.RESULT) and not is_busy)

    def _explain(self, what: _View) -> None:
        if what is _View.NO_RUN:
            self._empty.set_content(
                "evaluate",
                self.tr("There is nothing to measure yet."),
                "",
                self.tr("Train a classifier first; its results on the test set appear here."),
            )
        elif what is _View.STALE:
            self._empty.set_content(
                "evaluate",
                self.tr("Images, labels or split have changed since this run was trained."),
                "",
                self.tr("Its test set is no longer the one it was kept from: train a new run."),
            )
        elif what is _View.READY:
            self._empty.set_content(
                "evaluate",
                self.tr("This looks at the test set; each look is counted."),
                "",
                ready_text(self.session, self._summary()),
            )

    def _warn(self, what: _View, summary: RunSummary | None) -> None:
        """Say where the network knows patients that it is measured on, or they are too few."""
        before = test_text(summary.seen) if summary is not None else ""
        texts = {_View.READY: before, _View.BUSY: before}
        result = self._result if what is _View.RESULT else None
        if result is not None:
            texts[what] = known_text(result, summary)
        self._seen.show_text(texts.get(what, ""))
        self._scarcity.show_text(result.caution if result is not None else "")

    def _describe(self) -> None:
        result = self._result
        if result is None or self._what() is not _View.RESULT:
            summary = self._summary()
            self.header.set_subtitle(run_title(summary) if summary is not None else "")
            return
        self.header.set_subtitle(tested_text(result))

    def _on_primary(self) -> None:
        match self._what():
            case _View.NO_RUN | _View.STALE:
                self.go_to(Stage.TRAIN)
            case _View.READY:
                self.measure()
            case _View.RESULT:
                self.ask_export()

    def _on_cancel(self) -> None:
        if self._job is not None:
            self._is_canceling = True
            self._job.request("cancel")
            self._refresh()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, JobProgressed):
            fraction = event.done / event.total if event.total else None
            self._progress.set_label(event.stage)
            self._progress.set_progress(fraction, left_text(event.seconds_left))

    def _on_measured(self, run: str, finished: JobFinished) -> None:
        self._job = None
        if finished.outcome == COMPLETED and run == self._run:
            result: EvaluationResult = from_plain(EvaluationResult, finished.result)
            self._set_result(result)
            self._loaded = (run, result.looks)
        else:
            self.show_failure(finished)
        self._refresh()

    def _on_exported(self, finished: JobFinished) -> None:
        self._job = None
        if finished.outcome == COMPLETED:
            self._tell_export(finished)
        else:
            self.show_failure(finished)
        self._refresh()

    def _tell_export(self, finished: JobFinished) -> None:
        folder = Path(str(finished.result.get("bundle", "")))
        self.session.exported_bundle = str(folder)
        show = QUrl.fromLocalFile(str(folder))
        self.show_message(
            MessageKind.SUCCESS,
            verified_text(finished),
            str(folder),
            (
                MessageAction(self.tr("Show in folder"), partial(QDesktopServices.openUrl, show)),
                MessageAction(self.tr("Apply it"), partial(self.go_to, Stage.APPLY)),
            ),
        )
