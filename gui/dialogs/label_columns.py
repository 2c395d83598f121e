"""Which column of a label sheet is what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Final

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHBoxLayout,
    QListView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from engine.contract.import_rules import ColumnMapping
from gui.dialogs.label_fields import Choice, Entries, Field, note_label
from gui.dialogs.label_roles import FINDING, MAIN_ROLES, MORE_ROLES, ROLES, role_name, role_word
from gui.theme import theme
from gui.widgets.fold import Fold

__all__ = ["ColumnForm"]

_SEVERAL: Final = "\0several"
_FOLDERS: Final = "\0folders"
_NONE: Final = ""
"""No column, and none is to be looked for; None leaves that to the engine."""
_MIN_FINDINGS: Final = 2
_PER_ROW: Final = 3
_CHECK_ROLE: Final = Qt.ItemDataRole.CheckStateRole
_Index = QModelIndex | QPersistentModelIndex
_NO_PARENT: Final = QModelIndex()


class ColumnForm(QWidget):
    """Image, class and patient at once, the rest behind a line; findings in several columns.

    A column has one role: giving it another takes the former away.

    Signals:
        changed: The user chose another column.
    """

    changed = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._chosen: dict[str, str | None] = dict.fromkeys(ROLES)
        self._columns: tuple[str, ...] = ()
        self._class_from = ""
        self._required, self._optional = Entries(self), Entries(self)
        self._class_choices = Entries(self)
        self._boxes = {role: self._box(role) for role in MAIN_ROLES}
        self._findings = _FindingList()
        self._findings.changed.connect(self._on_changed)
        self._findings.hide()
        self._more_fields = QWidget()
        self._more = Fold(self.tr("More columns…"), self._more_fields)
        self._more.toggled.connect(self._build_more)
        self._found = note_label()
        self._build()

    @property
    def mapping(self) -> ColumnMapping:
        """The columns chosen; an empty name where the user wants none."""
        by_role: dict[str, Any] = dict(self._chosen)
        if self._class_from == _SEVERAL:
            by_role["labels"] = self._findings.chosen
        return ColumnMapping(**by_role)

    @property
    def roles(self) -> dict[str, str]:
        """The role of each column that has one, by its name."""
        found = {column: role for role, column in self._chosen.items() if column}
        return found | dict.fromkeys(self.mapping.labels, FINDING)

    @property
    def uses_folders(self) -> bool:
        """Whether the classes come from the folders, and the sheet gives only the rest."""
        return self._class_from == _FOLDERS

    def problem(self, join: str) -> str:
        """Return what is missing before an import can work; empty if nothing is.

        Args:
            join: What rows are matched by, as in ``ColumnMapping.join``.
        """
        if join == "patient_date":
            if not (self._chosen["patient"] and self._chosen["date"]):
                return self.tr("Say which columns hold the patient and the date of the study.")
        elif not self._chosen["path"]:
            return self.tr("Say which column names the image file.")
        if self._class_from == _SEVERAL and len(self._findings.chosen) < _MIN_FINDINGS:
            return self.tr("Tick the columns that hold one finding each, at least two.")
        if not self._class_from and not self._chosen["label"]:
            return self.tr("Say which column holds the class.")
        return ""

    def set_columns(
        self,
        columns: Sequence[str],
        guess: ColumnMapping,
        *,
        has_folders: bool,
        keeps_choices: bool,
    ) -> None:
        """Offer the columns of a sheet.

        Args:
            columns: Their names.
            guess: What the engine found.
            has_folders: Whether class folders could give the class instead.
            keeps_choices: Whether the user's choices stay, as far as the columns still exist.
        """
        before, class_from = dict(self._chosen), self._class_from
        if tuple(columns) != self._columns or not keeps_choices:
            self._columns = tuple(columns)
            self._list_columns(has_folders=has_folders)
        for role in ROLES:
            kept = before[role] if keeps_choices else None
            if kept is None or (kept and kept not in self._columns):
                kept = getattr(guess, role)
            self._chosen[role] = kept
        labels = self._findings.chosen if keeps_choices and class_from == _SEVERAL else ()
        self._findings.set_chosen([n for n in labels if n in self._columns] or guess.labels)
        is_lost = (
            not self._findings.chosen
            if class_from == _SEVERAL
            else (not class_from and self._chosen["label"] is None)
        )
        if not keeps_choices or is_lost:
            class_from = self._guess_class(guess, has_folders=has_folders)
        self._class_from = class_from
        self._show()

    def give(self, column: str, role: str) -> None:
        """Give a column a role, or none."""
        if not role:
            for had, chosen in self._chosen.items():
                if chosen == column:
                    self._chosen[had] = _NONE
            self._findings.set_chosen([n for n in self._findings.chosen if n != column])
        else:
            self._take(role, column)
        self._show()
        self.changed.emit()

    def show_more(self, *, is_open: bool = True) -> None:
        """Open or close the further columns."""
        self._more.setChecked(is_open)

    def focus_missing(self) -> None:
        """Put the keyboard where something is missing."""
        role = "label" if self._chosen["path"] else "path"
        self._boxes[role].setFocus(Qt.FocusReason.OtherFocusReason)

    def _guess_class(self, guess: ColumnMapping, *, has_folders: bool) -> str:
        if guess.label:
            return ""
        if guess.labels:
            return _SEVERAL
        return _FOLDERS if has_folders else ""

    def _take(self, role: str, column: str) -> None:
        for other, chosen in self._chosen.items():
            if chosen == column and other != role:
                self._chosen[other] = _NONE
        self._chosen[role] = column
        self._findings.set_chosen([name for name in self._findings.chosen if name != column])
        if role == "label":
            self._class_from = ""

    def _on_chosen(self, role: str, _index: int) -> None:
        data = self._boxes[role].currentData()
        if role == "label" and data in (_SEVERAL, _FOLDERS):
            self._class_from, self._chosen["label"] = data, _NONE
        elif data:
            self._take(role, data)
        else:
            self._chosen[role] = _NONE
        self._show()
        self.changed.emit()

    def _on_changed(self) -> None:
        self.changed.emit()

    def _show(self) -> None:
        for role, box in self._boxes.items():
            wanted = self._class_from if role == "label" and self._class_from else None
            box.choose(wanted or self._chosen[role] or _NONE)
        is_several = self._class_from == _SEVERAL
        self._findings.setVisible(is_several)
        if is_several:
            self._findings.offer({n for n in self._chosen.values() if n})
        words = [role_word(role) for role in MORE_ROLES if self._chosen[role]]
        self._found.setText(self.tr("Also used: %s") % ", ".join(words) if words else "")
        self._found.setVisible(bool(words))

    def _list_columns(self, *, has_folders: bool) -> None:
        choose, none = self.tr("Choose…"), self.tr("None")
        last = [(self.tr("Several columns"), _SEVERAL)]
        if has_folders:
            last.append((self.tr("The class folders"), _FOLDERS))
        for choices, first, further in (
            (self._required, choose, []),
            (self._optional, none, []),
            (self._class_choices, choose, last),
        ):
            entries = [(first, _NONE), *further, *((name, name) for name in self._columns)]
            choices.set_entries(entries)
        self._findings.set_columns(self._columns)

    def _box(self, role: str) -> Choice:
        special = {"path": self._required, "label": self._class_choices}
        box = Choice(role_name(role), entries=special.get(role, self._optional))
        box.activated.connect(partial(self._on_chosen, role))
        return box

    def _build(self) -> None:
        main = QGridLayout()
        self._lay_out(main, MAIN_ROLES)
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self._more)
        line.addWidget(self._found, 1)
        line.addStretch(0)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(main)
        column.addWidget(self._findings)
        column.addLayout(line)
        column.addWidget(self._more_fields)

    def _build_more(self) -> None:
        """Make the further boxes when they are first wanted: few people need them."""
        if self._more_fields.layout() is None:
            self._boxes |= {role: self._box(role) for role in MORE_ROLES}
            self._lay_out(QGridLayout(self._more_fields), MORE_ROLES)
            chain = [self._more, *(self._boxes[role] for role in MORE_ROLES)]
            for before, after in pairwise(chain):
                QWidget.setTabOrder(before, after)
            self._show()

    def _lay_out(self, grid: QGridLayout, roles: Sequence[str]) -> None:
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(8)
        for place, role in enumerate(roles):
            field = Field(role_name(role), self._boxes[role])
            grid.addWidget(field, place // _PER_ROW, place % _PER_ROW)
        for column in range(_PER_ROW):
            grid.setColumnStretch(column, 1)


class _FindingList(QListView):
    """Columns to tick, side by side, with their whole name as tooltip."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._ticks = _TickModel(self)
        self._ticks.ticked.connect(self.changed)
        self.setModel(self._ticks)
        self.setAccessibleName(self.tr("Columns that hold one finding each"))
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setItemDelegate(_GridDelegate(self))
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        theme().changed.connect(self._fit)
        self._fit()

    @property
    def chosen(self) -> tuple[str, ...]:
        """The ticked columns, in the order of the sheet."""
        return self._ticks.chosen()

    def set_columns(self, columns: Sequence[str]) -> None:
        """Know these columns; none of them is ticked or offered."""
        self._ticks.set_columns(columns)

    def set_chosen(self, names: Iterable[str]) -> None:
        """Tick these columns alone, without a signal."""
        self._ticks.set_chosen(names)

    def offer(self, taken: set[str]) -> None:
        """List the columns that aren't something else already."""
        self._ticks.leave_out(taken)

    def tick(self, name: str, is_ticked: bool) -> None:
        """Tick or untick a column, as the user does."""
        self._ticks.tick(name, is_ticked)

    def _fit(self) -> None:
        line = self.fontMetrics().height() + theme().px(10)
        self.setGridSize(QSize(theme().px(196), line))
        self.setFixedHeight(3 * line + 4)


