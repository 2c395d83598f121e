"""The choice of how long to train, with what it will cost."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QVBoxLayout, QWidget

from engine.contract.config import ExperimentConfig
from engine.contract.methods import PRESETS
from gui.itemmodels.run_words import method_name
from gui.next_run import with_preset
from gui.panels.train_estimate import estimate_text, run_seconds
from gui.session import Session
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.choice_card import ChoiceCard

__all__ = ["PresetCards"]


class PresetCards(QWidget):
    """Quick, Standard, Thorough.

    Signals:
        preset_chosen: The key of a preset.
    """

    preset_chosen = Signal(str)

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._cards: dict[str, ChoiceCard] = {}
        self._shown_facts: dict[str, list[str]] = {}
        self._group = QButtonGroup(self)
        row = AdaptiveRow()
        for preset in PRESETS:
            card = ChoiceCard(self.tr(preset.title), self.tr(preset.advice))
            card.setMinimumWidth(220)
            self._cards[preset.key] = card
            self._group.addButton(card)
            row.add(card)
        self._group.buttonClicked.connect(self._on_clicked)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(row)
        self.setAccessibleName(self.tr("How long to train"))

    def card(self, preset: str) -> ChoiceCard:
        """Return the card of a preset."""
        return self._cards[preset]

    def refresh(self) -> None:
        """Show the chosen preset and estimates for the present images and machine."""
        chosen, found = self._session.config, self._session.advice.found
        for key, card in self._cards.items():
            config = chosen if key == chosen.preset else with_preset(chosen, key)
            card.setChecked(key == chosen.preset)
            is_it = found is not None and found.preset.value == key
            why = self.tr(found.preset.why) if found is not None and is_it else ""
            card.set_badge(self.tr("Recommended") if is_it else "", why)
            if (facts := self._facts(config)) != self._shown_facts.get(key):
                self._shown_facts[key] = facts
                card.set_chips(facts)

    def _facts(self, config: ExperimentConfig) -> list[str]:
        facts = [method_name(config.method.key)]
        if (seconds := run_seconds(self._session, config)) is not None:
            facts.insert(0, estimate_text(config, seconds))
        return facts

    def _on_clicked(self, button: QAbstractButton) -> None:
        self.preset_chosen.emit(next(k for k, card in self._cards.items() if card is button))
