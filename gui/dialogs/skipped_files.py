"""Files that were left out, each with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from engine.contract.records import SkippedFile
from gui.theme import theme
from gui.widgets.painting import set_role

__all__ = ["SkippedFilesDialog", "SkippedTable"]

_Index = QModelIndex | QPersistentModelIndex
_NO_PARENT: Final = QModelIndex()


class SkippedTable(QTableView):
    """A table of files and reasons; also of very many."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._files = _SkippedModel(self)
        self.setModel(self._files)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.setAccessibleName(self.tr("Files left out"))
        self.setMinimumHeight(theme().px(140))

    def set_files(self, files: Sequence[SkippedFile]) -> None:
        """Show these files."""
        self._files.set_files(files)

    def text(self) -> str:
        """Return the list as lines with a tab between file and reason."""
        return "\n".join(f"{file.path}\t{file.reason}" for file in self._files.files)


class SkippedFilesDialog(QDialog):
    """The list in a window of its own; it doesn't block the rest."""

    def __init__(self, files: Sequence[SkippedFile], *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Files left out"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(theme().px(820), theme().px(460))
        hint = QLabel(
            self.tr(
                "These files were not imported. The originals are untouched; mend or replace "
                "them and add the folder again."
            )
        )
        hint.setWordWrap(True)
        set_role(hint, "secondary")
        self._table = SkippedTable()
        self._table.set_files(files)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        copy = buttons.addButton(self.tr("Copy the list"), QDialogButtonBox.ButtonRole.ActionRole)
        copy.clicked.connect(self._copy)
        buttons.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        column.addWidget(hint)
        column.addWidget(self._table, 1)
        column.addWidget(buttons)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._table.text())


class _SkippedModel(QAbstractTableModel):
    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.files: tuple[SkippedFile, ...] = ()

    def set_files(self, files: Sequence[SkippedFile]) -> None:
        self.beginResetModel()
        self.files = tuple(files)
        self.endResetModel()

    def rowCount(self, parent: _Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(self.files)

    def columnCount(self, parent: _Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else 2

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            file = self.files[index.row()]
            return file.reason if index.column() else file.path
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if role == Qt.ItemDataRole.DisplayRole and orientation is Qt.Orientation.Horizontal:
            return (self.tr("File"), self.tr("Why it was left out"))[section]
        return None