class _GridDelegate(QStyledItemDelegate):
    """Gives every entry the whole cell; Qt would take the first one's width for all."""

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        view = option.widget
        return view.gridSize() if isinstance(view, QListView) else super().sizeHint(option, index)


class _TickModel(QAbstractListModel):
    ticked = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._columns: tuple[str, ...] = ()
        self._offered: tuple[str, ...] = ()
        self._chosen: set[str] = set()

    def set_columns(self, columns: Sequence[str]) -> None:
        self.beginResetModel()
        self._columns, self._offered, self._chosen = tuple(columns), (), set()
        self.endResetModel()

    def leave_out(self, taken: set[str]) -> None:
        offered = [name for name in self._columns if name not in taken]
        if set(offered) != set(self._offered):
            self.beginResetModel()
            # What was found comes first: there may be hundreds of others.
            self._offered = tuple(sorted(offered, key=lambda name: name not in self._chosen))
            self.endResetModel()

    def chosen(self) -> tuple[str, ...]:
        return tuple(name for name in self._columns if name in self._chosen)

    def set_chosen(self, names: Iterable[str]) -> None:
        self._chosen = set(names).intersection(self._columns)
        if self._offered:
            last = len(self._offered) - 1
            self.dataChanged.emit(self.index(0), self.index(last), [_CHECK_ROLE])

    def tick(self, name: str, is_ticked: bool) -> None:
        self.set_chosen(self._chosen | {name} if is_ticked else self._chosen - {name})
        self.ticked.emit()

    def rowCount(self, parent: _Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(self._offered)

    def flags(self, index: _Index) -> Qt.ItemFlag:
        del index
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        name = self._offered[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return name
        if role == _CHECK_ROLE:
            return Qt.CheckState.Checked if name in self._chosen else Qt.CheckState.Unchecked
        return None

    def setData(self, index: _Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role != _CHECK_ROLE:
            return False
        is_ticked = Qt.CheckState(value) is Qt.CheckState.Checked
        self.tick(self._offered[index.row()], is_ticked)
        return True
