"""The audit page: what would ruin a classifier, before one is trained."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QLabel, QLayout, QWidget

from engine.contract.commands import Audit
from engine.contract.events import COMPLETED, Event, JobFinished, JobProgressed
from engine.contract.records import Finding
from engine.project import labels
from gui.dialogs.skipped_files import SkippedFilesDialog
from gui.icons import pixmap
from gui.itemmodels.finding_list import FindingLine, FindingList
from gui.itemmodels.finding_words import concerned, kind_title, summary_text
from gui.messages import left_text
from gui.panels.audit_detail import FindingDetail
from gui.panels.panel import Panel
from gui.session import Session
from gui.shown_images import ShownImages
from gui.stages import Stage
from gui.theme import theme
from gui.widgets.card import Card
from gui.widgets.counts import images_text
from gui.widgets.empty_state import EmptyState
from gui.widgets.message_bar import MessageKind
from gui.widgets.progress_row import ProgressRow
from gui.worker.engine_thread import EngineThread

if TYPE_CHECKING:
    from engine.project.store import Project

__all__ = ["AuditPanel"]


class _View(Enum):
    """What the page is about now."""

    NO_DATA = auto()
    READY = auto()
    FIRST_LOOK = auto()
    REPORT = auto()


class AuditPanel(Panel):
    """Looks for what ruins classifiers, shows what was found, and mends it or takes a note.

    Signals:
        mended: What was done about a finding that is no longer in the list.
    """

    mended = Signal(str)

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(session, self.tr("Audit"), parent=parent)
        self._job: EngineThread | None = None
        self._is_canceling = False
        self._is_reading = False
        self._is_outdated = True
        self._again = self.header.add_button(self.tr("Look again"), icon="refresh")
        self._again.clicked.connect(self.look)
        self._cancel = self.header.add_button(self.tr("Cancel"))
        self._cancel.clicked.connect(self._on_cancel)
        self._go = self.header.add_button("", is_primary=True)
        self._go.clicked.connect(self._on_go)
        self.list = FindingList()
        self.list.line_chosen.connect(self._on_line_chosen)
        self.detail = FindingDetail(session)
        self._connect_detail()
        self.mended.connect(self._on_mended)
        self._build()
        session.snapshot_changed.connect(self._on_snapshot)
        session.project_changed.connect(self._on_project)
        session.jobs.started.connect(self._on_job)
        session.jobs.ended.connect(self._on_job)
        self._on_project()

    def on_shown(self) -> None:
        """Put the keyboard into the list."""
        if self._columns.isVisible():
            self.list.setFocus()

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what happened while another page was shown."""
        super().showEvent(event)
        if self._is_outdated:
            self._refresh()

    def look(self) -> None:
        """Start an audit."""
        session = self.session
        if session.folder is None or self._job is not None or session.jobs.is_busy_with("scan"):
            return
        self._is_canceling = False
        waiting = self.tr("Waiting for the training run to end…")
        looking = self.tr("Looking for problems…")
        self._progress.set_label(waiting if session.runs.state.is_busy else looking)
        self._progress.set_progress(None)
        command = Audit(project=str(session.folder))
        self._job = session.jobs.start(command, self._on_finished, self._on_event)
        self._refresh()

    def _on_project(self) -> None:
        if self._job is not None:
            self._job.request("cancel")  # it is about the project that was closed
            self._job = None
        self._is_reading = False
        self.detail.forget()
        self._on_snapshot()

    def _on_snapshot(self) -> None:
        self._is_reading = False
        self._is_outdated = not self.isVisible()
        if not self._is_outdated:
            self._refresh()

    def _on_job(self) -> None:
        if self.isVisible():
            self._refresh()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, JobProgressed) and self._job is not None:
            locale, parts = self.locale(), []
            if event.total:
                counts = (locale.toString(event.done), locale.toString(event.total))
                parts.append(self.tr("%s of %s") % counts)
            if left := left_text(event.seconds_left):
                parts.append(left)
            self._progress.set_label(event.stage)
            fraction = event.done / event.total if event.total else None
            self._progress.set_progress(fraction, " · ".join(parts))

    def _on_finished(self, finished: JobFinished) -> None:
        if self._job is None:
            return  # of a project that was closed meanwhile
        self._job = None
        # The window reads the project anew now; until it has, there is nothing new to show.
        self._is_reading = finished.outcome == COMPLETED
        self.show_failure(finished)
        self._refresh()

    def _on_cancel(self) -> None:
        if self._job is not None:
            self._is_canceling = True
            self._job.request("cancel")
            self._refresh()

    def _on_go(self) -> None:
        if self._what() is not _View.REPORT or self.session.snapshot.is_audit_stale:
            self.look()
            return
        self.go_to(Stage.MODEL if self._is_split_ready() else Stage.SPLIT)

    def _on_data(self) -> None:
        self.go_to(Stage.DATA)

    def _on_line_chosen(self, line: FindingLine) -> None:
        if (report := self.session.snapshot.audit) is not None:
            self.detail.show_line(line, report)

    def _on_remedy(self, finding: Finding) -> None:
        self.session.change(self._mend, finding)

    def _mend(self, project: Project, finding: Finding) -> None:
        """Make a finding's change, in the thread of the changes."""
        done = project.apply_remedy(finding)
        if finding.remedy != "exclude":  # those images stay to be seen; others leave the list
            self.mended.emit(done)

    def _on_mended(self, done: str) -> None:
        self.show_message(MessageKind.SUCCESS, done)

    def _on_include(self, finding: Finding) -> None:
        records = self.session.records(concerned(finding))
        ids = [record.id for record in records if record.excluded is not None]
        if ids:
            self.session.change(labels.include, ids)

    def _on_accept(self, finding: Finding, note: str) -> None:
        from engine.project.store import Project

        self.session.change(Project.accept_finding, finding.kind, finding.key, note)
        self.list.setFocus()

    def _on_reopen(self, finding: Finding) -> None:
        from engine.project.store import Project

        self.session.change(Project.reopen_finding, finding.kind, finding.key)
        self.list.setFocus()

    def _on_images(self, ids: tuple[int, ...], current: int | None) -> None:
        finding = self.detail.finding
        title = kind_title(finding.kind) if finding is not None else ""
        self.session.shown_images = ShownImages(
            title=self.tr("Audit: %s") % title, ids=ids, current=current
        )
        self.go_to(Stage.DATA)

    def _on_files(self, finding: Finding) -> None:
        skipped = self.session.snapshot.skipped
        files = [file for file in skipped if file.kind == finding.key]
        SkippedFilesDialog(files or skipped, parent=self).show()

    def _what(self) -> _View:
        snapshot = self.session.snapshot
        if not snapshot.records:
            return _View.NO_DATA
        if snapshot.audit is not None:
            return _View.REPORT
        return _View.FIRST_LOOK if self._job is not None or self._is_reading else _View.READY

    def _is_split_ready(self) -> bool:
        snapshot = self.session.snapshot
        return snapshot.split is not None and not snapshot.is_split_stale

    def _refresh(self) -> None:
        self._is_outdated = False
        what, snapshot = self._what(), self.session.snapshot
        report = snapshot.audit
        self._show_buttons(what)
        self._progress_card.setVisible(self._job is not None)
        self._stale.setVisible(what is _View.REPORT and snapshot.is_audit_stale)
        self._columns.setVisible(what is _View.REPORT)
        self._empty.setVisible(what is not _View.REPORT)
        self._explain(what)
        if report is None or what is not _View.REPORT:
            self.header.set_subtitle("")
            return
        self.header.set_subtitle(summary_text(report, snapshot.by_id))
        self.list.set_report(report, snapshot.by_id)
        if (line := self.list.current_line()) is not None:
            self.detail.show_line(line, report)

    def _show_buttons(self, what: _View) -> None:
        snapshot = self.session.snapshot
        is_busy = self._job is not None or self._is_reading
        is_done = what is _View.REPORT and not snapshot.is_audit_stale
        if is_busy:
            text = self.tr("Looking…")
        elif not is_done:
            text = self.tr("Look again") if what is _View.REPORT else self.tr("Look for problems")
        elif self._is_split_ready():
            text = self.tr("Choose a model")
        elif snapshot.split is not None:
            text = self.tr("Make a new split…")
        else:
            text = self.tr("Make the split…")
        is_importing = self.session.jobs.is_busy_with("scan")
        self._go.setText(text)
        self._go.setVisible(what is not _View.NO_DATA)
        self._go.setEnabled(not is_busy and (is_done or not is_importing))
        self._go.setToolTip(self.tr("Images are being imported") if is_importing else "")
        self._again.setVisible(is_done and not is_busy)
        self._again.setEnabled(not is_importing)
        self._cancel.setVisible(self._job is not None)
        self._cancel.setEnabled(not self._is_canceling)
        self._cancel.setText(self.tr("Canceling…") if self._is_canceling else self.tr("Cancel"))

    def _explain(self, what: _View) -> None:
        if what is _View.NO_DATA:
            self._empty.set_content(
                "data",
                self.tr("There are no images to look at yet."),
                self.tr("Go to the data"),
                self.tr("Bring in images first; the audit then says what is wrong with them."),
            )
        elif what is not _View.REPORT:
            n_images = images_text(len(self.session.snapshot.records))
            self._empty.set_content(
                "audit",
                self.tr("Nobody has looked for problems in these images yet.")
                if what is _View.READY
                else self.tr("Looking for problems in %s…") % n_images,
                "",
                self.tr(
                    "The audit looks for copies of an image, patients in several parts of the "
                    "split or in several classes, doubtful labels, broken images, and for image "
                    "sizes, devices or corners that give the class away. It changes nothing: each "
                    "finding comes with its images and with what can be done about it."
                ),
            )

    def _connect_detail(self) -> None:
        detail = self.detail
        detail.remedy_requested.connect(self._on_remedy)
        detail.include_requested.connect(self._on_include)
        detail.accept_requested.connect(self._on_accept)
        detail.reopen_requested.connect(self._on_reopen)
        detail.images_requested.connect(self._on_images)
        detail.files_requested.connect(self._on_files)

    def _build(self) -> None:
        self._progress = ProgressRow()
        self._progress_card = Card()
        self._progress_card.body.addWidget(self._progress)
        self._stale = _StaleBar()
        self._empty = EmptyState("audit", "")
        self._empty.setMaximumWidth(theme().px(680))  # long lines are hard to read
        self._empty.action_requested.connect(self._on_data)
        self._columns = _Columns(self.list, self.detail)
        self.body.addWidget(self._progress_card)
        self.body.addWidget(self._stale)
        self.body.addWidget(self._empty, 1, Qt.AlignmentFlag.AlignHCenter)
        self.body.addWidget(self._columns, 1)


