"""What can be done with the images besides looking: label sheets, and copies to give away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog, QMenu, QWidget

from engine.contract.commands import Deidentify, ExportLabels, Relabel
from engine.contract.config_io import from_plain
from engine.contract.events import COMPLETED, FAILED, JobFinished
from engine.contract.records import DeidentifyResult, RelabelResult
from gui.session import Session
from gui.widgets.counts import images_text
from gui.widgets.message_bar import MessageKind

__all__ = ["DataTasks"]


class DataTasks(QObject):
    """A menu of jobs on the project's labels and originals, and what came of them.

    Args:
        selected: Returns the ids of the selected images.

    Signals:
        told: Kind, what happened, what to do, actions: a message for the user.
    """

    told = Signal(object, str, str, list)

    def __init__(
        self, session: Session, selected: Callable[[], list[int]], window: QWidget
    ) -> None:
        super().__init__(window)
        self._session = session
        self._selected = selected
        self._window = window
        self.menu = QMenu(window)
        self._relabel = self.menu.addAction(self.tr("Change labels from a sheet…"))
        self._relabel.triggered.connect(self._on_relabel)
        self._export = self.menu.addAction(self.tr("Save the labels as a sheet…"))
        self._export.triggered.connect(self._on_export)
        self.menu.addSeparator()
        self._copy = self.menu.addAction("")
        self._copy.triggered.connect(self._on_copy)
        self.menu.aboutToShow.connect(self._prepare)
        self._prepare()

    def _prepare(self) -> None:
        """Say how many images would be copied, and offer nothing that can't be done now."""
        n = len(self._selected())
        self._copy.setText(
            self.tr("Copy %s without identifiers…") % images_text(n)
            if n > 1
            else self.tr("Copy all images without identifiers…")
        )
        jobs = self._session.jobs
        is_free = self._session.folder is not None and not jobs.is_busy_with("scan")
        self._relabel.setEnabled(is_free and not jobs.is_busy_with("relabel"))
        self._export.setEnabled(is_free and not jobs.is_busy_with("export_labels"))
        self._copy.setEnabled(is_free and not jobs.is_busy_with("deidentify"))

    def _on_relabel(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self._window,
            self.tr("Choose a label sheet"),
            "",
            self.tr("Label sheets (*.csv *.tsv *.txt *.xlsx);;All files (*)"),
        )
        if path and (folder := self._session.folder) is not None:
            self._session.jobs.start(Relabel(project=str(folder), labels=path), self._on_relabelled)

    def _on_relabelled(self, finished: JobFinished) -> None:
        if self._tell_failure(finished):
            return
        result: RelabelResult = from_plain(RelabelResult, finished.result)
        if result.n_changed:
            what = self.tr("%s have another label now.") % images_text(result.n_changed)
        else:
            what = self.tr("The sheet changes no label.")
        parts = [self.tr("Undo takes it back.")] if result.n_changed else []
        if result.rows_without_file:
            parts.append(self.tr("%d rows name no image here.") % result.rows_without_file)
        if result.conflicts:
            parts.append(self.tr("%d images have contradicting rows.") % result.conflicts)
        self.told.emit(MessageKind.SUCCESS, what, " ".join(parts), [])
        self._session.reload()

    def _on_export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self._window,
            self.tr("Save the labels"),
            self.tr("labels.csv"),
            self.tr("Label sheet (*.csv)"),
        )
        if path and (folder := self._session.folder) is not None:
            out = Path(path) if Path(path).suffix else Path(path).with_suffix(".csv")
            self._session.jobs.start(
                ExportLabels(project=str(folder), out=str(out)), self._on_exported
            )

    def _on_exported(self, finished: JobFinished) -> None:
        if not self._tell_failure(finished):
            n_images = finished.result["n_images"]
            self.told.emit(
                MessageKind.SUCCESS,
                self.tr("The labels of %s are saved.") % images_text(n_images),
                self.tr("The sheet holds file names, which may identify patients."),
                [],
            )

    def _on_copy(self) -> None:
        ids = self._selected()
        path = QFileDialog.getExistingDirectory(
            self._window, self.tr("Choose an empty folder for the copies")
        )
        if path and (folder := self._session.folder) is not None:
            command = Deidentify(
                project=str(folder), out=path, records=tuple(ids) if len(ids) > 1 else None
            )
            self._session.jobs.start(command, self._on_copied)

    def _on_copied(self, finished: JobFinished) -> None:
        if self._tell_failure(finished):
            return
        result: DeidentifyResult = from_plain(DeidentifyResult, finished.result)
        what = self.tr("%s copied without identifiers.") % images_text(result.n_images)
        if result.n_skipped:
            what += " " + self.tr("%d left out; the first: %s") % (
                result.n_skipped,
                result.skipped[0].reason,
            )
        kind = MessageKind.WARNING if result.n_skipped else MessageKind.SUCCESS
        self.told.emit(kind, what, " ".join(result.notes), [])

    def _tell_failure(self, finished: JobFinished) -> bool:
        """Say why a job failed; whether there is nothing more to say."""
        if finished.outcome == FAILED:
            self.told.emit(MessageKind.ERROR, finished.error or "", finished.remedy or "", [])
        return finished.outcome != COMPLETED
