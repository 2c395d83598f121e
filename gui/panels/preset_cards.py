"""The choice of how long to train, with what it will cost."""

from __future__ import annotations

from PySide6.QtCore import QLocale, Signal
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QVBoxLayout, QWidget

from engine.contract.config import ExperimentConfig
from engine.contract.methods import PRESETS, PresetCard, advice_of, method_card
from engine.contract.recommendation import HEAD_ONLY, Choice, preset_advice
from gui.itemmodels.run_words import method_name, preset_name
from gui.next_run import with_preset
from gui.panels.train_estimate import estimate_text, run_seconds
from gui.session import Session
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.choice_card import ChoiceCard

__all__ = ["PresetCards"]


class PresetCards(QWidget):
    """Quick, Standard, Thorough; not for a method with which they don't differ.

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
            card = ChoiceCard(self.tr(preset.title))
            card.setMinimumWidth(220)
            self._cards[preset.key] = card
            self._group.addButton(card)
            row.add(card)
        self._group.buttonClicked.connect(self._on_clicked)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(row)
        self.setAccessibleName(self.tr("How long to train"))

    @property
    def has_choice(self) -> bool:
        """Whether they differ with the chosen method, or lead away from it."""
        return not _is_one_way(self._session.config.method.key)

    def card(self, preset: str) -> ChoiceCard:
        """Return the card of a preset."""
        return self._cards[preset]

    def refresh(self) -> None:
        """Show the chosen preset and estimates for the present images and machine."""
        chosen, advised = self._session.config, self._advised()
        for preset in PRESETS:
            card = self._cards[preset.key]
            is_it = preset.key == chosen.preset
            config = chosen if is_it else with_preset(chosen, preset.key)
            card.setChecked(is_it)
            card.set_description(self._description(preset, config))
            is_advised = advised is not None and advised.value == preset.key
            why = self.tr(advised.why) if advised is not None and is_advised else ""
            card.set_badge(self.tr("Recommended") if is_advised else "", why)
            if (facts := self._facts(config)) != self._shown_facts.get(preset.key):
                self._shown_facts[preset.key] = facts
                card.set_chips(facts)

    def advice_text(self) -> str:
        """Return how long to train with the chosen method, and why."""
        config, advised = self._session.config, self._advised()
        if _is_one_way(config.method.key):
            text = self.tr("%s makes no passes over the images, so every preset learns the same")
            text %= method_name(config.method.key)
            seconds = run_seconds(self._session, config)
            return f"{text}." if seconds is None else f"{text}: {estimate_text(config, seconds)}."
        if advised is None:
            return self.tr("How long to train?")
        found = self._session.advice.found
        is_own = found is not None and found.method.value == config.method.key
        text = self.tr("How long to train? Recommended: {0}. {1}")
        if not is_own:
            text = self.tr("How long to train? Recommended with {2}: {0}. {1}")
        preset, why = preset_name(str(advised.value)), self.tr(advised.why)
        return text.format(preset, why, method_name(config.method.key))

    def _advised(self) -> Choice | None:
        """Return the preset that is recommended with the chosen method; None while unknown."""
        advice, config = self._session.advice, self._session.config
        if advice.found is None or advice.facts is None:
            return None
        if advice.found.method.value == config.method.key:
            return advice.found.preset
        return preset_advice(advice.facts, config.method.key, config.backbone.key)

    def _description(self, preset: PresetCard, config: ExperimentConfig) -> str:
        """Return what is true of a preset with the method that it leads to."""
        n_passes = QLocale().toString(config.method.max_epochs)
        text = self.tr(advice_of(preset, config.method.key)).format(n_passes)
        if config.method.key == self._session.config.method.key:
            return text
        changes = self.tr("Changes the method to %s.") % method_name(config.method.key)
        return f"{changes} {text}"

    def _facts(self, config: ExperimentConfig) -> list[str]:
        facts = [method_name(config.method.key)]
        if (seconds := run_seconds(self._session, config)) is not None:
            facts.insert(0, estimate_text(config, seconds))
        return facts

    def _on_clicked(self, button: QAbstractButton) -> None:
        self.preset_chosen.emit(next(k for k, card in self._cards.items() if card is button))


def _is_one_way(method: str) -> bool:
    """Return whether all presets come to the same; with a linear probe others lead away from it."""
    card = method_card(method)
    return card is not None and not card.has_passes and method != HEAD_ONLY
