"""Everyday degradations by severity, as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QCoreApplication, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor, QPainter, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem, QToolButton, QWidget

from engine.contract.results import AttackPoint, CorruptionPoint, Estimate
from gui.itemmodels.run_words import interval_text, number_text
from gui.panels.low_table import LowTable
from gui.theme import theme
from gui.widgets.card import Card
from gui.widgets.painting import set_role

__all__ = ["DegradationTable"]

_N_SEVERITIES: Final = 5
_GREATEST_LOSS: Final = 0.4  # that the darkest tint stands for
_STRONGEST_ALPHA: Final = 110
_TINT: Final = Qt.ItemDataRole.UserRole


class DegradationTable(Card):
    """AUROC, or the share called right, of each kind of degradation and severity.

    The more is lost, the stronger a cell is tinted.
    """

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Everyday degradations"), parent=parent)
        self._clean: AttackPoint | None = None
        self._points: tuple[CorruptionPoint, ...] = ()
        self._rows = QStandardItemModel(self)
        self._table = LowTable()
        self._table.setModel(self._rows)
        self._table.setItemDelegate(_Tinted(self._table))
        self._table.setAccessibleName(self.tr("Everyday degradations"))
        self._switch = QToolButton()
        self._switch.setText(self.tr("called right"))
        self._switch.setToolTip(
            self.tr("Show the share of images that is called right instead of the AUROC.")
        )
        self._switch.setCheckable(True)
        self._switch.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        set_role(self._switch, "plotToggle")
        self._switch.toggled.connect(self._show)
        self.add_action(self._switch)
        self.body.addWidget(self._table)
        self.body.addStretch(1)
        theme().changed.connect(self._show)

    @property
    def switch(self) -> QToolButton:
        """Chooses between AUROC and the share called right."""
        return self._switch

    def texts(self) -> list[list[str]]:
        """Return the cells as they are shown, row by row."""
        columns = range(self._rows.columnCount())
        return [
            [self._rows.item(row, column).text() for column in columns]
            for row in range(self._rows.rowCount())
        ]

    def set_points(self, clean: AttackPoint, points: Sequence[CorruptionPoint]) -> None:
        """Show these degradations beside the unchanged images."""
        self._clean, self._points = clean, tuple(points)
        self._show()

    def _show(self) -> None:
        if self._clean is None:
            return
        is_share = self._switch.isChecked()
        measure = self.tr("called right") if is_share else self.tr("AUROC")
        self.set_secondary(self.tr("{0}, from 1 slight to 5 severe").format(measure))
        self._rows.clear()
        heads = [self.tr("Degradation"), self.tr("none")]
        heads += [str(severity) for severity in range(1, _N_SEVERITIES + 1)]
        self._rows.setHorizontalHeaderLabels(heads)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        for column in range(len(heads)):
            self._rows.horizontalHeaderItem(column).setTextAlignment(right if column else left)
        before = self._clean.accuracy if is_share else self._clean.auroc
        for kind in dict.fromkeys(point.kind for point in self._points):
            items = [QStandardItem(_kind_name(kind)), _cell(before, before, "")]
            for point in sorted(self._points, key=lambda p: p.severity):
                if point.kind == kind:
                    value = point.accuracy if is_share else point.auroc
                    items.append(_cell(value, before, point.level))
            for item in items[1:]:
                item.setTextAlignment(right)
            self._rows.appendRow(items)
        self._table.fit_height()


def _cell(value: Estimate, before: Estimate, level: str) -> QStandardItem:
    item = QStandardItem(number_text(value.value, 2))
    interval = interval_text(value)
    parts = (level, _tr("95 % interval {0}").format(interval) if interval else "")
    item.setToolTip(" · ".join(part for part in parts if part))
    loss = before.value - value.value
    if math.isfinite(loss) and loss > 0:
        tint = theme().color("second")
        tint.setAlpha(round(_STRONGEST_ALPHA * min(1.0, loss / _GREATEST_LOSS)))
        item.setData(tint, _TINT)
    return item


class _Tinted(QStyledItemDelegate):
    """Paints a cell's tint below it; a style sheet hides the background of an item itself."""

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        tint = index.data(_TINT)
        if isinstance(tint, QColor):
            painter.fillRect(option.rect, tint)
        super().paint(painter, option, index)


def _kind_name(kind: str) -> str:
    names = {
        "noise": _tr("Noise"),
        "blur": _tr("Blur"),
        "resolution": _tr("Low resolution"),
        "contrast": _tr("Low contrast"),
        "exposure": _tr("Wrong exposure"),
        "jpeg": _tr("JPEG compression"),
        "rotation": _tr("Rotation"),
    }
    return names.get(kind, kind)


def _tr(text: str) -> str:
    return QCoreApplication.translate("DegradationTable", text)
