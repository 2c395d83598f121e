"""The catalog of backbones as a table, and what of it is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from PySide6.QtCore import (
    QAbstractTableModel,
    QLocale,
    QModelIndex,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)

from engine.contract.backbones import (
    BACKBONES,
    UNKNOWN_LICENCE,
    BackboneCard,
    is_noncommercial,
)

__all__ = ["BackboneFilter", "BackboneTable"]

KEY_ROLE: Final = Qt.ItemDataRole.UserRole
SORT_ROLE: Final = Qt.ItemDataRole.UserRole + 1
NAME, FAMILY, PARAMETERS, SIZE, WEIGHTS, LICENCE = range(6)
_MEGA: Final = 1e6
_Index = QModelIndex | QPersistentModelIndex
_ROOT: Final = QModelIndex()


class BackboneTable(QAbstractTableModel):
    """One row a backbone.

    Args:
        words_of: Returns where a backbone's weights are, in words.
        licence_of: Returns the licence of its weights, ``unknown`` where nobody knows.
    """

    def __init__(self, words_of: Callable[[str], str], licence_of: Callable[[str], str]) -> None:
        super().__init__()
        self._words_of, self._licence_of = words_of, licence_of
        self._heads = (
            self.tr("Backbone"),
            self.tr("Family"),
            self.tr("Parameters"),
            self.tr("Made for"),
            self.tr("Weights"),
            self.tr("Licence"),
        )

    def rowCount(self, parent: _Index = _ROOT) -> int:
        """Return the number of backbones."""
        return 0 if parent.isValid() else len(BACKBONES)

    def columnCount(self, parent: _Index = _ROOT) -> int:
        """Return the number of facts."""
        return 0 if parent.isValid() else len(self._heads)

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> object:
        """Return what a column holds."""
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        if orientation is Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self._heads[section]
        return None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Return a fact, its key, or what it is sorted by."""
        card, column = BACKBONES[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(card, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.tr(card.advice) if column == NAME else self._text(card, column)
        if role == KEY_ROLE:
            return card.key
        if role == SORT_ROLE:
            numbers = {PARAMETERS: card.n_parameters, SIZE: card.input_px}
            return numbers.get(column, self._text(card, column))
        return None

    def weights_changed(self) -> None:
        """Show where the weights are now, and their licences."""
        last = self.index(len(BACKBONES) - 1, LICENCE)
        self.dataChanged.emit(self.index(0, WEIGHTS), last)

    def _text(self, card: BackboneCard, column: int) -> str:
        locale = QLocale()
        if column == NAME:
            return self.tr(card.title)
        if column == FAMILY:
            return self.tr(card.family)
        if column == PARAMETERS:
            return self.tr("%s M") % locale.toString(card.n_parameters / _MEGA, "f", 1)
        if column == SIZE:
            return self.tr("%s px") % locale.toString(card.input_px)
        if column == WEIGHTS:
            return self._words_of(card.key)
        licence = self._licence_of(card.key)
        if licence == UNKNOWN_LICENCE:
            return self.tr("unknown")
        return self.tr("%s, non-commercial") % licence if is_noncommercial(licence) else licence

    def allows_commerce(self, row: int) -> bool:
        """Return whether the weights of a row are known to allow commercial use."""
        licence = self._licence_of(BACKBONES[row].key)
        return licence != UNKNOWN_LICENCE and not is_noncommercial(licence)


class BackboneFilter(QSortFilterProxyModel):
    """The backbones that meet every wish."""

    def __init__(self, table: BackboneTable, has_weights: Callable[[str], bool]) -> None:
        super().__init__()
        self._table, self._has_weights = table, has_weights
        self._search = ""
        self._family = ""
        self._most_parameters = 0
        self._only_here = False
        self._only_free = False
        self.setSourceModel(table)
        self.setSortRole(SORT_ROLE)
        self.setSortCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)

    def set_wishes(
        self,
        *,
        search: str,
        family: str,
        most_parameters: int,
        only_here: bool,
        only_free: bool,
    ) -> None:
        """Show what meets these wishes.

        Args:
            search: Words that name, key, family or advice must hold.
            family: Family; empty for all.
            most_parameters: At most so many; 0 for any number.
            only_here: Whether its weights must be on this computer.
            only_free: Whether its weights must be known to allow commercial use.
        """
        self.beginFilterChange()
        self._search, self._family = search.casefold(), family
        self._most_parameters = most_parameters
        self._only_here, self._only_free = only_here, only_free
        self.endFilterChange()

    def filterAcceptsRow(self, source_row: int, source_parent: _Index) -> bool:
        """Return whether a backbone meets every wish."""
        card = BACKBONES[source_row]
        text = f"{card.title} {card.key} {card.family} {card.advice} {card.pretrained_on}"
        return (
            all(word in text.casefold() for word in self._search.split())
            and self._family in ("", card.family)
            and (self._most_parameters == 0 or card.n_parameters <= self._most_parameters)
            and (not self._only_here or self._has_weights(card.key))
            and (not self._only_free or self._table.allows_commerce(source_row))
        )

    def row_of(self, key: str) -> int:
        """Return the row of a backbone, or -1 if it isn't shown."""
        rows = (r for r in range(self.rowCount()) if self.index(r, 0).data(KEY_ROLE) == key)
        return next(rows, -1)
