"""Parts of the import form: a titled field, a choice among columns, and a note."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QStringListModel, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import (
    QComboBox,
    QLabel,
    QListView,
    QStyle,
    QStyleOptionComboBox,
    QVBoxLayout,
    QWidget,
)

from gui.theme import theme
from gui.widgets.painting import set_role

__all__ = ["Choice", "Entries", "Field", "note_label"]

_INSET_PX: Final = 2
_Index = QModelIndex | QPersistentModelIndex


class Entries(QStringListModel):
    """Texts with what they stand for; a thousand columns cost little until they are shown.

    Qt asks for the number of rows a million times when the theme changes, so that is left to C++.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._data: tuple[str, ...] = ()
        self._row_of: dict[str, int] = {}

    def set_entries(self, entries: Sequence[tuple[str, str]]) -> None:
        """List these texts and their data, no two of which are equal."""
        self._data = tuple(data for _, data in entries)
        self._row_of = {data: row for row, data in enumerate(self._data)}
        self.setStringList([text for text, _ in entries])

    def row_of(self, data: object) -> int:
        """Return the row of an entry; -1 if there is none."""
        return self._row_of.get(data, -1) if isinstance(data, str) else -1

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a text, also as tooltip, or what it stands for."""
        if role == Qt.ItemDataRole.UserRole:
            return self._data[index.row()] if index.isValid() else None
        if role == Qt.ItemDataRole.ToolTipRole:
            role = Qt.ItemDataRole.DisplayRole
        return super().data(index, role)


class Choice(QComboBox):
    """A combo box that elides, has its whole text as tooltip, and lets the wheel scroll the page.

    Several may share their entries, so that a sheet of a thousand columns is listed once.
    """

    def __init__(self, name: str, *, n_letters: int = 8, entries: Entries | None = None) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(n_letters)
        view = self.view()
        view.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        if isinstance(view, QListView):
            # Else a change of the theme measures every entry of every box, for seconds.
            view.setUniformItemSizes(True)
        self._entries = entries
        if entries is not None:
            self.setModel(entries)
        self.currentTextChanged.connect(self.setToolTip)

    def choose(self, data: object) -> bool:
        """Select the entry with this data, without a signal; False, and no entry, if none has."""
        before = self.blockSignals(True)
        entries = self._entries
        index = self.findData(data) if entries is None else entries.row_of(data)
        self.setCurrentIndex(index)
        self.setToolTip(self.currentText())
        self.blockSignals(before)
        return index >= 0

    def initStyleOption(self, option: QStyleOptionComboBox) -> None:
        """Shorten the text in the middle, as names of columns often differ at their ends."""
        super().initStyleOption(option)
        part = QStyle.SubControl.SC_ComboBoxEditField
        style, kind = self.style(), QStyle.ComplexControl.CC_ComboBox
        room = style.subControlRect(kind, option, part, self).width() - 2 * _INSET_PX
        mode = Qt.TextElideMode.ElideMiddle
        option.currentText = self.fontMetrics().elidedText(option.currentText, mode, room)

    def showPopup(self) -> None:
        """Open the list, wide enough for most names."""
        self.view().setMinimumWidth(max(self.width(), theme().px(260)))
        super().showPopup()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Turn to another entry only while the box has the focus."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class Field(QWidget):
    """A small title above a widget; the title is its buddy and its accessible name."""

    def __init__(self, title: str, widget: QWidget) -> None:
        super().__init__()
        label = QLabel(title)
        set_role(label, "small")
        label.setBuddy(widget)
        if not widget.accessibleName():
            widget.setAccessibleName(title)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(label)
        column.addWidget(widget)
        column.addStretch(1)


def note_label(text: str = "") -> QLabel:
    """Return a small grey label that wraps; hidden while it is empty."""
    label = QLabel(text)
    label.setWordWrap(True)
    if not text:
        label.hide()
    set_role(label, "small")
    return label
