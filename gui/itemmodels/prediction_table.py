"""What a bundle said about each file, as a table that sorts."""

from __future__ import annotations

from typing import Any, Final

from PySide6.QtCore import (
    QAbstractTableModel,
    QLocale,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPixmap
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from engine.contract.results import PredictionResult, PredictionRow
from gui.icons import icon
from gui.itemmodels.run_words import percent_text
from gui.theme import theme
from gui.widgets.painting import class_swatch, draw_bar, draw_elided

__all__ = ["PRESENT_ROLE", "SORT_ROLE", "PredictionDelegate", "PredictionTableModel"]

SORT_ROLE: Final = Qt.ItemDataRole.UserRole
PRESENT_ROLE: Final = Qt.ItemDataRole.UserRole + 1
"""Whether a finding counts as present; None for classes of which an image has one."""
_Index = QModelIndex | QPersistentModelIndex
_NO_PARENT: Final = QModelIndex()
_N_TEXTS: Final = 3
_UNUSUAL: Final = 0.95
_BAR_PX: Final = 6
_FAINT: Final = 110  # alpha of the bar of a finding that doesn't count as present


class PredictionTableModel(QAbstractTableModel):
    """File, patient, class, one probability per class, and how unusual the image is, if known.

    Of a classifier for findings the third column names those that are present.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[PredictionRow, ...] = ()
        self._classes: tuple[str, ...] = ()
        self._thresholds: tuple[float, ...] = ()
        self._tells_unusual = False

    def set_result(self, result: PredictionResult | None) -> None:
        """Show a result, or nothing."""
        self.beginResetModel()
        self._rows = result.rows if result is not None else ()
        self._classes = result.classes if result is not None else ()
        self._thresholds = result.thresholds if result is not None else ()
        self._tells_unusual = any(row.unusual is not None for row in self._rows)
        self.endResetModel()

    def rowCount(self, parent: _Index = _NO_PARENT) -> int:
        """Return the number of files."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: _Index = _NO_PARENT) -> int:
        """Return the number of columns."""
        if parent.isValid():
            return 0
        return _N_TEXTS + len(self._classes) + self._tells_unusual

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the name of a column."""
        if orientation is not Qt.Orientation.Horizontal:
            return None
        answer = self.tr("Findings") if self._thresholds else self.tr("Class")
        texts = (self.tr("File"), self.tr("Patient"), answer)
        heads = (*texts, *self._classes, self.tr("Unusual"))
        if role == Qt.ItemDataRole.DisplayRole and 0 <= section < len(heads):
            return heads[section]
        if role == Qt.ItemDataRole.ToolTipRole and section == self._unusual_column:
            return self.tr(
                "How many of the classifier's own validation images look more like those that it "
                "learned from; above 95 %, don't rely on the answer"
            )
        if role == Qt.ItemDataRole.ToolTipRole and section >= _N_TEXTS:
            return self._probability_tip(section - _N_TEXTS)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of a cell, or what it sorts by."""
        if not index.isValid() or not 0 <= index.row() < len(self._rows):
            return None
        row, column = self._rows[index.row()], index.column()
        if column == self._unusual_column:
            return self._unusual(row.unusual, role)
        if column >= _N_TEXTS:
            if role == PRESENT_ROLE:
                return row.findings[column - _N_TEXTS] if row.findings else None
            return self._probability(row.probabilities[column - _N_TEXTS], column, role)
        text = (self._place(row), row.patient, self._answer(row))[column]
        if role == Qt.ItemDataRole.DisplayRole:
            return text
        if role == SORT_ROLE:
            # Frames by number, not by the words that a locale writes it in.
            return f"{row.path.casefold()}\0{row.frame or 0:09}" if column == 0 else text.casefold()
        if role == Qt.ItemDataRole.ToolTipRole and column in (0, _N_TEXTS - 1):
            return text
        if role == Qt.ItemDataRole.DecorationRole and column == _N_TEXTS - 1:
            return self._swatch(row.label)
        return None

    def _answer(self, row: PredictionRow) -> str:
        if not row.findings:
            return row.label
        names = zip(self._classes, row.findings, strict=True)
        return ", ".join(name for name, is_there in names if is_there) or self.tr("none")

    def _probability_tip(self, place: int) -> str:
        text = self.tr("Probability of %s") % self._classes[place]
        if not self._thresholds:
            return text
        value = QLocale().toString(self._thresholds[place], "f", 2)
        return self.tr("{0}; it counts as present from {1} on").format(text, value)

    @property
    def _unusual_column(self) -> int:
        return _N_TEXTS + len(self._classes)

    def _unusual(self, share: float | None, role: int) -> Any:
        if role == SORT_ROLE:
            return -1.0 if share is None else share
        if role == Qt.ItemDataRole.DisplayRole:
            return "" if share is None else percent_text(share)
        if role == Qt.ItemDataRole.DecorationRole and share is not None and share > _UNUSUAL:
            return icon("warning", "warning")
        return None

    def _place(self, row: PredictionRow) -> str:
        if row.frame is None:
            return row.path
        return self.tr("{0} · frame {1}").format(row.path, QLocale().toString(row.frame + 1))

    def _probability(self, value: float, column: int, role: int) -> Any:
        if role == Qt.ItemDataRole.DisplayRole:
            return QLocale().toString(value, "f", 3)
        if role == SORT_ROLE:
            return value
        if role == Qt.ItemDataRole.AccessibleTextRole:
            text = QLocale().toString(value, "f", 3)
            return f"{self._classes[column - _N_TEXTS]}: {text}"
        if role == Qt.ItemDataRole.ToolTipRole and self._thresholds:
            return self._probability_tip(column - _N_TEXTS)
        return None

    def _swatch(self, label: str) -> QPixmap | None:
        if label not in self._classes:
            return None
        return class_swatch(theme().tokens.class_color(self._classes.index(label)))


class PredictionDelegate(QStyledItemDelegate):
    """Paints a probability as a number and a bar in the colour of its class."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        """Paint the cell."""
        look = theme()
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(option.rect, option.palette.highlight())
        is_present = index.data(PRESENT_ROLE)
        font = look.font("body", is_bold=bool(is_present))
        ink = look.color("secondary" if is_present is False else "text")
        rect = QRectF(option.rect).adjusted(8, 0, -8, 0)
        width = QFontMetrics(font).horizontalAdvance(QLocale().toString(0.0, "f", 3)) + 4
        number = QRectF(rect.left(), rect.top(), width, rect.height())
        draw_elided(painter, number, str(index.data()), font, ink)
        bar = QRectF(number.right() + 6, rect.center().y() - _BAR_PX / 2, 0, _BAR_PX)
        bar.setRight(rect.right())
        if bar.width() > 2 * _BAR_PX:
            fill = QColor(look.tokens.class_color(index.column() - _N_TEXTS))
            if is_present is False:
                fill.setAlpha(_FAINT)
            draw_bar(painter, bar, float(index.data(SORT_ROLE)), fill, look.color("chip"))
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        """Return room for the number and a short bar."""
        size = super().sizeHint(option, index)
        return QSize(size.width() + theme().px(72), size.height())
