"""After labels change: how good a decision layer on them is now, and which labels it doubts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QWidget

from engine.contract.commands import RefitHead
from engine.contract.config_io import from_plain
from engine.contract.events import COMPLETED, Event, JobFinished, JobProgressed
from engine.contract.recommendation import HEAD_ONLY
from engine.contract.records import RunSummary
from engine.contract.results import HeadRefit
from gui.itemmodels.run_words import number_text
from gui.session import Session
from gui.widgets.buttons import IconButton, make_link
from gui.widgets.painting import set_role

__all__ = ["LiveHead"]

_SETTLED_MS: Final = 1200
_BUSY_MS: Final = 2000


class LiveHead(QFrame):
    """A line that appears when labels have changed and the images are described already.

    The fit runs in the run worker, quietly, and never while anything else does.

    Args:
        session: The open project.
        is_wanted: Whether anyone would see the result.

    Signals:
        images_requested: Ids of images whose label is doubted, and what they are, in a few words.
    """

    images_requested = Signal(list, str)

    def __init__(
        self, session: Session, is_wanted: Callable[[], bool], *, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._is_wanted = is_wanted
        self._is_edited = False
        self._is_fitting = False
        self._is_told = False
        self._fitted: Path | None = None
        self._auroc: float | None = None
        self._doubted: tuple[int, ...] = ()
        self._clock = QTimer(self)
        self._clock.setSingleShot(True)
        self._clock.timeout.connect(self._fit)
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._show = make_link(self.tr("Look again"))
        self._show.hide()
        self._show.setToolTip(
            self.tr(
                "Training and validation images whose label the decision layer contradicts, fitted "
                "without them. A label may be wrong, or the image unusual."
            )
        )
        self._show.clicked.connect(self._on_show)
        close = IconButton("close", self.tr("Close"), size_px=16)
        close.clicked.connect(self.hide)
        set_role(self, "message")
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 8, 6)
        row.setSpacing(12)
        row.addWidget(self._text, 1)
        row.addWidget(self._show)
        row.addWidget(close)
        self.hide()
        session.labels_edited.connect(self._on_edited)
        session.snapshot_changed.connect(self._on_snapshot)
        session.project_changed.connect(self._on_project)

    @property
    def text(self) -> str:
        """What is said."""
        return self._text.text()

    @property
    def link(self) -> str:
        """What the link offers; empty where nothing is doubted."""
        return self._show.text() if self._doubted else ""

    def _on_project(self) -> None:
        self._clock.stop()
        self._is_edited = False
        self._auroc, self._doubted = None, ()
        self.hide()

    def _on_edited(self) -> None:
        self._is_edited = True

    def _on_snapshot(self) -> None:
        if self._is_edited:  # and read again since
            self._clock.start(_SETTLED_MS)

    def _fit(self) -> None:
        session = self._session
        run = self._described_by()
        if session.folder is None or run is None or not self._is_wanted():
            return
        if self._is_fitting or session.jobs.is_busy or session.runs.state.is_busy:
            self._clock.start(_BUSY_MS)
            return
        self._is_edited, self._is_fitting, self._is_told = False, True, False
        self._fitted = session.folder
        command = RefitHead(
            project=str(session.folder),
            backbone=run.backbone,
            weights=run.weights,
            described_only=True,
        )
        session.jobs.start(command, self._on_finished, self._on_event, is_quiet=True)

    def _described_by(self) -> RunSummary | None:
        """Return the newest finished linear probe: it has described the images, as a fit wants."""
        snapshot = self._session.snapshot
        runs = snapshot.finished_runs if snapshot.split is not None else ()
        return next((run for run in runs if run.method == HEAD_ONLY), None)

    def _on_event(self, event: Event) -> None:
        if self._fitted != self._session.folder:  # another project was opened meanwhile
            return
        if isinstance(event, JobProgressed) and "val_auroc" in event.facts:
            self._tell(float(event.facts["val_auroc"]))

    def _on_finished(self, finished: JobFinished) -> None:
        self._is_fitting = False
        if self._fitted != self._session.folder:
            return
        if finished.outcome != COMPLETED:  # a class is empty, or images are new: nothing to say
            self.setVisible(self._is_told)
            return
        result: HeadRefit = from_plain(HeadRefit, finished.result)
        if not self._is_told:
            self._tell(result.val_auroc)
        known = self._session.snapshot.by_id
        self._doubt(tuple(record for record in result.doubted if record in known))

    def _tell(self, auroc: float) -> None:
        """Say how good the labels are now; which of them are doubted takes longer to find out."""
        now, before = number_text(auroc), number_text(self._auroc)
        if self._auroc is None or now == before:
            text = self.tr("Decision layer updated: validation AUROC {0}.")
        else:
            text = self.tr("Decision layer updated: validation AUROC {0}, {1} before.")
        self._text.setText(text.format(now, before))
        self._auroc, self._is_told = auroc, True
        self._doubt(())
        self.setAccessibleName(self._text.text())
        self.show()

    def _doubt(self, records: tuple[int, ...]) -> None:
        self._doubted = records
        n = len(records)
        one, many = self.tr("Look again at 1 label"), self.tr("Look again at %d labels")
        self._show.setText(one if n == 1 else many % n)
        self._show.setVisible(n > 0)

    def _on_show(self) -> None:
        self.images_requested.emit(list(self._doubted), self.tr("Labels to look at again"))
