"""The size at which a project's images are prepared: what is better, and making it so."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from engine.contract.backbones import backbone_card, nearest_sizes, size_error
from engine.contract.commands import PrepareImages
from engine.contract.errors import ConfigError
from engine.contract.events import Event, JobFinished, JobProgressed
from gui.messages import job_text
from gui.session import Session
from gui.widgets.buttons import make_button
from gui.widgets.painting import repolish, set_role
from gui.widgets.progress_row import ProgressRow
from gui.worker.engine_thread import EngineThread

__all__ = ["ImageSizeNote", "unfit_size"]

_LEAST_PX, _MOST_PX = 32, 1024


def unfit_size(session: Session) -> ConfigError | None:
    """Return why the chosen backbone can't take the project's images, or None if it can."""
    facts = session.advice.facts
    card = backbone_card(session.config.backbone.key)
    return None if facts is None or card is None else size_error(card, facts.size_px)


class ImageSizeNote(QFrame):
    """Hidden while the images have a good size; otherwise a sentence and a button for each remedy.

    Signals:
        finished: The :class:`JobFinished` of a preparation.
    """

    finished = Signal(object)

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "message")
        self._session = session
        self._job: EngineThread | None = None
        self._sizes: tuple[int, ...] = ()
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(8)
        self._progress = ProgressRow()
        self._cancel = make_button(self.tr("Cancel"))
        self._cancel.clicked.connect(self._on_cancel)
        self._build()
        for changed in (
            session.advice.changed,
            session.choices_changed,
            session.runs.state_changed,
        ):
            changed.connect(self.refresh)
        self.refresh()

    @property
    def text(self) -> str:
        """What is said."""
        return self._text.text()

    @property
    def buttons(self) -> list[QPushButton]:
        """A button for each size that is offered."""
        items = (self._buttons.itemAt(i) for i in range(self._buttons.count()))
        widgets = (item.widget() for item in items if item is not None)
        return [widget for widget in widgets if isinstance(widget, QPushButton)]

    @property
    def is_busy(self) -> bool:
        """Whether images are being prepared."""
        return self._job is not None

    def prepare(self, size_px: int) -> None:
        """Prepare the images at a size."""
        folder = self._session.folder
        if folder is None or self._job is not None:
            return
        self._cancel.setEnabled(True)
        self._cancel.setText(self.tr("Cancel"))
        self._progress.set_label(self.tr("Starting…"))
        self._progress.set_progress(None)
        command = PrepareImages(project=str(folder), size_px=size_px)
        self._job = self._session.jobs.start(command, self._on_finished, self._on_event)
        self.refresh()

    def refresh(self, _: object = None) -> None:
        """Say whether another size would be better."""
        is_warning, text, sizes = self._judged()
        self._text.setText(text)
        self.setAccessibleName(text)
        self._offer(sizes)
        kind = "warning" if is_warning else "info"
        if self.property("kind") != kind:
            self.setProperty("kind", kind)
            repolish(self)
        for part in (self._progress, self._cancel):
            part.setVisible(self.is_busy)
        for button in self.buttons:
            button.setVisible(not self.is_busy)
            button.setEnabled(not self._session.runs.state.is_busy)
        self.setVisible(bool(text) or self.is_busy)

    def _judged(self) -> tuple[bool, str, tuple[int, ...]]:
        """Return whether it must change, a sentence, and the sizes to choose from."""
        advice = self._session.advice
        if (error := unfit_size(self._session)) is not None and advice.facts is not None:
            card = backbone_card(self._session.config.backbone.key)
            sizes = nearest_sizes(card, advice.facts.size_px) if card is not None else ()
            fitting = tuple(size for size in sizes if _LEAST_PX <= size <= _MOST_PX)
            return True, f"{self.tr(error.message)} {self.tr(error.remedy)}", fitting
        found, facts = advice.found, advice.facts
        if found is None or facts is None or found.size_px.value == facts.size_px:
            return False, "", ()
        now = self.tr("They are prepared at {0}\u00a0px now.").format(facts.size_px)
        return False, f"{self.tr(found.size_px.why)} {now}", (int(found.size_px.value),)

    def _offer(self, sizes: tuple[int, ...]) -> None:
        if sizes == self._sizes:
            return
        self._sizes = sizes
        for button in self.buttons:
            self._buttons.removeWidget(button)
            button.deleteLater()
        for size_px in sizes:
            button = make_button(self.tr("Prepare at %d px") % size_px)
            button.setToolTip(
                self.tr("Made from the originals; results so far will count as out of date")
            )
            button.clicked.connect(partial(self.prepare, size_px))
            self._buttons.addWidget(button)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, JobProgressed):
            self._progress.set_label(job_text(event))
            self._progress.set_progress(event.done / event.total if event.total else None)

    def _on_cancel(self) -> None:
        if self._job is not None:
            self._job.request("cancel")
            self._cancel.setText(self.tr("Canceling…"))
            self._cancel.setEnabled(False)

    def _on_finished(self, finished: JobFinished) -> None:
        self._job = None
        self.refresh()
        self.finished.emit(finished)

    def _build(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addWidget(self._text, 1)
        row.addLayout(self._buttons)
        row.addWidget(self._cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 8)
        column.setSpacing(8)
        column.addLayout(row)
        column.addWidget(self._progress)
