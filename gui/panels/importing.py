"""Importing a source: look at it, say what is what, watch it being read, read what was found."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import (
    QFrame,
    QLabel,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from engine.contract.commands import Preview, Scan
from engine.contract.config_io import from_plain
from engine.contract.events import COMPLETED, Event, JobFinished, JobProgressed
from engine.contract.records import ScanResult, SourcePreview
from gui.dialogs.label_source import LabelSourceCard
from gui.dialogs.patient_source import FIRST_PATTERN, PatientSourceCard
from gui.dialogs.project_place import ProjectPlaceCard
from gui.import_flow import ImportFlow, ImportPlan
from gui.messages import job_text
from gui.panels.import_summary import ImportSummary
from gui.panels.panel import Panel
from gui.session import Session
from gui.stages import Stage
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.card import Card
from gui.widgets.counts import images_text
from gui.widgets.empty_state import EmptyState
from gui.widgets.painting import set_role
from gui.widgets.progress_row import ThinProgress
from gui.worker.engine_thread import EngineThread

__all__ = ["ImportPanel"]


class ImportPanel(Panel):
    """The way from a folder to images in a project.

    Signals:
        closed: The user turned back before anything was imported.
        source_wanted: The user wants to choose another folder.
    """

    closed = Signal()
    source_wanted = Signal()

    def __init__(
        self, session: Session, flow: ImportFlow, *, parent: QWidget | None = None
    ) -> None:
        super().__init__(session, self.tr("Import images"), parent=parent)
        self._flow = flow
        self._source = Path()
        self._project: Path | None = None
        self._sheet: str | None = None
        self._inspection: EngineThread | None = None
        self._labels = LabelSourceCard()
        self._patients = PatientSourceCard()
        self._place = ProjectPlaceCard()
        self._problem = QLabel()
        self._problem.setWordWrap(True)
        self._problem.setProperty("tone", "warning")
        self._trouble = EmptyState("warning", "", self.tr("Choose another folder…"))
        self._trouble.action_requested.connect(self.source_wanted)
        self._progress = _ProgressCard()
        self._summary: ImportSummary | None = None
        self._form = self._build_form()
        self._stack = QStackedWidget()
        for page in (self._progress, self._form, self._trouble):
            self._stack.addWidget(page)
        self.body.addWidget(self._stack, 1)
        self._back = self.header.add_button(self.tr("Cancel"))
        self._back.clicked.connect(self._on_back)
        self._go = self.header.add_button(self.tr("Import"), is_primary=True)
        self._go.clicked.connect(self._on_go)
        self._labels.changed.connect(self._check)
        self._labels.sheet_chosen.connect(self._inspect)
        self._patients.changed.connect(self._check)
        self._place.changed.connect(self._check)
        flow.started.connect(self._on_started)
        flow.progressed.connect(self._progress.show_progress)
        flow.finished.connect(self._on_finished)
        flow.failed.connect(self._on_failed)
        flow.canceled.connect(self._on_canceled)

    @property
    def project(self) -> Path | None:
        """The project that images are added to, or None for a new one."""
        return self._project

    def look_at(self, source: Path, project: Path | None) -> None:
        """Look at a source.

        Args:
            source: A folder, a label sheet, or one image.
            project: The project to add to, or None for a new one.
        """
        self._source, self._project = source, project
        self._place.setVisible(project is None)
        self._place.set_source(source)
        self.header.set_title(
            self.tr("Import images") if project is None else self.tr("Add images")
        )
        self._inspect(None)

    def _inspect(self, sheet: str | None) -> None:
        command = Preview(source=str(self._source), labels=sheet, patient_pattern=FIRST_PATTERN)
        self._sheet = sheet
        self.header.set_subtitle(self._source.name)
        self._progress.begin(self.tr("Looking at the folder"))
        self._show(self._progress, go=None)
        self._inspection = self.session.jobs.start(
            command, self._on_inspected, self._on_inspection_event, is_quiet=True
        )

    def _on_inspection_event(self, event: Event) -> None:
        if isinstance(event, JobProgressed):
            self._progress.show_progress(event)

    def _on_inspected(self, finished: JobFinished) -> None:
        self._inspection = None
        if finished.outcome != COMPLETED:
            if finished.error:
                self._show_trouble(finished.error, finished.remedy or "")
            return
        preview: SourcePreview = from_plain(SourcePreview, finished.result)
        if not preview.n_files:
            self._show_trouble(
                self.tr("There are no images in this folder."),
                self.tr("Choose a folder with DICOM, PNG, JPEG, TIFF or BMP files."),
            )
            return
        sheet = self._sheet
        if sheet is None and preview.table is not None:
            root = self._source if self._source.is_dir() else self._source.parent
            sheet = str(root / preview.table)
        self._labels.set_preview(preview, sheet)
        self._patients.set_file_names(tuple(name for name, _ in preview.patients))
        self._patients.set_has_column(has_column=sheet is not None)
        self.header.set_subtitle(f"{self._source.name} · {images_text(preview.n_files)}")
        self._show(self._form, go=self.tr("Import"))
        self._check()

    def _check(self) -> None:
        if self._stack.currentWidget() is not self._form:
            return
        problems = [self._labels.problem, self._patients.problem]
        if self._project is None:
            problems.append(self._place.problem)
        problem = next((text for text in problems if text), "")
        self._problem.setText(problem)
        self._problem.setVisible(bool(problem))
        self._go.setEnabled(not problem)

    def _on_go(self) -> None:
        if self._stack.currentWidget() is self._summary:
            self.go_to(Stage.DATA)
            return
        project = self._project or self._place.folder
        scan = Scan(
            source=str(self._source),
            project=str(project),
            labels=self._labels.sheet,
            columns=self._labels.mapping,
            patient_rule=self._patients.rule,
        )
        self._flow.start(ImportPlan(project=project, scan=scan))

    def _on_back(self) -> None:
        if self._flow.is_running:
            self._flow.cancel()
            self._back.setEnabled(False)
            self._progress.show_pending(self.tr("Canceling…"))
            return
        if self._inspection is not None:
            self._inspection.request("cancel")
        self.closed.emit()

    def _on_started(self) -> None:
        if self._flow.is_sample:
            self.header.set_title(self.tr("The sample study"))
            self.header.set_subtitle(self.tr("Simulated chest radiographs, no patient data"))
        self._progress.begin(self.tr("Starting…"))
        self._show(self._progress, go=None)

    def _on_finished(self, result: ScanResult) -> None:
        if self._summary is None:
            self._summary = ImportSummary()
            self._stack.addWidget(self._summary)
        self._summary.show_result(result)
        self.header.set_title(self.tr("Imported"))
        self._show(self._summary, go=self.tr("Look at the images"))

    def _on_failed(self, what: str, remedy: str) -> None:
        if not self._labels.has_preview:
            self._show_trouble(what, remedy)
            return
        # Back to the form, where it can be mended.
        self._show(self._form, go=self.tr("Import"))
        self._check()
        self._problem.setText(f"{what} {remedy}")
        self._problem.show()

    def _on_canceled(self) -> None:
        self.closed.emit()

    def _show_trouble(self, what: str, remedy: str) -> None:
        self._trouble.set_content("warning", what, self.tr("Choose another folder…"), remedy)
        self._show(self._trouble, go=None)

    def _show(self, page: QWidget, *, go: str | None) -> None:
        self._stack.setCurrentWidget(page)
        is_done = page is self._summary
        self._back.setVisible(not is_done)
        self._back.setEnabled(True)
        self._go.setVisible(go is not None)
        self._go.setEnabled(True)
        if go is not None:
            self._go.setText(go)
            self._go.setFocus()

    def _build_form(self) -> QWidget:
        others = QWidget()
        right = QVBoxLayout(others)
        right.setContentsMargins(0, 0, 0, 0)
        right.setSpacing(12)
        for widget in (self._patients, self._place, self._problem):
            right.addWidget(widget)
        right.addStretch(1)
        page = AdaptiveRow()
        page.setObjectName("page")
        page.add(self._labels, 3)
        page.add(others, 2)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(page)
        return scroll


class _ProgressCard(QWidget):
    """One job: what it does, how far it is, and since when."""

    def __init__(self) -> None:
        super().__init__()
        self._stage = QLabel()
        set_role(self._stage, "heading")
        self._bar = ThinProgress()
        self._numbers = QLabel()
        set_role(self._numbers, "secondary")
        card = Card()
        card.body.addWidget(self._stage)
        card.body.addWidget(self._bar)
        card.body.addWidget(self._numbers)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(card)
        column.addStretch(1)
        # A folder that is looked through in a moment needs no flash of a progress bar.
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.timeout.connect(card.show)
        self._card = card

    def begin(self, text: str) -> None:
        """Show that something begins, unless it ends at once."""
        self._card.hide()
        self._delay.start(200)
        self._stage.setText(text)
        self._numbers.setText("")
        self._bar.set_fraction(None)

    def show_progress(self, event: JobProgressed) -> None:
        """Show how far a job is."""
        self._stage.setText(event.stage)
        self._numbers.setText(job_text(event).removeprefix(event.stage).lstrip(": "))
        self._bar.set_fraction(event.done / event.total if event.total else None)
        self._bar.setAccessibleName(event.stage)

    def show_pending(self, text: str) -> None:
        """Say that a request is on its way."""
        self._stage.setText(text)
        self._numbers.setText("")
        self._bar.set_fraction(None)
