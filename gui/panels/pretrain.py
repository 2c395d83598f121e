"""Pre-training on several projects: which ones, under what name, how long, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLabel,
    QLineEdit,
    QListWidgetItem,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from engine.contract.backbones import backbone_card
from engine.contract.commands import Pretrain
from engine.contract.config import preset_config
from engine.contract.events import COMPLETED, FAILED, Event, JobFinished, JobProgressed
from engine.project.pretrainings import UnfinishedPretraining
from gui.dialogs.label_fields import Choice
from gui.messages import job_text
from gui.next_run import WeightsState, weights_state
from gui.panels.growing_body import GrowingBody
from gui.panels.pretrain_list import PretrainList
from gui.panels.pretrain_offer import PretrainOffers
from gui.panels.pretrain_projects import Candidate, Problem, problem_of_choice
from gui.panels.pretrain_reader import ProjectReader, unfinished_in
from gui.panels.pretrain_words import details_text, result_text
from gui.panels.scroll_body import SCROLL_MARGIN_PX
from gui.panels.train_estimate import pace_here, rough_text
from gui.panels.train_notes import TrainNotes
from gui.preferences import Preferences
from gui.session import Session
from gui.theme import theme
from gui.widgets.buttons import make_button, set_primary
from gui.widgets.counts import images_text
from gui.widgets.number_input import NumberInput
from gui.widgets.painting import repolish, set_role
from gui.widgets.progress_row import ThinProgress
from gui.worker.engine_thread import EngineThread

__all__ = ["PretrainDialog", "open_pretraining"]

_MOST_NAME: Final = 80
_MOST_PASSES: Final = 50
_CANDIDATE: Final = Qt.ItemDataRole.UserRole
_NAME_POLICY: Final = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)


def open_pretraining(session: Session, parent: QWidget) -> PretrainDialog:
    """Show the dialog beside the window, which stays usable, and return it."""
    dialog = PretrainDialog(session, parent=parent)
    dialog.show()
    return dialog


class PretrainDialog(QDialog):
    """Choose projects, start or go on, watch; closing it while it trains leaves the job running.

    Signals:
        trained: Key of the backbone and what ``BackboneConfig.weights`` calls the new weights.
    """

    trained = Signal(str, str)

    def __init__(
        self,
        session: Session,
        recent: Sequence[Path] | None = None,
        *,
        parent: QWidget | None = None,
    ) -> None:
        """Build the dialog.

        Args:
            session: Its open project is listed first.
            recent: Projects to list; None takes those opened lately.
            parent: Window that it belongs to.
        """
        super().__init__(parent)
        self.setWindowTitle(self.tr("Pre-train on several projects"))
        self.resize(theme().px(620), theme().px(560))
        self._session = session
        self._job: EngineThread | None = None
        self._asked: list[Path] = []
        self._readers: list[ProjectReader] = []
        self._offers = PretrainOffers()
        self._offers.chosen.connect(self.go_on)
        self._list = PretrainList()
        self._list.itemChanged.connect(self._refresh)
        self._add = make_button(self.tr("Add a project…"), icon="add")
        self._add.clicked.connect(self._ask_project)
        self._name = QLineEdit(self.tr("Our images"))
        self._name.setMaxLength(_MOST_NAME)
        self._name.textChanged.connect(self._refresh)
        self._backbone = Choice(self.tr("Starts from"), n_letters=24)
        self._passes = NumberInput(1, _MOST_PASSES, Pretrain(projects=(), name="").epochs)
        self._passes.valueChanged.connect(self._refresh)
        self._estimate = QLabel()
        self._stage = QLabel()
        self._bar = ThinProgress()
        self._notes = TrainNotes()
        self._result = QLabel()
        self._buttons = QDialogButtonBox()
        self._build()
        self._list_backbones()
        session.device_changed.connect(self._list_backbones)
        here = [session.folder] if session.folder is not None else []
        known = Preferences().recent_projects if recent is None else recent
        self.add_projects(list(dict.fromkeys([*here, *known])))

    @property
    def candidates(self) -> list[Candidate]:
        """The projects listed, those that can't be chosen among them."""
        return [self._list.item(row).data(_CANDIDATE) for row in range(self._list.count())]

    @property
    def chosen(self) -> list[Candidate]:
        """The projects that are ticked."""
        items = (self._list.item(row) for row in range(self._list.count()))
        return [i.data(_CANDIDATE) for i in items if i.checkState() is Qt.CheckState.Checked]

    def add_projects(self, folders: Sequence[Path]) -> None:
        """List projects as they are read, off the window's thread."""
        listed = {candidate.folder for candidate in self.candidates}
        new = [folder for folder in folders if folder not in listed]
        reader = ProjectReader(new, self._session.folder, self)
        reader.read.connect(self._take)
        reader.found.connect(self._offer)
        reader.finished.connect(self._forget_readers)
        self._readers.append(reader)
        reader.start()

    def _forget_readers(self) -> None:
        self._readers = [reader for reader in self._readers if reader.isRunning()]

    def _offer(self, unfinished: Sequence[UnfinishedPretraining]) -> None:
        if not self._session.jobs.is_busy_with("pretrain"):
            self._offers.add(unfinished)
        self._offers.setVisible(self._job is None and not self._offers.is_empty)

    def choose(self, folders: Sequence[Path]) -> None:
        """Tick these projects and no others."""
        for row in range(self._list.count()):
            item = self._list.item(row)
            candidate: Candidate = item.data(_CANDIDATE)
            if candidate.problem is Problem.NONE:
                is_chosen = candidate.folder in folders
                item.setCheckState(Qt.CheckState.Checked if is_chosen else Qt.CheckState.Unchecked)

    def start(self) -> None:
        """Start with what is chosen."""
        self._begin(
            Pretrain(
                projects=tuple(str(candidate.folder) for candidate in self.chosen),
                name=self._name.text().strip(),
                backbone=str(self._backbone.currentData()),
                epochs=self._passes.value(),
            )
        )

    def go_on(self, command: Pretrain) -> None:
        """Go on with one that was interrupted, and show what it was asked."""
        if self._job is not None:
            return
        self._asked = [Path(project) for project in command.projects]
        self.choose(self._asked)
        self._name.setText(command.name)
        self._backbone.setCurrentIndex(max(0, self._backbone.findData(command.backbone)))
        self._passes.setValue(command.epochs)
        self._begin(command)

    def _begin(self, command: Pretrain) -> None:
        self._result.hide()
        self._notes.clear()
        self._stage.setText(self.tr("Starting…"))
        self._bar.set_fraction(None)
        self._job = self._session.jobs.start(command, self._on_finished, self._on_event)
        self._refresh()

    def stop(self) -> None:
        """Ask the job to end in such a way that it can go on later."""
        self._request("interrupt", self.tr("Stopping…"))

    def cancel(self) -> None:
        """Ask the job to end; nothing is kept."""
        self._request("cancel", self.tr("Canceling…"))

    def _request(self, name: str, pending: str) -> None:
        if self._job is not None:
            self._job.request(name)
            self._stage.setText(pending)
            for button in (self._stop, self._cancel):
                button.setEnabled(False)

    def reject(self) -> None:
        """Close; a job that runs goes on, and the dialog comes back with its result."""
        self.hide()
        if self._job is None:
            for reader in self._readers:
                reader.wait()
            self.deleteLater()

    def _build(self) -> None:
        intro = QLabel(
            self.tr(
                "One network learns from several of your labelled projects at once. New projects "
                "with few images can then start from it instead of from photographs. The test "
                "images of every project stay untouched."
            )
        )
        for label in (intro, self._estimate, self._stage, self._result):
            label.setWordWrap(True)
        for label in (intro, self._stage):
            set_role(label, "secondary")
        self._result.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._result.hide()
        form = QFormLayout()
        form.setSpacing(8)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        form.addRow(self.tr("Name of the new backbone"), self._name)
        form.addRow(self.tr("Starts from"), self._backbone)
        form.addRow(self.tr("Passes over the images"), self._passes)
        for field in (self._name, self._backbone, self._passes):
            # As high as its field, or its text stands above that of the field.
            form.labelForField(field).setSizePolicy(_NAME_POLICY)
        self._start = self._buttons.addButton(
            self.tr("Start"), QDialogButtonBox.ButtonRole.ActionRole
        )
        set_primary(self._start, is_primary=True)
        self._start.clicked.connect(self.start)
        self._stop = self._buttons.addButton(
            self.tr("Stop for now"), QDialogButtonBox.ButtonRole.ActionRole
        )
        self._stop.setToolTip(self.tr("Saves where it is; it can go on later."))
        self._stop.clicked.connect(self.stop)
        self._cancel = self._buttons.addButton(
            self.tr("Cancel training"), QDialogButtonBox.ButtonRole.ActionRole
        )
        self._cancel.setToolTip(self.tr("Ends now; nothing of it is kept."))
        self._cancel.clicked.connect(self.cancel)
        self._buttons.addButton(QDialogButtonBox.StandardButton.Close)
        self._buttons.rejected.connect(self.reject)
        body = GrowingBody()
        column = body.column
        column.addWidget(intro)
        column.addWidget(self._offers)
        column.addWidget(self._list, 1)
        column.addWidget(self._add, 0, Qt.AlignmentFlag.AlignLeft)
        column.addLayout(form)
        for widget in (self._estimate, self._stage, self._bar, self._notes, self._result):
            column.addWidget(widget)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(20, 16, 20 - SCROLL_MARGIN_PX, 16)
        outer.setSpacing(12)
        outer.addWidget(body, 1)
        self._buttons.setContentsMargins(0, 0, SCROLL_MARGIN_PX, 0)
        outer.addWidget(self._buttons)

    def _list_backbones(self) -> None:
        """Offer the backbones whose weights are here, the one chosen for the next run first."""
        before = self._backbone.currentData() or self._session.config.backbone.key
        known = self._session.device.get("weights") or {}
        keys = [key for key in known if self._has_weights(key)] or ["efficientnet_lite0"]
        self._backbone.clear()
        for key in keys:
            card = backbone_card(key)
            self._backbone.addItem(card.title if card is not None else key, key)
        self._backbone.setCurrentIndex(max(0, self._backbone.findData(before)))

    def _has_weights(self, key: str) -> bool:
        card = backbone_card(key)
        is_embedded = card is not None and card.is_embedded
        state = weights_state(self._session.device, key, is_embedded=is_embedded)
        return card is not None and state in (WeightsState.EMBEDDED, WeightsState.ADDED)

    def _ask_project(self) -> None:
        dialog = QFileDialog(self, self.tr("Add a project"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(lambda name: self.add_projects([Path(name)]))
        # Not exec: the window stays usable.
        dialog.open()

    def _take(self, candidate: Candidate) -> None:
        item = QListWidgetItem(f"{candidate.name}\n{details_text(candidate)}")
        item.setData(_CANDIDATE, candidate)
        item.setToolTip(str(candidate.folder))
        if candidate.problem is Problem.NONE:
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
        else:
            item.setFlags(Qt.ItemFlag.ItemNeverHasChildren)  # shown, but not to be chosen
            item.setForeground(theme().color("secondary"))
        is_chosen = candidate.problem is Problem.NONE and candidate.folder in self._asked
        item.setCheckState(Qt.CheckState.Checked if is_chosen else Qt.CheckState.Unchecked)
        self._list.addItem(item)
        self._refresh()

    def _refresh(self, *_: Any) -> None:
        chosen = self.chosen
        problem = problem_of_choice(chosen)
        self._estimate.setText(self._estimate_text(chosen, problem))
        self._estimate.setProperty("tone", "bad" if problem is Problem.SIZES_DIFFER else "")
        repolish(self._estimate)
        is_ready = problem is Problem.NONE and bool(self._name.text().strip())
        is_running = self._job is not None
        self._start.setEnabled(is_ready and not is_running)
        self._start.setVisible(not is_running)
        self._offers.setVisible(not is_running and not self._offers.is_empty)
        for widget in (self._stop, self._cancel, self._stage, self._bar):
            widget.setVisible(is_running)
            widget.setEnabled(is_running)
        for field in (self._list, self._add, self._name, self._backbone, self._passes):
            field.setEnabled(not is_running)

    def _estimate_text(self, chosen: Sequence[Candidate], problem: Problem) -> str:
        if problem is Problem.TOO_FEW:
            return self.tr("Choose at least two projects.")
        if problem is Problem.SIZES_DIFFER:
            sizes = sorted({candidate.size_px for candidate in chosen})
            return self.tr(
                "These projects prepare their images at different sizes (%s px), and one network "
                "can't learn from both. Choose projects of one size."
            ) % ", ".join(str(size) for size in sizes)
        n_train = sum(candidate.n_train for candidate in chosen)
        n_val = sum(candidate.n_val for candidate in chosen)
        session, key = self._session, str(self._backbone.currentData())
        config = preset_config("standard", backbone=key)
        pace = pace_here(session, config, chosen[0].size_px)
        passes = self._passes.value()
        seconds = passes * (n_train * pace.learn_s + n_val * pace.look_s)
        seconds += (n_train + n_val) * pace.look_s
        return self.tr("{0} to learn from, {1} passes: about {2}.").format(
            images_text(n_train), QLocale().toString(passes), rough_text(seconds)
        )

    def _on_event(self, event: Event) -> None:
        if isinstance(event, JobProgressed) and self._cancel.isEnabled():
            self._stage.setText(job_text(event))
            self._bar.set_fraction(event.done / event.total if event.total else None)
        self._notes.take(event)

    def _on_finished(self, finished: JobFinished) -> None:
        is_canceled = self._job is not None and self._job.is_canceled
        self._job = None
        self._notes.set_pause("")  # it waits for nothing any more
        self._offers.clear()
        self._refresh()
        folders = [candidate.folder for candidate in self.candidates]
        look = partial(unfinished_in, folders, self._session.folder)
        self._session.background.do(look, self._offer)
        text = self.tr("Stopped. It can go on from here, also after RadTune was closed.")
        if is_canceled:
            text = self.tr("Canceled. Nothing was kept.")
        if finished.outcome == FAILED:
            text = f"{finished.error or self.tr('That failed.')} {finished.remedy or ''}".strip()
        elif finished.outcome == COMPLETED:
            text = result_text(finished.result)
        self._result.setText(text)
        self._result.setProperty("tone", "bad" if finished.outcome == FAILED else "")
        repolish(self._result)
        self._result.show()
        if finished.outcome == COMPLETED:
            result = finished.result
            self._session.find_device()  # the picker lists the new weights
            self.trained.emit(str(result.get("backbone", "")), str(result.get("weights", "")))
        if self.isHidden():
            self.show()
