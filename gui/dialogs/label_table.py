"""The first rows of a label sheet, with what each column is above its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QAction, QColor, QContextMenuEvent, QFontMetrics, QMouseEvent, QPainter
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableView, QWidget

from gui.dialogs.label_roles import FINDING, ROLES, role_name, role_word
from gui.theme import theme
from gui.tokens import mix
from gui.widgets.painting import draw_elided

__all__ = ["SheetTable"]

_Index = QModelIndex | QPersistentModelIndex
_NO_PARENT: Final = QModelIndex()
_CHIP_TEXT: Final = Qt.ItemDataRole.UserRole
_PADDING_PX: Final = 8
_INSET_PX: Final = 11
"""Of a cell's text; Qt adds three to the padding of the style sheet."""
_LEAST_WIDTH_PX: Final = 120
_MEASURED_ROWS: Final = 8
_MEASURED_COLUMNS: Final = 100


class SheetTable(QTableView):
    """Rows as they are in the sheet; columns that mean something come first, the rest in grey.

    Signals:
        role_chosen: A column and the role (a field of ``ColumnMapping``) that the user gave it by
            its head; an empty role takes away the one it had.
    """

    role_chosen = Signal(str, str)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sheet = _SheetModel(self)
        self._head = _RoleHead(self)
        self._head.clicked_at.connect(self._offer_roles)
        self.setModel(self._sheet)
        self.setHorizontalHeader(self._head)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setCornerWidget(QWidget())  # Qt's own is a light square
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.verticalHeader().hide()
        self.setAccessibleName(self.tr("First rows of the sheet"))
        theme().changed.connect(self._fit)

    def set_sheet(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a sheet, without roles yet."""
        self._sheet.set_sheet(columns, rows)
        self._fit()

    def set_roles(self, roles: Mapping[str, str]) -> None:
        """Say what columns are, by their names."""
        if self._sheet.set_roles(roles):
            self._fit()

    def role_of(self, column: str) -> str:
        """Return the role that is shown above a column; empty if it has none."""
        return self._sheet.roles.get(column, "")

    def _fit(self) -> None:
        metrics = self.fontMetrics()
        row = metrics.height() + theme().px(8)
        self.verticalHeader().setDefaultSectionSize(row)
        self.setMinimumHeight(self._head.sizeHint().height() + 3 * row)
        low, high = theme().px(72), theme().px(200)
        for section in range(min(self._sheet.columnCount(), _MEASURED_COLUMNS)):
            widest = max(map(metrics.horizontalAdvance, self._sheet.texts(section)), default=0)
            room = max(widest, self._head.text_width(section)) + 2 * _INSET_PX + 4
            self.setColumnWidth(section, min(max(room, low), high))

    def _offer_roles(self, section: int, where: QPoint) -> None:
        column = self._sheet.column(section)
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for role in ROLES:
            action = menu.addAction(role_name(role))
            action.setData((column, role))
            action.setCheckable(True)
            action.setChecked(self.role_of(column) == role)
        menu.addSeparator()
        menu.addAction(self.tr("Not used")).setData((column, ""))
        menu.triggered.connect(self._on_role)
        menu.popup(where)

    def _on_role(self, action: QAction) -> None:
        column, role = action.data()
        self.role_chosen.emit(column, role)


class _SheetModel(QAbstractTableModel):
    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._columns: tuple[str, ...] = ()
        self._rows: tuple[tuple[str, ...], ...] = ()
        self._order: tuple[int, ...] = ()
        self.roles: dict[str, str] = {}

    def set_sheet(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.beginResetModel()
        self._columns = tuple(columns)
        width = len(self._columns)
        self._rows = tuple(tuple(row[:width]) + ("",) * (width - len(row)) for row in rows)
        self.roles = {}
        self._order = tuple(range(width))
        self.endResetModel()

    def set_roles(self, roles: Mapping[str, str]) -> bool:
        known = {column: role for column, role in roles.items() if column in self._columns}
        if known == self.roles:
            return False
        self.beginResetModel()
        self.roles = known
        places = {role: place for place, role in enumerate((*ROLES[:2], FINDING, *ROLES[2:]))}

        def place(position: int) -> tuple[int, int]:
            return places.get(known.get(self._columns[position], ""), len(places)), position

        self._order = tuple(sorted(range(len(self._columns)), key=place))
        self.endResetModel()
        return True

    def column(self, section: int) -> str:
        return self._columns[self._order[section]]

    def texts(self, section: int) -> list[str]:
        return [row[self._order[section]] for row in self._rows[:_MEASURED_ROWS]]

    def rowCount(self, parent: _Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: _Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self._rows[index.row()][self._order[index.column()]]
        if role == Qt.ItemDataRole.ForegroundRole and self.column(index.column()) not in self.roles:
            return theme().color("secondary")
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation is not Qt.Orientation.Horizontal or section >= len(self._order):
            return None
        name = self.column(section)
        kind = self.roles.get(name)
        if role == Qt.ItemDataRole.DisplayRole:
            return name
        if role == _CHIP_TEXT:
            return role_word(kind) if kind else ""
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{role_word(kind)}: {name}" if kind else self.tr("Not used: %s") % name
        return None


class _RoleHead(QHeaderView):
    """Paints the role of a column as a chip, and its name below."""

    clicked_at = Signal(int, QPoint)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setHighlightSections(False)
        self.setStretchLastSection(True)
        self.setMouseTracking(True)

    def text_width(self, section: int) -> int:
        """Return the width of the wider of the two lines, in pixels."""
        chip, name = self._texts(section)
        metrics = QFontMetrics(theme().font("secondary"))
        return max(self._chip_width(chip), metrics.horizontalAdvance(name))

    def sizeHint(self) -> QSize:
        line = QFontMetrics(theme().font("secondary")).height()
        # Qt's own would measure many columns.
        return QSize(theme().px(_LEAST_WIDTH_PX), 2 * line + 4 + 18)

    def paintSection(self, painter: QPainter, rect: QRect, section: int) -> None:
        look = theme()
        chip, name = self._texts(section)
        font = look.font("secondary")
        line = QFontMetrics(font).height()
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(rect, look.color("panel"))
        painter.fillRect(rect.left(), rect.bottom(), rect.width(), 1, look.color("line"))
        left, room = rect.left() + _INSET_PX, rect.width() - 2 * _INSET_PX
        if chip:
            width = self._chip_width(chip)
            frame = QRectF(left - 3, rect.top() + 5, min(width, room + 6), line + 4)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(mix(look.tokens.panel, look.tokens.accent, 0.22)))
            painter.drawRoundedRect(frame, frame.height() / 2, frame.height() / 2)
            inside = frame.adjusted(_PADDING_PX, 0, -_PADDING_PX, 0)
            draw_elided(painter, inside, chip, font, look.color("text"))
        below = QRectF(left, rect.top() + line + 11, room, line)
        draw_elided(painter, below, name, font, look.color("text" if chip else "secondary"))
        painter.restore()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        is_resizing = self.cursor().shape() is Qt.CursorShape.SplitHCursor
        super().mouseReleaseEvent(event)
        section = self.logicalIndexAt(event.position().toPoint())
        if event.button() is Qt.MouseButton.LeftButton and section >= 0 and not is_resizing:
            self.clicked_at.emit(section, event.globalPosition().toPoint())

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        section = self.logicalIndexAt(event.pos())
        if section >= 0:
            self.clicked_at.emit(section, event.globalPos())

    def _chip_width(self, chip: str) -> int:
        # Two more, as an advance is rounded and a text that is wider by a fraction elides.
        metrics = QFontMetrics(theme().font("secondary"))
        return metrics.horizontalAdvance(chip) + 2 * _PADDING_PX + 2 if chip else 0

    def _texts(self, section: int) -> tuple[str, str]:
        model = self.model()
        chip = model.headerData(section, self.orientation(), _CHIP_TEXT)
        name = model.headerData(section, self.orientation(), Qt.ItemDataRole.DisplayRole)
        return str(chip or ""), str(name or "")
