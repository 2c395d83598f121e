"""What is known of the chosen backbone, and which of its weights a run starts from."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QLocale, QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from engine.contract.backbones import UNKNOWN_LICENCE, BackboneCard, is_noncommercial
from engine.contract.config import BackboneConfig
from engine.contract.recommendation import PastTraining
from gui.dialogs.label_fields import Choice
from gui.itemmodels.run_words import method_name
from gui.measured_here import memory_text, speed_text
from gui.next_run import PRETRAINED, SCRATCH, AddedFile, WeightsState
from gui.theme import theme
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.chip import Chip
from gui.widgets.painting import set_role

__all__ = ["BackboneFacts"]

_N_COLUMNS: Final = 3
_MEGA: Final = 1e6
_COMBO_LETTERS: Final = 20
_COMBO_PX: Final = 420


class BackboneFacts(QFrame):
    """A card of the chosen backbone: facts, licence, and its weights.

    Signals:
        weights_chosen: What ``BackboneConfig.weights`` is to be.
    """

    weights_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        set_role(self, "card")
        self._title = QLabel()
        set_role(self._title, "heading")
        self._warning = Chip(self.tr("Non-commercial use only"), is_strong=True)
        self._weights = Choice(self.tr("Weights to start from"), n_letters=_COMBO_LETTERS)
        self._weights.setMaximumWidth(theme().px(_COMBO_PX))
        self._weights.currentIndexChanged.connect(self._on_weights)
        self._labels: dict[str, QLabel] = {}
        self._build()

    def show_backbone(
        self,
        card: BackboneCard,
        chosen: BackboneConfig,
        state: WeightsState,
        files: list[AddedFile],
        measured: PastTraining | None,
    ) -> None:
        """Show a backbone.

        Args:
            card: Its facts.
            chosen: The next run's settings.
            state: Where its default weights are.
            files: Its weights that were added, the default one first.
            measured: A training with it on this computer; None without any.
        """
        used = self._used(chosen, state, files)
        licence = card.licence if used is None else used.licence
        trained = self.tr(card.pretrained_on) if used is None else used.pretrained_on
        licence_name = self.tr("unknown") if licence == UNKNOWN_LICENCE else licence
        if chosen.weights == SCRATCH:
            trained = self.tr("nothing: its weights are random")
            licence, licence_name = "", self.tr("none: its weights are random")
        locale = QLocale()
        size = self.tr("%s px") % locale.toString(card.input_px)
        if card.size_step_px > 1:
            sides = self.tr("takes sides that are multiples of %s px")
            size = f"{size}; {sides % locale.toString(card.size_step_px)}"
        self._title.setText(self.tr(card.title))
        millions = locale.toString(card.n_parameters / _MEGA, "f", 1)
        self._show("parameters", self.tr("%s million") % millions)
        self._show("size", size)
        self._show("trained", trained)
        self._show("licence", licence_name)
        self._show("source", self._source(card, state, used))
        self._show("reference", card.reference)
        self._show_measured(measured)
        self._warning.setVisible(is_noncommercial(licence))
        self._list_weights(chosen, state, files)

    def _build(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(self._title)
        head.addWidget(self._warning)
        head.addStretch(1)
        label = QLabel(self.tr("Weights"))
        label.setBuddy(self._weights)
        set_role(label, "secondary")
        head.addWidget(label)
        head.addWidget(self._weights, 1000)
        names = {
            "parameters": self.tr("Parameters"),
            "size": self.tr("Image size it was made for"),
            "licence": self.tr("Licence of the weights"),
            "trained": self.tr("Pre-trained on"),
            "source": self.tr("Where the weights come from"),
            "reference": self.tr("Reference"),
            "speed": self.tr("Speed of training here"),
            "memory": self.tr("Memory of training here"),
            "measured": self.tr("Measured with"),
        }
        rows = [AdaptiveRow(spacing_px=24) for _ in range(0, len(names), _N_COLUMNS)]
        for place, (key, name) in enumerate(names.items()):
            rows[place // _N_COLUMNS].add(self._fact(key, name))
        column_layout = QVBoxLayout(self)
        column_layout.setContentsMargins(16, 12, 16, 14)
        column_layout.setSpacing(10)
        column_layout.addLayout(head)
        for row in rows:
            column_layout.addWidget(row)

    def _fact(self, key: str, name: str) -> QWidget:
        label, value = QLabel(name), QLabel()
        set_role(label, "small")
        value.setWordWrap(True)
        value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        value.setAccessibleName(name)
        self._labels[key] = value
        pair = QVBoxLayout()
        pair.setContentsMargins(0, 0, 0, 0)
        pair.setSpacing(1)
        pair.addWidget(label)
        pair.addWidget(value)
        pair.addStretch(1)
        widget = QWidget()
        widget.setLayout(pair)
        return widget

    def _show(self, key: str, text: str) -> None:
        self._labels[key].setText(text)

    def _show_measured(self, measured: PastTraining | None) -> None:
        if measured is None:
            self._show("speed", "–")
            self._show("memory", "–")
            self._show("measured", self.tr("no training with it on this computer yet"))
            return
        size = self.tr("%s px") % QLocale().toString(measured.size_px)
        self._show("speed", speed_text(measured.images_per_s))
        self._show("memory", memory_text(measured.memory_mb))
        self._show("measured", f"{method_name(measured.method)} · {size}")

    def _source(self, card: BackboneCard, state: WeightsState, used: AddedFile | None) -> str:
        if used is not None:
            return used.name
        if state is WeightsState.EMBEDDED:
            return self.tr("built in")
        return self.tr("a file from you; the library calls it {0} ({1})").format(
            card.official, card.library
        )

    def _used(
        self, chosen: BackboneConfig, state: WeightsState, files: list[AddedFile]
    ) -> AddedFile | None:
        if chosen.weights == PRETRAINED and state is WeightsState.ADDED:
            return next((file for file in files if not file.is_made), None)
        return next((file for file in files if file.choice == chosen.weights), None)

    def _list_weights(
        self, chosen: BackboneConfig, state: WeightsState, files: list[AddedFile]
    ) -> None:
        entries = []
        others = list(files)
        if state is WeightsState.EMBEDDED:
            entries.append((self.tr("Built in"), PRETRAINED))
        elif state is WeightsState.ADDED:
            first = next((file for file in others if not file.is_made), None)
            entries.append((first.name if first else self.tr("Added"), PRETRAINED))
            others = [file for file in others if file is not first]
        elif state is WeightsState.UNKNOWN:
            entries.append((self.tr("Pre-trained"), PRETRAINED))
        entries += [(f"{file.name}: {file.pretrained_on}", file.choice) for file in others]
        entries.append((self.tr("None: from scratch"), SCRATCH))
        with QSignalBlocker(self._weights):
            self._weights.clear()
            for text, value in entries:
                self._weights.addItem(text, value)
            self._weights.setCurrentIndex(self._weights.findData(chosen.weights))
        self._weights.setToolTip(self._weights.currentText())

    def _on_weights(self) -> None:
        if (value := self._weights.currentData()) is not None:
            self.weights_chosen.emit(str(value))
