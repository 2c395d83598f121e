"""The model picker: backbone, method, and behind a fold every other setting."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PySide6.QtCore import QLocale, Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QWidget,
)

from engine.contract.backbones import BACKBONES, BackboneCard, backbone_card
from engine.contract.commands import AddWeights
from engine.contract.config import ExperimentConfig, preset_config
from engine.contract.events import COMPLETED, FAILED, JobFinished
from engine.contract.methods import METHODS, method_card
from engine.contract.records import ClassSummary
from gui.panels.model_details import ModelDetails
from gui.panels.next_run import (
    RECOMMENDED_BACKBONE,
    Reason,
    WeightsState,
    recommended_method,
    weights_state,
    with_backbone,
    with_method,
)
from gui.panels.panel import Panel
from gui.panels.scroll_body import scroll_body
from gui.session import Session
from gui.stages import Stage
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.buttons import make_button
from gui.widgets.choice_card import ChoiceCard
from gui.widgets.counts import images_text
from gui.widgets.fold import Fold
from gui.widgets.message_bar import MessageAction, MessageKind
from gui.widgets.painting import set_role

__all__ = ["ModelPanel"]

_MEGA: Final = 1e6
_WEIGHTS_FILES: Final = "*.safetensors *.pth *.pt *.bin"


class ModelPanel(Panel):
    """Choose what is trained and how; the recommended choice is already made."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent=parent)
        self.header.set_title(self.tr("Model"))
        self._go_on = self.header.add_button(self.tr("Go to training"), is_primary=True)
        self._go_on.clicked.connect(self._on_go_on)
        self._backbones: dict[str, ChoiceCard] = {}
        self._methods: dict[str, ChoiceCard] = {}
        self._shown_facts: dict[str, list[str]] = {}
        self._backbone_group = QButtonGroup(self)
        self._method_group = QButtonGroup(self)
        self._reason = QLabel()
        self._fact = QLabel()
        self._warning = _ScratchWarning()
        self._warning.add_requested.clicked.connect(self.ask_weights)
        self._details: ModelDetails | None = None
        self._fold = Fold(self.tr("Details"))
        self._fold.setToolTip(self.tr("Every setting, with its range; nobody needs to change any"))
        self._fold.toggled.connect(self._show_details)
        self._wanted: str | None = None
        self._build()
        session.choices_changed.connect(self._refresh)
        session.device_changed.connect(self._on_device_changed)
        session.snapshot_changed.connect(self._refresh)
        self._refresh()

    def on_shown(self) -> None:
        """Find out which weights are here, if nobody has asked yet."""
        if not self.session.device and not self.session.jobs.is_busy_with("doctor"):
            self.session.find_device()

    def choose_backbone(self, key: str) -> None:
        """Take a backbone, from scratch where its weights are missing."""
        self.session.choose(with_backbone(self.session.config, key, self._state_of(key)))

    def choose_method(self, key: str) -> None:
        """Take a method; the preset follows."""
        self.session.choose(with_method(self.session.config, key))

    def ask_weights(self) -> None:
        """Ask for a weights file."""
        dialog = QFileDialog(self, self.tr("Add weights"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        weights, every = self.tr("Weights"), self.tr("All files")
        dialog.setNameFilters([f"{weights} ({_WEIGHTS_FILES})", f"{every} (*)"])
        dialog.fileSelected.connect(lambda name: self.add_weights(Path(name)))
        dialog.open()

    def add_weights(self, file: Path) -> None:
        """Have a weights file recognised, checked and kept."""
        self._add_button.setEnabled(False)
        self._add_button.setText(self.tr("Checking the file…"))
        self.session.jobs.start(AddWeights(file=str(file)), self._on_weights)

    def _on_weights(self, finished: JobFinished) -> None:
        self._add_button.setEnabled(True)
        self._add_button.setText(self.tr("Add weights…"))
        if finished.outcome == FAILED:
            self.show_message(
                MessageKind.ERROR,
                finished.error or self.tr("The file could not be added."),
                finished.remedy or "",
                (MessageAction(self.tr("Add another file…"), self.ask_weights),),
            )
        elif finished.outcome == COMPLETED:
            self._welcome_weights(finished)

    def _welcome_weights(self, finished: JobFinished) -> None:
        key = str(finished.result.get("backbone", ""))
        card = backbone_card(key)
        n_tensors = QLocale().toString(int(finished.result.get("n_tensors") or 0))
        text = self.tr("Weights for {0} were recognised and added ({1} tensors).")
        warnings = [str(warning) for warning in finished.result.get("warnings") or ()]
        self.show_message(
            MessageKind.WARNING if warnings else MessageKind.SUCCESS,
            text.format(card.title if card else key, n_tensors),
            " ".join(warnings),
        )
        if card is not None:
            self._wanted = key  # chosen once the engine has seen that its weights are here
        self.session.find_device()

    def _build(self) -> None:
        body = scroll_body(self)
        column = body.column
        for label in (self._reason, self._fact):
            label.setWordWrap(True)
            set_role(label, "secondary")
        column.addWidget(self._reason)
        self._add_button = make_button(self.tr("Add weights…"), icon="add")
        self._add_button.clicked.connect(self.ask_weights)
        column.addLayout(_heading(self.tr("Backbone"), self._add_button))
        column.addWidget(self._backbone_cards())
        column.addWidget(self._fact)
        column.addWidget(self._warning)
        column.addLayout(_heading(self.tr("Method")))
        column.addWidget(self._method_cards())
        column.addWidget(self._fold)
        self._column = column
        column.addStretch(1)

    def _backbone_cards(self) -> AdaptiveRow:
        row = AdaptiveRow()
        for entry in BACKBONES:
            card = ChoiceCard(self.tr(entry.title), self.tr(entry.advice))
            card.setToolTip(self.tr("Pre-trained on %s") % self.tr(entry.pretrained_on))
            card.setMinimumWidth(240)
            self._backbones[entry.key] = card
            self._backbone_group.addButton(card)
            row.add(card)
        self._backbone_group.buttonClicked.connect(self._on_backbone)
        return row

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

    def _on_backbone(self, button: QAbstractButton) -> None:
        key = next(key for key, card in self._backbones.items() if card is button)
        self.choose_backbone(key)

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
            key, self._wanted = self._wanted, None
            self.choose_backbone(key)
        config = self.session.config
        state = self._state_of(config.backbone.key)
        wanted = with_backbone(config, config.backbone.key, state)
        if state is not WeightsState.UNKNOWN and wanted != config:
            self.session.choose(wanted)
        self._refresh()

    def _state_of(self, key: str) -> WeightsState:
        card = backbone_card(key)
        is_embedded = card is not None and card.is_embedded
        return weights_state(self.session.device, key, is_embedded=is_embedded)

    def _refresh(self) -> None:
        config = self.session.config
        method, reason = recommended_method(self._n_train(), config.preset)
        self._reason.setText(self._reason_text(reason))
        for entry in BACKBONES:
            card = self._backbones[entry.key]
            card.setChecked(entry.key == config.backbone.key)
            card.set_badge(self.tr("Recommended") if entry.key == RECOMMENDED_BACKBONE else "")
            if (facts := self._facts(entry)) != self._shown_facts.get(entry.key):
                self._shown_facts[entry.key] = facts
                card.set_chips(facts)
        for key, card in self._methods.items():
            card.setChecked(key == config.method.key)
            card.set_badge(self.tr("Recommended") if key == method else "")
        self._describe_choice(config)
        if self._details is not None:
            self._details.set_config(config, _default_of(config))

    def _describe_choice(self, config: ExperimentConfig) -> None:
        entry, method = backbone_card(config.backbone.key), method_card(config.method.key)
        title = self.tr(entry.title) if entry else config.backbone.key
        how = self.tr(method.title) if method else config.method.key
        self.header.set_subtitle(f"{title} · {how}")
        if entry is not None:
            pretrained = self.tr("%s: pre-trained on %s.") % (title, self.tr(entry.pretrained_on))
            self._fact.setText(f"{pretrained} {entry.reference}.")
        is_scratch = config.backbone.weights == "scratch"
        self._warning.setVisible(is_scratch)
        if is_scratch:
            self._warning.set_backbone(title)

    def _facts(self, entry: BackboneCard) -> list[str]:
        locale = QLocale()
        size = locale.toString(entry.n_parameters / _MEGA, "f", 1)
        words = {
            WeightsState.EMBEDDED: self.tr("weights here: built in"),
            WeightsState.ADDED: self.tr("weights here: added"),
            WeightsState.MISSING: self.tr("weights missing: add a file"),
            WeightsState.UNKNOWN: self.tr("looking for weights…"),
        }
        return [
            words[self._state_of(entry.key)],
            self.tr("%s M parameters") % size,
            self.tr("%s px") % locale.toString(entry.input_px),
            self.tr(entry.pretrained_on.partition(",")[0]),
            entry.licence,
        ]

    def _reason_text(self, reason: Reason) -> str:
        images = images_text(self._n_train())
        texts = {
            Reason.FEW_IMAGES: self.tr(
                "Recommended: EfficientNet-Lite0 with a linear probe, because {0} to train on "
                "are too few to adapt a whole network."
            ),
            Reason.QUICK: self.tr(
                "Recommended: EfficientNet-Lite0 with a linear probe, because the Quick preset is "
                "chosen: a first answer in seconds. Full fine-tuning is the next step."
            ),
            Reason.MANY_IMAGES: self.tr(
                "Recommended: EfficientNet-Lite0 with full fine-tuning, because there are {0} to "
                "train on."
            ),
        }
        return texts[reason].format(images)

    def _n_train(self) -> int:
        snapshot = self.session.snapshot
        if snapshot.is_multi:
            return self._n_train_of(snapshot.learned)
        if snapshot.split is not None:
            return sum(snapshot.split.counts.get("train", {}).values())
        records = snapshot.records
        return sum(1 for r in records if r.class_id is not None and r.excluded is None)

    def _n_train_of(self, learned: ClassSummary | None) -> int:
        """Return of how many images to train on a finding is known; of all, until it is chosen."""
        snapshot = self.session.snapshot
        part = None if snapshot.split is None else "train"
        return sum(
            1
            for record in snapshot.records
            if record.excluded is None
            and (part is None or record.split == part)
            and (learned is None or record.findings.get(learned.id) is not None)
        )

    def _show_details(self, is_open: bool) -> None:
        if self._details is None:
            self._details = ModelDetails()
            self._details.config_edited.connect(self.session.choose)
            self._details.set_config(self.session.config, _default_of(self.session.config))
            self._column.insertWidget(self._column.count() - 1, self._details)
        self._details.setVisible(is_open)


class _ScratchWarning(QFrame):
    """Says what it means to start without weights."""

    def __init__(self) -> None:
        super().__init__()
        set_role(self, "message")
        self.setProperty("kind", "warning")
        self._text = QLabel()
        self._text.setWordWrap(True)
        self.add_requested = make_button(self.tr("Add weights…"))
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 8, 12, 8)
        row.setSpacing(12)
        row.addWidget(self._text, 1)
        row.addWidget(self.add_requested)

    def set_backbone(self, title: str) -> None:
        """Name the backbone."""
        text = self.tr(
            "{0} would be trained from scratch: its pre-trained weights are not on this computer, "
            "so it knows nothing yet and needs thousands of images. Add its weights file, or "
            "choose a backbone whose weights are here."
        ).format(title)
        self._text.setText(text)
        self.setAccessibleName(text)


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
