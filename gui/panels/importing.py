"""Importing a source: look at it, say what is what, watch it being read, read what was found."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from PySide6.QtCore import Qt, QTimer, Signal
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
from engine.contract.import_rules import ColumnMapping
from engine.contract.recommendation import recommend_setup
from engine.contract.records import ScanResult, SourcePreview
from gui.dialogs.frame_choice import FrameChoiceCard
from gui.dialogs.label_meaning import LabelMeaningCard
from gui.dialogs.label_source import LabelSourceCard
from gui.dialogs.patient_source import FIRST_PATTERN, PatientSourceCard
from gui.dialogs.project_place import ProjectPlaceCard
from gui.dialogs.size_choice import SizeChoiceCard
from gui.import_flow import ImportFlow, ImportPlan
from gui.panels.import_progress import ImportProgress
from gui.panels.import_summary import ImportSummary
from gui.panels.panel import Panel
from gui.session import Session
from gui.stages import Stage
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.counts import images_text
from gui.widgets.empty_state import EmptyState
from gui.worker.engine_thread import EngineThread

__all__ = ["ImportPanel"]

_LOOK_DELAY_MS: Final = 250
_MOST_CHECKED: Final = 1000
"""The preview looks at no more rows than these."""


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
        self._n_looks = 0
        self._preview: SourcePreview | None = None
        self._labels = LabelSourceCard()
        self._meaning = LabelMeaningCard()
        self._patients = PatientSourceCard()
        self._place = ProjectPlaceCard()
        self._size = SizeChoiceCard()
        self._frames = FrameChoiceCard()
        self._problem = QLabel()
        self._problem.setWordWrap(True)
        self._problem.setProperty("tone", "warning")
        self._problem.hide()
        self._trouble = EmptyState("warning", "", self.tr("Choose another folder…"))
        self._trouble.action_requested.connect(self.source_wanted)
        self._progress = ImportProgress()
        self._summary: ImportSummary | None = None
        self._form = self._build_form()
        self._stack = QStackedWidget()
        for page in (self._progress, self._form, self._trouble):
            self._stack.addWidget(page)
        self.body.addWidget(self._problem)
        self.body.addWidget(self._stack, 1)
        self._back = self.header.add_button(self.tr("Cancel"))
        self._back.clicked.connect(self._on_back)
        self._go = self.header.add_button(self.tr("Import"), is_primary=True)
        self._go.clicked.connect(self._on_go)
        # Several changes in a row ask once.
        self._look_soon = QTimer(self)
        self._look_soon.setSingleShot(True)
        self._look_soon.setInterval(_LOOK_DELAY_MS)
        self._look_soon.timeout.connect(self._look_again)
        self._connect(flow)

    def _connect(self, flow: ImportFlow) -> None:
        self._labels.changed.connect(self._on_labels_changed)
        self._labels.sheet_chosen.connect(self._inspect)
        self._labels.look_wanted.connect(self._want_look)
        self._meaning.changed.connect(self._on_meaning_changed)
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
        self._labels.start_over()
        self._size.withdraw()
        self._look_soon.stop()
        self._sheet = None
        self.header.set_subtitle(source.name)
        self._progress.begin(self.tr("Looking at the folder"))
        self._show(self._progress, go=None)
        self._look(None)

    def _inspect(self, sheet: str) -> None:
        """Look at another sheet."""
        self._labels.show_looking()
        self._look(sheet)

    def _want_look(self) -> None:
        self._stop_looking()
        self._labels.show_looking()
        self._look_soon.start()

    def _look_again(self) -> None:
        self._look(self._sheet)

    def _look(self, sheet: str | None) -> None:
        """Ask the engine; an older question that is still open doesn't count any more."""
        self._stop_looking()
        is_same = sheet is not None and sheet == self._labels.sheet
        command = Preview(source=str(self._source), labels=sheet, patient_pattern=FIRST_PATTERN)
        if is_same:
            command = replace(
                command,
                sheet=self._labels.sheet_format,
                columns=self._columns_to_ask(),
                label_rule=self._meaning.rule,
            )
        self._inspection = self.session.jobs.start(
            command,
            partial(self._on_inspected, self._n_looks, sheet),
            self._on_inspection_event,
            is_quiet=True,
        )

    def _columns_to_ask(self) -> ColumnMapping:
        mapping = self._labels.mapping
        # Read otherwise, the sheet may lack columns of these names.
        return ColumnMapping(join=mapping.join) if self._labels.is_format_new else mapping

    def _on_inspection_event(self, event: Event) -> None:
        if isinstance(event, JobProgressed):
            self._progress.show_progress(event)

    def _on_inspected(self, look: int, sheet: str | None, finished: JobFinished) -> None:
        if look != self._n_looks:
            return
        self._inspection = None
        if finished.outcome != COMPLETED:
            if finished.error:
                self._on_look_failed(finished.error, finished.remedy or "")
            return
        preview: SourcePreview = from_plain(SourcePreview, finished.result)
        if not preview.n_files:
            self._show_trouble(
                self.tr("There are no images in this folder."),
                self.tr("Choose a folder with DICOM, PNG, JPEG, TIFF, BMP or NIfTI files."),
            )
            return
        if sheet is None and preview.table is not None:
            root = self._source if self._source.is_dir() else self._source.parent
            sheet = str(root / preview.table)
        self._sheet = sheet
        self._show_preview(preview)

    def _show_preview(self, preview: SourcePreview) -> None:
        is_first = not self._labels.has_preview
        was_new_format = self._labels.is_format_new
        self._labels.set_preview(preview, self._sheet)
        self._show_meaning(preview)
        self._patients.set_file_names(tuple(name for name, _ in preview.patients))
        self._patients.set_has_column(has_column=self._labels.uses_sheet)
        self.header.set_subtitle(f"{self._source.name} · {images_text(preview.n_files)}")
        if self._project is None:
            facts = replace(self.session.advice.machine, image_px=preview.image_px)
            self._size.offer(recommend_setup(facts), facts.size_px)
        if is_first:
            self._form.verticalScrollBar().setValue(0)
            self._show(self._form, go=self.tr("Import"))
        self._preview = preview
        self._check()
        if was_new_format and not self._labels.is_answered:
            self._want_look()  # now with the columns that the user had chosen

    def _show_meaning(self, preview: SourcePreview) -> None:
        labels = self._labels
        mapping, name = labels.mapping, self._source.name
        if labels.labels_from == "folders":
            self._meaning.set_labels(
                str(self._source),
                name,
                "single",
                preview.class_folders,
                is_one_hot=False,
                is_complete=True,
                is_folders=True,
            )
        else:
            columns = "\n".join(mapping.labels) or mapping.label or ""
            self._meaning.set_labels(
                f"{labels.sheet}\n{columns}",
                columns,
                preview.task,
                preview.classes,
                is_one_hot=bool(mapping.labels),
                is_complete=preview.n_checked < _MOST_CHECKED,
            )
        self._meaning.setVisible(not labels.problem)

    def _on_look_failed(self, what: str, remedy: str) -> None:
        if self._labels.has_preview:
            self._labels.show_error(f"{what} {remedy}".strip())
        else:
            self._show_trouble(what, remedy)

    def _on_labels_changed(self) -> None:
        self._patients.set_has_column(has_column=self._labels.uses_sheet)
        if self._preview is not None and not self._labels.uses_sheet:
            self._show_meaning(self._preview)
        self._check()

    def _on_meaning_changed(self) -> None:
        self._check()
        if self._labels.uses_sheet:
            self._want_look()

    def _check(self) -> None:
        if self._stack.currentWidget() is not self._form:
            return
        problems = [self._labels.problem, self._meaning.problem, self._patients.problem]
        if self._patients.rule.source == "column" and not self._labels.mapping.patient:
            problems.append(self.tr("Say which column holds the patient."))
        if self._project is None:
            problems.append(self._place.problem)
        problem = next((text for text in problems if text), "")
        self._say(problem)
        if problem and self._go.hasFocus():
            self._labels.focus_missing()  # else Qt passes it on to whatever comes next
        self._go.setEnabled(not problem)

    def _say(self, problem: str) -> None:
        self._problem.setText(problem)
        self._problem.setVisible(bool(problem))
        self._go.setToolTip(problem)

    def _on_go(self) -> None:
        if self._stack.currentWidget() is self._summary:
            self.go_to(Stage.DATA)
            return
        self._stop_looking()
        project = self._project or self._place.folder
        scan = Scan(
            source=str(self._source),
            project=str(project),
            labels=self._labels.sheet,
            labels_from=self._labels.labels_from,
            sheet=self._labels.sheet_format,
            columns=self._labels.mapping,
            label_rule=self._meaning.rule,
            frames=self._frames.policy,
            patient_rule=self._patients.rule,
            size_px=self._size.size_px,
        )
        self._flow.start(ImportPlan(project=project, scan=scan))

    def _stop_looking(self) -> None:
        self._look_soon.stop()
        self._n_looks += 1  # what is still on its way doesn't count
        if self._inspection is not None:
            self._inspection.request("cancel")
            self._inspection = None

    def _on_back(self) -> None:
        if self._flow.is_running:
            self._flow.cancel()
            self._back.setEnabled(False)
            self._progress.show_pending(self.tr("Canceling…"))
            return
        self._stop_looking()
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
        self._say(f"{what} {remedy}")
        self._go.setToolTip("")

    def _on_canceled(self) -> None:
        self.closed.emit()

    def _show_trouble(self, what: str, remedy: str) -> None:
        self._trouble.set_content("warning", what, self.tr("Choose another folder…"), remedy)
        self._show(self._trouble, go=None)

    def _show(self, page: QWidget, *, go: str | None) -> None:
        self._stack.setCurrentWidget(page)
        is_done = page is self._summary
        self._say("")
        self._back.setVisible(not is_done)
        self._back.setEnabled(True)
        self._go.setVisible(go is not None)
        self._go.setEnabled(True)
        if go is not None:
            self._go.setText(go)
            self._go.setFocus()

    def _build_form(self) -> QScrollArea:
        others = QWidget()
        right = QVBoxLayout(others)
        right.setContentsMargins(0, 0, 0, 0)
        right.setSpacing(12)
        for widget in (self._meaning, self._patients, self._place, self._size, self._frames):
            right.addWidget(widget)
        right.addStretch(1)
        page = AdaptiveRow()
        page.setObjectName("page")
        page.add(self._labels, 3)
        page.add(others, 2)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # it would be a stop that nobody sees
        scroll.setWidget(page)
        return scroll
