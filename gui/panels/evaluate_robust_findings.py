"""How each of several findings bears changed images: a row each, of which one is looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QCoreApplication, QItemSelectionModel, QLocale, QModelIndex, Qt, Signal
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QAbstractItemView, QWidget

from engine.contract.results import AttackPoint, CorruptionPoint, Estimate, RobustnessResult
from gui.itemmodels.run_words import interval_text, number_text
from gui.panels.low_table import RIGHT, LowTable, set_heads
from gui.theme import theme
from gui.widgets.card import Card
from gui.widgets.painting import class_swatch

__all__ = ["RobustFindings"]

_SHOWN_255: Final = 2.0
_SHOWN_SEVERITY: Final = 3


class RobustFindings(Card):
    """The mean and the findings with their AUROC under changes; the figures show the chosen row.

    Signals:
        chosen: Place of a finding; -1 for the mean.
    """

    chosen = Signal(int)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Robustness by finding"), self.tr("AUROC"), parent=parent)
        self._result: RobustnessResult | None = None
        self._rows = QStandardItemModel(self)
        self._table = LowTable()
        self._table.setModel(self._rows)
        self._table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._table.setAccessibleName(self.tr("Findings; the chosen one is shown below"))
        self._table.selectionModel().currentRowChanged.connect(self._on_current)
        self.body.addWidget(self._table)
        theme().changed.connect(self._fill)

    @property
    def current(self) -> int:
        """Place of the chosen finding; -1 for the mean."""
        return max(self._table.currentIndex().row() - 1, -1)

    def texts(self) -> list[list[str]]:
        """Return the cells as they are shown, row by row."""
        columns = range(self._rows.columnCount())
        return [
            [self._rows.item(row, column).text() for column in columns]
            for row in range(self._rows.rowCount())
        ]

    def set_result(self, result: RobustnessResult) -> None:
        """Show the findings of a result, the mean chosen."""
        self._result = result
        self._fill()
        self.choose(-1)

    def choose(self, place: int) -> None:
        """Choose a finding, or the mean with -1."""
        index = self._rows.index(place + 1, 0)
        flags = QItemSelectionModel.SelectionFlag
        self._table.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)

    def _on_current(self, current: QModelIndex) -> None:
        if current.isValid():
            self.chosen.emit(self.current)

    def _fill(self) -> None:
        if self._result is None:
            return
        place = self.current
        selection = self._table.selectionModel()
        selection.blockSignals(True)
        self._rows.clear()
        set_heads(self._rows, self._heads())
        mean = QStandardItem(self.tr("Mean of all findings"))
        blank = (QStandardItem(""), QStandardItem(""))
        numbers = _numbers(self._result.attacks, self._result.corruptions)
        self._rows.appendRow([mean, *blank, *numbers])
        locale = QLocale()
        for k, found in enumerate(self._result.findings):
            name = QStandardItem(found.name)
            swatch = class_swatch(theme().tokens.class_color(k))
            name.setData(swatch, Qt.ItemDataRole.DecorationRole)
            counts = [QStandardItem(locale.toString(n)) for n in (found.n_present, found.n_absent)]
            for item in counts:
                item.setTextAlignment(RIGHT)
            self._rows.appendRow([name, *counts, *_numbers(found.attacks, found.corruptions)])
        self._table.fit_height()
        self.choose(place)
        selection.blockSignals(False)

    def _heads(self) -> tuple[tuple[str, str], ...]:
        return (
            (self.tr("Finding"), ""),
            (self.tr("Present"), self.tr("Measured images that show it")),
            (self.tr("Absent"), self.tr("Measured images that don't show it")),
            (self.tr("Unchanged"), self.tr("AUROC of the images as they are")),
            (
                self.tr("Worst case of 2"),
                self.tr(
                    "AUROC when every grey value may change by 2 of 255 steps, as badly as "
                    "possible for all findings of an image together"
                ),
            ),
            (
                self.tr("Degraded"),
                self.tr("Mean AUROC over all everyday degradations of medium severity"),
            ),
        )


def _numbers(
    attacks: Sequence[AttackPoint], corruptions: Sequence[CorruptionPoint]
) -> list[QStandardItem]:
    worst = min(attacks, key=lambda point: abs(point.epsilon_255 - _SHOWN_255))
    degraded = [c.auroc.value for c in corruptions if c.severity == _SHOWN_SEVERITY]
    known = [value for value in degraded if math.isfinite(value)]
    mean = sum(known) / len(known) if known else math.nan
    items = [_cell(attacks[0].auroc), _cell(worst.auroc), QStandardItem(number_text(mean, 2))]
    for item in items:
        item.setTextAlignment(RIGHT)
    return items


def _cell(value: Estimate) -> QStandardItem:
    item, interval = QStandardItem(number_text(value.value, 2)), interval_text(value)
    if interval:
        text = QCoreApplication.translate("RobustFindings", "95 % interval {0}")
        item.setToolTip(text.format(interval))
    return item
