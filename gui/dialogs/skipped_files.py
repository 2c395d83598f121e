"""Files that were left out, each with the reason; there may be a hundred thousand."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import (
    QAbstractTableModel,
    QCoreApplication,
    QIODevice,
    QLocale,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSaveFile,
    Qt,
    QThread,
    QTimer,
)
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from engine.contract.records import SkippedFile
from gui.theme import theme
from gui.widgets.buttons import make_button
from gui.widgets.chip import ChipButton
from gui.widgets.painting import repolish, set_role

__all__ = ["SkippedFilesDialog", "SkippedList"]

_Index = QModelIndex | QPersistentModelIndex
_NO_PARENT: Final = QModelIndex()
_KINDS: Final = ("unreadable", "not_image", "unmatched")
_ALL: Final = ""
_FOLDED_AT_ONCE: Final = 10_000
_FORMULA_STARTS: Final = ("=", "+", "-", "@")


class SkippedList(QWidget):
    """A table with a filter by kind and by text, and the way to a file."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows = _SkippedModel(self)
        self._chips = {kind: ChipButton(is_checkable=True) for kind in (_ALL, *_KINDS)}
        self._group = QButtonGroup(self)
        for kind, chip in self._chips.items():
            self._group.addButton(chip)
            chip.clicked.connect(partial(self._choose_kind, kind))
        self._text = QLineEdit()
        self._text.setPlaceholderText(self.tr("Filter by file or reason"))
        self._text.setAccessibleName(self._text.placeholderText())
        self._text.setClearButtonEnabled(True)
        self._text.textChanged.connect(self._rows.set_text)
        self._save = make_button(self.tr("Save as CSV…"), icon="save")
        self._save.clicked.connect(self._ask_path)
        self._writer: _Writer | None = None
        self._outcome = QLabel()
        self._outcome.setWordWrap(True)
        self._outcome.hide()
        self.table = _SkippedTable(self._rows)
        self._build()

    def set_files(self, files: Sequence[SkippedFile]) -> None:
        """Show these files, those of one kind together."""
        self._text.clear()
        self._rows.set_files(files)
        counts = {_ALL: len(files), **self._rows.counts}
        locale = QLocale()
        for kind, chip in self._chips.items():
            chip.setText(f"{_kind_name(kind)}  {locale.toString(counts[kind])}")
            chip.setAccessibleName(f"{_kind_name(kind)}: {locale.toString(counts[kind])}")
            chip.setVisible(counts[kind] > 0 and sum(map(bool, self._rows.counts.values())) > 1)
        self._choose_kind(_ALL)
        self._outcome.hide()

    @property
    def n_shown(self) -> int:
        """How many files pass the filters."""
        return self._rows.rowCount()

    def text(self) -> str:
        """Return what is shown as lines with a tab between file and reason."""
        return "\n".join(f"{file.path}\t{file.reason}" for file in self._rows.shown())

    def save_to(self, path: Path) -> None:
        """Write what is shown as a table, off the window's thread; says when it is there."""
        if self._writer is not None:
            return
        self._save.setEnabled(False)
        self._writer = _Writer(path, self._rows.shown(), self)
        self._writer.finished.connect(self._on_saved)
        self._writer.start()

    def _choose_kind(self, kind: str, _is_checked: bool = True) -> None:
        self._chips[kind].setChecked(True)
        self._rows.set_kind(kind)

    def _ask_path(self) -> None:
        dialog = QFileDialog(self, self.tr("Save the list"), self.tr("left out") + ".csv")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter(self.tr("Table (*.csv)"))
        dialog.setDefaultSuffix("csv")
        dialog.fileSelected.connect(self._on_path)
        # Not exec: the window stays usable.
        dialog.open()

    def _on_path(self, name: str) -> None:
        self.save_to(Path(name))

    def _on_saved(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        text = self.tr("Saved to %s. The list holds file names as they are.") % writer.path
        if writer.error:
            text = self.tr("The list could not be saved: %s. Choose another folder.")
            text = text % writer.error
        self._outcome.setText(text)
        self._outcome.setProperty("tone", "bad" if writer.error else "")
        set_role(self._outcome, "" if writer.error else "small")
        repolish(self._outcome)
        self._outcome.show()
        self._save.setEnabled(True)
        writer.deleteLater()

    def _build(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(8)
        for chip in self._chips.values():
            line.addWidget(chip)
        line.addStretch(1)
        line.addWidget(self._text, 3)
        line.addWidget(self._save)
        self._text.setMinimumWidth(theme().px(140))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(line)
        column.addWidget(self.table, 1)
        column.addWidget(self._outcome)


class SkippedFilesDialog(QDialog):
    """The list in a window of its own; it doesn't block the rest."""

    def __init__(self, files: Sequence[SkippedFile], *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Files left out"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(theme().px(860), theme().px(480))
        hint = QLabel(
            self.tr(
                "These files were not imported. The originals are untouched; mend or replace "
                "them and add the folder again."
            )
        )
        hint.setWordWrap(True)
        set_role(hint, "secondary")
        self._list = SkippedList()
        self._list.set_files(files)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        copy = buttons.addButton(self.tr("Copy the list"), QDialogButtonBox.ButtonRole.ActionRole)
        copy.clicked.connect(self._copy)
        buttons.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        column.addWidget(hint)
        column.addWidget(self._list, 1)
        column.addWidget(buttons)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._list.text())


class _SkippedTable(QTableView):
    def __init__(self, model: QAbstractTableModel) -> None:
        super().__init__()
        self.setModel(model)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        # Fixed: asking a hundred thousand rows for their height would take seconds.
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        head = self.horizontalHeader()
        head.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        head.setHighlightSections(False)
        # Qt insets the text of cells further than that of heads.
        head.setStyleSheet("QHeaderView::section { padding-left: 11px; padding-right: 11px; }")
        head.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        head.setSectionResizeMode(0, QHeaderView.ResizeMode.Fixed)
        self.setAccessibleName(self.tr("Files left out"))
        theme().changed.connect(self._fit)
        self._fit()

    def _fit(self) -> None:
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + theme().px(10))
        width = self.fontMetrics().horizontalAdvance
        widest = max(width(_kind_name(kind)) for kind in _KINDS)
        self.setColumnWidth(0, widest + theme().px(28))
        self.setMinimumHeight(theme().px(140))


class _SkippedModel(QAbstractTableModel):
    """Files in the order of their kinds; filters keep row numbers, not copies."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._files: list[SkippedFile] = []
        self._ranges: dict[str, range] = {}
        self._shown: Sequence[int] = range(0)
        self._kind, self._text = _ALL, ""
        self._paths: list[str] = []
        self._reasons: set[str] = set()
        self._clock = QTimer(self)
        self._clock.setInterval(0)
        self._clock.timeout.connect(self._fold_some)

    @property
    def counts(self) -> dict[str, int]:
        """How many files there are of each kind."""
        return {kind: len(self._ranges.get(kind, ())) for kind in _KINDS}

    def set_files(self, files: Sequence[SkippedFile]) -> None:
        self.beginResetModel()
        self._files, self._ranges = [], {}
        self._paths, self._reasons = [], set()
        self._clock.start()
        for kind in _KINDS:
            first = len(self._files)
            self._files += [file for file in files if file.kind == kind]
            self._ranges[kind] = range(first, len(self._files))
        self._shown = range(len(self._files))
        self._kind, self._text = _ALL, ""
        self.endResetModel()

    def set_kind(self, kind: str) -> None:
        if kind != self._kind:
            self._kind = kind
            self._filter()

    def set_text(self, text: str) -> None:
        if (wanted := text.strip().casefold()) != self._text:
            self._text = wanted
            self._filter()

    def shown(self) -> list[SkippedFile]:
        """Return the files that pass the filters."""
        return [self._files[place] for place in self._shown]

    def _filter(self) -> None:
        self.beginResetModel()
        places = self._ranges.get(self._kind, range(len(self._files)))
        self._shown = self._matching(places) if self._text else places
        self.endResetModel()

    def _matching(self, places: Sequence[int]) -> list[int]:
        """Return the files whose path or reason holds the text, in a few milliseconds."""
        files, text = self._files, self._text
        while len(self._paths) < len(files):
            self._fold_some()
        paths = self._paths
        hits = {reason for reason in self._reasons if text in reason.casefold()}
        if not hits:
            return [place for place in places if text in paths[place]]
        return [p for p in places if text in paths[p] or files[p].reason in hits]

    def _fold_some(self) -> None:
        """Prepare some files for the filter; all at once would hold the window up."""
        first = len(self._paths)
        files = self._files[first : first + _FOLDED_AT_ONCE]
        self._paths += [file.path.casefold() for file in files]
        self._reasons.update(file.reason for file in files)
        if len(self._paths) == len(self._files):
            self._clock.stop()

    def rowCount(self, parent: _Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: _Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else 3

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            file = self._files[self._shown[index.row()]]
            return (_kind_name(file.kind), file.path, file.reason)[index.column()]
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == 0:
            return theme().color("secondary")
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if role == Qt.ItemDataRole.DisplayRole and orientation is Qt.Orientation.Horizontal:
            return (self.tr("Kind"), self.tr("File"), self.tr("Why it was left out"))[section]
        return None


class _Writer(QThread):
    """Writes the list; a hundred thousand lines take longer than a window may stand still."""

    def __init__(self, path: Path, files: list[SkippedFile], parent: QObject) -> None:
        super().__init__(parent)
        self.path, self.error = path, ""
        self._files = files

    def run(self) -> None:
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("kind", "path", "reason"))
        writer.writerows((f.kind, _as_text(f.path), f.reason) for f in self._files)
        # The mark lets spreadsheets read accents and Chinese.
        data = out.getvalue().encode("utf-8-sig", errors="replace")
        file = QSaveFile(str(self.path))
        is_written = file.open(QIODevice.OpenModeFlag.WriteOnly) and file.write(data) == len(data)
        if not (is_written and file.commit()):
            self.error = file.errorString()


def _as_text(path: str) -> str:
    """Keep a spreadsheet from taking a file name for a formula."""
    return f"'{path}" if path.startswith(_FORMULA_STARTS) else path


def _kind_name(kind: str) -> str:
    names = {
        _ALL: _tr("All"),
        "unreadable": _tr("Unreadable"),
        "not_image": _tr("No image"),
        "unmatched": _tr("Not matched"),
    }
    return names.get(kind, kind)


def _tr(text: str) -> str:
    return QCoreApplication.translate("SkippedFiles", text)