class _Columns(QWidget):
    """The list beside the detail; above it where there is no room for both."""

    def __init__(self, first: QWidget, second: QWidget) -> None:
        super().__init__()
        self._both = (first, second)
        self._box = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        # The least width beside each other would forbid the other arrangement.
        self._box.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(12)
        self._box.addWidget(first, 2)
        self._box.addWidget(second, 3)

    def minimumSizeHint(self) -> QSize:
        """Return the width of the wider one, and the height of the present arrangement."""
        return QSize(max(map(_least_width, self._both)), self._box.minimumSize().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Choose the arrangement that fits."""
        super().resizeEvent(event)
        least = sum(map(_least_width, self._both)) + self._box.spacing()
        is_narrow = event.size().width() < max(least, theme().px(600))
        beside, below = QBoxLayout.Direction.LeftToRight, QBoxLayout.Direction.TopToBottom
        wanted = below if is_narrow else beside
        if self._box.direction() != wanted:
            self._box.setDirection(wanted)
            self._box.setStretch(0, 1 if is_narrow else 2)
            self._box.setStretch(1, 2 if is_narrow else 3)


def _least_width(widget: QWidget) -> int:
    return max(widget.minimumSizeHint().width(), widget.minimumWidth())


class _StaleBar(Card):
    """Says that the findings are about other data, or another split, than there are now."""

    def __init__(self) -> None:
        super().__init__()
        self._sign = QLabel()
        what = self.tr("Data or split have changed since; look again.")
        rest = self.tr("What was accepted stays accepted.")
        text = QLabel(f"<b>{what}</b> {rest}")
        text.setTextFormat(Qt.TextFormat.RichText)
        text.setWordWrap(True)
        self.setAccessibleName(what)
        self.setAccessibleDescription(rest)
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addWidget(self._sign, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(text, 1)
        self.body.addLayout(row)
        theme().changed.connect(self._paint_sign)
        self._paint_sign()

    def _paint_sign(self) -> None:
        self._sign.setPixmap(pixmap("warning", size_px=theme().px(20), color="warning"))
