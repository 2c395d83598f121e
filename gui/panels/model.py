"""The model picker: backbone, method, and behind a fold every other setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QWidget,
)

from engine.contract.backbones import UNKNOWN_LICENCE, WEIGHTS_ENDINGS, backbone_card
from engine.contract.config import BackboneConfig, ExperimentConfig, preset_config
from engine.contract.events import COMPLETED, JobFinished
from engine.contract.methods import (
    METHODS,
    method_card,
)
from engine.project.pretrainings import UnfinishedPretraining, read_unfinished
from gui.direct_choice import DIRECT
from gui.itemmodels.run_words import backbone_name
from gui.itemmodels.seen_words import choice_text
from gui.measured_here import measured_here, speed_text
from gui.next_run import (
    WeightsState,
    added_files,
    choice_of_file,
    weights_state,
    with_backbone,
    with_method,
)
from gui.panels.direct_source import DirectSource
from gui.panels.image_size import ImageSizeNote
from gui.panels.method_about import MethodAbout
from gui.panels.model_backbones import BackbonePicker
from gui.panels.model_details import ModelDetails
from gui.panels.model_facts import BackboneFacts
from gui.panels.model_weights import WeightsAdder
from gui.panels.panel import Panel
from gui.panels.pretrain import open_pretraining
from gui.panels.pretrain_offer import cut_off_sentence
from gui.panels.recommended_card import RecommendedCard
from gui.panels.scratch_warning import ScratchWarning
from gui.panels.scroll_body import scroll_body
from gui.panels.seen_note import SeenNote
from gui.panels.setting_fields import choice_name
from gui.seen_before import seen_by_choice
from gui.session import Session
from gui.stages import Stage
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.buttons import make_button
from gui.widgets.choice_card import ChoiceCard
from gui.widgets.fold import Fold
from gui.widgets.message_bar import MessageAction, MessageKind
from gui.widgets.painting import set_role

__all__ = ["ModelPanel"]

_WEIGHTS_FILES: Final = " ".join(f"*{ending}" for ending in WEIGHTS_ENDINGS)
_THERE: Final = (WeightsState.EMBEDDED, WeightsState.ADDED)


class ModelPanel(Panel):
    """Choose what is trained and how; the recommended choice is already made."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent=parent)
        self.header.set_title(self.tr("Model"))
        self._search = self.header.add_button(self.tr("Find better settings"), icon="search")
        self._search.setToolTip(self.tr("Tries backbones, methods and settings on your images"))
        self._search.clicked.connect(lambda: self.go_to(Stage.SEARCH))
        self._go_on = self.header.add_button(self.tr("Go to training"), is_primary=True)
        self._go_on.clicked.connect(self._on_go_on)
        self._methods: dict[str, ChoiceCard] = {}
        self._method_group = QButtonGroup(self)
        self._recommended = RecommendedCard(session)
        self._size = ImageSizeNote(session)
        self._size.finished.connect(self._on_prepared)
        self._picker = BackbonePicker(self._state_of, self._licence_of, self._speed_of)
        self._picker.chosen.connect(self.choose_backbone)
        self._facts = BackboneFacts()
        self._facts.weights_chosen.connect(self._on_weights_chosen)
        self._seen = SeenNote()
        self._warning = ScratchWarning()
        self._warning.add_requested.clicked.connect(self.ask_weights)
        self._details: ModelDetails | None = None
        self._fold = Fold(self.tr("Details"))
        self._fold.setToolTip(self.tr("Every setting, with its range; nobody needs to change any"))
        self._fold.toggled.connect(self._show_details)
        self._wanted: tuple[str, str] | None = None
        self._looked_at: Path | None = None
        self._adder = WeightsAdder(session, self)
        self._adder.checking.connect(self._on_checking)
        self._adder.added.connect(self._on_added)
        self._adder.another_wanted.connect(self.ask_weights)
        self._build()
        session.choices_changed.connect(self._refresh)
        session.device_changed.connect(self._on_device_changed)
        session.snapshot_changed.connect(self._refresh)
        session.project_changed.connect(self._on_project)
        session.advice.changed.connect(self._refresh)
        self._refresh()

    def on_shown(self) -> None:
        """Find out which weights are here and what was cut off, if nobody has asked yet."""
        if not self.session.device and not self.session.jobs.is_busy_with("doctor"):
            self.session.find_device()
        folder = self.session.folder
        if folder is not None and folder != self._looked_at:
            self._looked_at = folder
            read = partial(read_unfinished, folder, held=folder)
            self.session.background.do(read, self._offer_pretraining)

    def choose_backbone(self, key: str) -> None:
        """Take a backbone, from scratch where its weights are missing."""
        files = added_files(self.session.device, key)
        made = next((file.choice for file in files if file.is_made), "")
        self.session.choose(with_backbone(self.session.config, key, self._state_of(key), made))

    def choose_method(self, key: str) -> None:
        """Take a method; the preset follows."""
        self.session.choose(with_method(self.session.config, key))

    def ask_weights(self) -> None:
        """Ask for a weights file."""
        dialog = self._file_dialog(QFileDialog.FileMode.ExistingFile)
        weights, every = self.tr("Weights"), self.tr("All files")
        dialog.setNameFilters([f"{weights} ({_WEIGHTS_FILES})", f"{every} (*)"])
        dialog.fileSelected.connect(lambda name: self.add_weights(Path(name)))
        dialog.open()

    def ask_weights_folder(self) -> None:
        """Ask for a folder of weights files."""
        dialog = self._file_dialog(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly, True)
        dialog.fileSelected.connect(lambda name: self.add_weights(Path(name)))
        dialog.open()

    def add_weights(self, file: Path, *, is_partial: bool = False) -> None:
        """Have a weights file, or each in a folder, recognised, checked and kept.

        Args:
            file: The file or folder.
            is_partial: Whether the user has agreed to one that fits in part.
        """
        self._adder.add(file, is_partial=is_partial)

    def ask_pretraining(self) -> None:
        """Offer to train a backbone on several projects; what comes of it is chosen."""
        open_pretraining(self.session, self).trained.connect(self.choose_weights)

    def _on_project(self) -> None:
        self._looked_at = None

    def _offer_pretraining(self, unfinished: Sequence[UnfinishedPretraining]) -> None:
        if not unfinished or self.session.jobs.is_busy_with("pretrain"):
            return
        again = MessageAction(
            self.tr("Continue pre-training"), partial(self._go_on_pretraining, unfinished[0])
        )
        what, how = cut_off_sentence(unfinished[0]), self.tr("It can go on where it was.")
        self.show_message(MessageKind.INFO, what, how, (again,))

    def _go_on_pretraining(self, unfinished: UnfinishedPretraining) -> None:
        dialog = open_pretraining(self.session, self)
        dialog.trained.connect(self.choose_weights)
        dialog.go_on(unfinished.command)

    def choose_weights(self, key: str, weights: str) -> None:
        """Take a backbone with certain weights, as ``BackboneConfig.weights`` calls them."""
        backbone = BackboneConfig(key=key, weights=weights)
        self.session.choose(replace(self.session.config, backbone=backbone))

    def _file_dialog(self, mode: QFileDialog.FileMode) -> QFileDialog:
        dialog = QFileDialog(self, self.tr("Add weights"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(mode)
        return dialog

    def _on_checking(self, is_checking: bool) -> None:
        self._add_button.setEnabled(not is_checking)
        text = self.tr("Checking the file…") if is_checking else self.tr("Add weights…")
        self._add_button.setText(text)

    def _on_added(self, key: str, weights_id: str) -> None:
        self._wanted = (key, weights_id)  # chosen once the engine has seen that they are here
        self.session.find_device()

    def _on_weights_chosen(self, weights: str) -> None:
        self.choose_weights(self.session.config.backbone.key, weights)

    def _on_prepared(self, finished: JobFinished) -> None:
        if self.show_failure(finished) or finished.outcome != COMPLETED:
            return
        self.show_message(
            MessageKind.SUCCESS,
            self.tr("The images are prepared at %d px.") % finished.result["size_px"],
        )

    def _build(self) -> None:
        body = scroll_body(self)
        column = body.column
        column.addWidget(self._recommended)
        column.addWidget(self._size)
        self._add_button = make_button(self.tr("Add weights…"), icon="add")
        menu = QMenu(self._add_button)
        menu.addAction(self.tr("A file…"), self.ask_weights)
        menu.addAction(self.tr("A folder of files…"), self.ask_weights_folder)
        self._add_button.setMenu(menu)
        pretrain = make_button(self.tr("Pre-train…"))
        pretrain.setToolTip(self.tr("Train one backbone on several of your projects"))
        pretrain.clicked.connect(self.ask_pretraining)
        self._answers = QLabel()
        set_role(self._answers, "secondary")
        heading = _heading(self.tr("Backbone"), pretrain, self._add_button)
        heading.insertWidget(1, self._answers)
        column.addLayout(heading)
        column.addWidget(self._picker)
        column.addWidget(self._facts)
        column.addWidget(self._seen)
        column.addWidget(self._warning)
        column.addLayout(_heading(self.tr("Method")))
        column.addWidget(self._method_cards())
        self._about = MethodAbout(self.session)
        column.addWidget(self._about)
        self._direct = DirectSource(self.session)
        column.addWidget(self._direct)
        column.addWidget(self._fold)
        self._column = column
        column.addStretch(1)

    def _method_cards(self) -> AdaptiveRow:
        row = AdaptiveRow()
        for entry in METHODS:
            card = ChoiceCard(self.tr(entry.title), self.tr(entry.advice))
            card.setToolTip(self.tr(entry.how))
            card.setMinimumWidth(240)
            self._methods[entry.key] = card
            self._method_group.addButton(card)
            row.add(card)
        self._method_group.buttonClicked.connect(self._on_method)
        return row

    def _on_method(self, button: QAbstractButton) -> None:
        self.choose_method(next(key for key, card in self._methods.items() if card is button))

    def _on_go_on(self) -> None:
        self.session.choose(
            self.session.config
        )  # looking at the recommendation and going on is one
        self.go_to(Stage.TRAIN)

    def _on_device_changed(self) -> None:
        """Take the weights of the chosen backbone as soon as they are here, and the reverse."""
        if self._wanted is not None:
            (key, weights_id), self._wanted = self._wanted, None
            self.choose_weights(key, choice_of_file(self.session.device, key, weights_id))
        config = self.session.config
        if config.backbone.weights not in ("pretrained", "scratch"):  # chosen one by one
            self._refresh()
            return
        state = self._state_of(config.backbone.key)
        wanted = with_backbone(config, config.backbone.key, state)
        if state is not WeightsState.UNKNOWN and wanted != config:
            self.session.choose(wanted)
        self._refresh()

    def _state_of(self, key: str) -> WeightsState:
        card = backbone_card(key)
        is_embedded = card is not None and card.is_embedded
        return weights_state(self.session.device, key, is_embedded=is_embedded)

    def _licence_of(self, key: str) -> str:
        """Return the licence of the weights that a run with a backbone would start from."""
        card, chosen = backbone_card(key), self.session.config.backbone
        for file in added_files(self.session.device, key):
            if (key, file.choice) == (chosen.key, chosen.weights):
                return file.licence
        added = [file for file in added_files(self.session.device, key) if not file.is_made]
        if added and self._state_of(key) is WeightsState.ADDED:
            return added[0].licence
        return card.licence if card else UNKNOWN_LICENCE

    def _speed_of(self, key: str) -> str:
        measured = measured_here(self.session, key)
        return speed_text(measured.images_per_s) if measured is not None else ""

    def _refresh(self) -> None:
        config = self.session.config
        found = self.session.advice.found
        self._picker.refresh(config.backbone)
        self._picker.set_chosen(config.backbone.key)
        for key, card in self._methods.items():
            card.setChecked(key == config.method.key)
            is_it = found is not None and found.method.value == key
            why = self.tr(found.method.why) if found is not None and is_it else ""
            card.set_badge(self.tr("Recommended") if is_it else "", why)
        if found is not None:
            self._picker.set_recommended(str(found.backbone.value), self.tr(found.backbone.why))
        self._direct.setVisible(config.method.key == DIRECT)
        if config.method.key == DIRECT:
            self._direct.refresh()
        self._describe_choice(config)
        if self._details is not None:
            self._details.set_config(config, _default_of(config))
            self._details.set_imbalance_advice(self._imbalance_advice())
            self._details.set_grades(has_grades=self.session.snapshot.is_ordinal)

    def _describe_choice(self, config: ExperimentConfig) -> None:
        entry, method = backbone_card(config.backbone.key), method_card(config.method.key)
        title = self.tr(entry.title) if entry else config.backbone.key
        how = self.tr(method.title) if method else config.method.key
        is_answered, answering = self.session.answering is not None, self.session.next_backbone
        self.header.set_subtitle(f"{backbone_name(answering)} · {how}")
        for part in (self._picker, self._facts):
            part.setEnabled(not is_answered)
        own = self.tr("The classifier that you chose below answers with its own: %s")
        self._answers.setText(own % backbone_name(answering) if is_answered else "")
        if method is not None:
            self._about.show_method(method)
        self._facts.setVisible(entry is not None)
        if entry is not None:
            files = added_files(self.session.device, entry.key)
            state = self._state_of(entry.key)
            measured = measured_here(self.session, entry.key)
            self._facts.show_backbone(entry, config.backbone, state, files, measured)
        self._seen.show_text(choice_text(seen_by_choice(self.session)))
        is_scratch = config.backbone.weights == "scratch" and not is_answered
        self._warning.setVisible(is_scratch)
        if is_scratch:
            is_there = self._state_of(config.backbone.key) in _THERE
            self._warning.set_choice(title, method, is_chosen=is_there)

    def _imbalance_advice(self) -> str:
        found = self.session.advice.found
        if found is None:
            return ""
        choice = choice_name("loss.imbalance", str(found.imbalance.value))
        return self.tr("{0} Suggested: {1}.").format(self.tr(found.imbalance.why), choice)

    def _show_details(self, is_open: bool) -> None:
        if self._details is None:
            self._details = ModelDetails()
            self._details.config_edited.connect(self.session.choose)
            self._details.set_config(self.session.config, _default_of(self.session.config))
            self._details.set_imbalance_advice(self._imbalance_advice())
            self._details.set_grades(has_grades=self.session.snapshot.is_ordinal)
            self._column.insertWidget(self._column.count() - 1, self._details)
        self._details.setVisible(is_open)


def _default_of(config: ExperimentConfig) -> ExperimentConfig:
    return preset_config(config.preset, backbone=config.backbone.key, method=config.method.key)


def _heading(text: str, *buttons: QWidget) -> QHBoxLayout:
    label = QLabel(text)
    set_role(label, "heading")
    row = QHBoxLayout()
    row.setSpacing(12)
    row.addWidget(label)
    row.addStretch(1)
    for button in buttons:
        row.addWidget(button)
    return row
