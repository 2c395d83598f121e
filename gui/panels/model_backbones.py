"""The backbones to choose from: a few on cards, all of them in a table with filters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from PySide6.QtCore import QItemSelection, QLocale, QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from engine.contract.backbones import BACKBONES, BackboneCard, is_noncommercial
from engine.contract.config import BackboneConfig
from gui.itemmodels.backbone_table import KEY_ROLE, NAME, BackboneFilter, BackboneTable
from gui.next_run import PRETRAINED, SCRATCH, WeightsState
from gui.panels.choice_chip import Choice, ChoiceChip
from gui.panels.low_table import LowTable
from gui.theme import theme
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.chip import ChipButton
from gui.widgets.choice_card import ChoiceCard
from gui.widgets.flow_layout import FlowLayout
from gui.widgets.fold import Fold
from gui.widgets.painting import set_role

__all__ = ["BackbonePicker"]

_MEGA: Final = 1e6
_SIZES: Final = (5, 10, 20)
"""Limits of the filter by parameters, in millions."""
_CARD_WIDTH_PX: Final = 240
_SEARCH_WIDTH_PX: Final = 220


class BackbonePicker(QWidget):
    """Cards of the few that are right for most, and a fold with the whole catalog.

    Args:
        state_of: Returns where the weights of a backbone are.
        licence_of: Returns the licence of those that a run would start from.
        speed_of: Returns how fast a backbone was trained here, in words; empty if unknown.

    Signals:
        chosen: Key of the backbone that was pressed.
    """

    chosen = Signal(str)

    def __init__(
        self,
        state_of: Callable[[str], WeightsState],
        licence_of: Callable[[str], str],
        speed_of: Callable[[str], str],
    ) -> None:
        super().__init__()
        self._state_of, self._licence_of, self._speed_of = state_of, licence_of, speed_of
        self._used = BackboneConfig()
        self._shown_facts: dict[str, list[str]] = {}
        self._key = ""
        self._cards: dict[str, ChoiceCard] = {}
        self._group = QButtonGroup(self)
        self._catalog = _Catalog(self._words_of, licence_of, self._has_weights)
        self._catalog.chosen.connect(self.chosen)
        n_backbones = QLocale().toString(len(BACKBONES))
        self._fold = Fold(self.tr("All %s backbones") % n_backbones, self._catalog)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(self._featured())
        column.addWidget(self._fold)
        column.addWidget(self._catalog)

    def set_chosen(self, key: str) -> None:
        """Mark the chosen backbone; the catalog opens for one that has no card."""
        for card_key, card in self._cards.items():
            card.setChecked(card_key == key)
        if key not in self._cards and key != self._key:
            self._fold.setChecked(True)
        self._key = key
        self._catalog.set_chosen(key)

    def set_recommended(self, key: str, why: str) -> None:
        """Mark the backbone that is recommended."""
        for card_key, card in self._cards.items():
            is_it = card_key == key
            card.set_badge(self.tr("Recommended") if is_it else "", why if is_it else "")

    def refresh(self, used: BackboneConfig) -> None:
        """Show where weights are now.

        Args:
            used: What the next run starts from.
        """
        self._used = used
        for entry in BACKBONES:
            if (card := self._cards.get(entry.key)) is None:
                continue
            if (facts := self._facts(entry)) != self._shown_facts.get(entry.key):
                self._shown_facts[entry.key] = facts
                card.set_chips(facts)
        self._catalog.weights_changed()

    def _featured(self) -> AdaptiveRow:
        row = AdaptiveRow()
        # One choice or none: the chosen one may have no card.
        self._group.setExclusive(False)
        for entry in (card for card in BACKBONES if card.is_featured):
            card = ChoiceCard(self.tr(entry.title), self.tr(entry.advice))
            card.setToolTip(self.tr("Pre-trained on %s") % self.tr(entry.pretrained_on))
            card.setMinimumWidth(_CARD_WIDTH_PX)
            self._cards[entry.key] = card
            self._group.addButton(card)
            row.add(card)
        self._group.buttonClicked.connect(self._on_card)
        return row

    def _on_card(self, button: QAbstractButton) -> None:
        key = next(key for key, card in self._cards.items() if card is button)
        button.setChecked(True)  # a second click doesn't take it off
        self.chosen.emit(key)

    def _facts(self, entry: BackboneCard) -> list[str]:
        locale = QLocale()
        size = locale.toString(entry.n_parameters / _MEGA, "f", 1)
        facts = [
            self._weights_chip(entry.key),
            self.tr("%s M parameters") % size,
            self.tr("%s px") % locale.toString(entry.input_px),
        ]
        if is_noncommercial(self._licence_of(entry.key)):
            facts.append(self.tr("non-commercial"))
        if speed := self._speed_of(entry.key):
            facts.append(self.tr("%s here") % speed)
        return facts

    def _weights_chip(self, key: str) -> str:
        """Return which weights a run would start from: of the chosen backbone, what was chosen."""
        if key == self._used.key and self._used.weights == SCRATCH:
            return self.tr("random weights")
        if key == self._used.key and self._used.weights != PRETRAINED:
            return self.tr("your own weights")
        return self.tr("weights %s") % self._words_of(key).partition(":")[0]

    def _words_of(self, key: str) -> str:
        return {
            WeightsState.EMBEDDED: self.tr("built in"),
            WeightsState.ADDED: self.tr("added"),
            WeightsState.MISSING: self.tr("missing: add a file"),
            WeightsState.UNKNOWN: self.tr("are looked for…"),
        }[self._state_of(key)]

    def _has_weights(self, key: str) -> bool:
        return self._state_of(key) in (WeightsState.EMBEDDED, WeightsState.ADDED)


class _Catalog(QWidget):
    """Every backbone, with a search and filters over the table."""

    chosen = Signal(str)

    def __init__(
        self,
        words_of: Callable[[str], str],
        licence_of: Callable[[str], str],
        has_weights: Callable[[str], bool],
    ) -> None:
        super().__init__()
        self._table = BackboneTable(words_of, licence_of)
        self._shown = BackboneFilter(self._table, has_weights)
        self._view = LowTable()
        self._view.setModel(self._shown)
        self._view.setSortingEnabled(True)
        self._view.setAccessibleName(self.tr("All backbones"))
        self._view.horizontalHeader().setSortIndicatorClearable(True)
        self._view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self._view.selectionModel().selectionChanged.connect(self._on_selection)
        self._nothing = QLabel(self.tr("No backbone meets all of these wishes."))
        set_role(self._nothing, "secondary")
        self._key = ""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self._filters())
        column.addWidget(self._view)
        column.addWidget(self._nothing)
        theme().changed.connect(self._fit_search)
        self._fit_search()
        self._apply()

    def set_chosen(self, key: str) -> None:
        """Mark a backbone."""
        self._key = key
        with QSignalBlocker(self._view.selectionModel()):
            row = self._shown.row_of(key)
            if row < 0:
                self._view.clearSelection()
            else:
                self._view.selectRow(row)
                self._view.scrollTo(self._shown.index(row, NAME))
        self._view.viewport().update()

    def weights_changed(self) -> None:
        """Show where weights are now."""
        self._table.weights_changed()
        self._apply()

    def _filters(self) -> QWidget:
        self._search = QLineEdit()
        self._search.setPlaceholderText(self.tr("Search"))
        self._search.setAccessibleName(self.tr("Search the backbones"))
        self._search.setClearButtonEnabled(True)
        self._search.textChanged.connect(self._apply)
        self._family = ChoiceChip(self.tr("Family"))
        families = list(dict.fromkeys(card.family for card in BACKBONES))
        every = Choice(self.tr("all"), "")
        self._family.set_choices([every, *(Choice(self.tr(f), f) for f in families)])
        self._size = ChoiceChip(self.tr("Parameters"))
        limits = [
            Choice(self.tr("up to %s M") % QLocale().toString(m), int(m * _MEGA)) for m in _SIZES
        ]
        self._size.set_choices([Choice(self.tr("any number"), 0), *limits])
        self._here = ChipButton(self.tr("Weights here"), is_checkable=True)
        self._free = ChipButton(self.tr("Commercial use allowed"), is_checkable=True)
        for chip in (self._family, self._size):
            chip.chosen.connect(self._apply)
        for button in (self._here, self._free):
            button.toggled.connect(self._apply)
        chips = QWidget()
        flow = FlowLayout(chips)
        for widget in (self._family, self._size, self._here, self._free):
            flow.addWidget(widget)
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self._search)
        row.addWidget(chips, 1, Qt.AlignmentFlag.AlignVCenter)
        filters = QWidget()
        filters.setLayout(row)
        return filters

    def _fit_search(self) -> None:
        self._search.setFixedWidth(theme().px(_SEARCH_WIDTH_PX))

    def _apply(self) -> None:
        with QSignalBlocker(self._view.selectionModel()):
            self._shown.set_wishes(
                search=self._search.text(),
                family=self._family.value or "",
                most_parameters=self._size.value or 0,
                only_here=self._here.isChecked(),
                only_free=self._free.isChecked(),
            )
        has_rows = self._shown.rowCount() > 0
        self._view.setVisible(has_rows)
        self._nothing.setVisible(not has_rows)
        self._view.fit_height()
        self.set_chosen(self._key)

    def _on_selection(self, selected: QItemSelection) -> None:
        rows = [index for index in selected.indexes() if index.column() == NAME]
        if rows and (key := str(rows[0].data(KEY_ROLE))) != self._key:
            self.chosen.emit(key)
