"""Where the labels come from: class folders, or the columns of a sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from engine.contract.records import ColumnMapping, SourcePreview
from gui.theme import theme
from gui.widgets.buttons import make_link
from gui.widgets.card import Card
from gui.widgets.class_bars import ClassBars, ClassCount
from gui.widgets.painting import set_role

__all__ = ["LabelSourceCard"]

_FIELDS: Final = ("path", "label", "patient", "split")
_MAX_FOLDERS: Final = 8


class LabelSourceCard(Card):
    """Shows what a source looks like and lets the user say which column is what.

    Signals:
        sheet_chosen: Another sheet (absolute path); the source is to be looked at again.
        changed: The mapping is different now.
    """

    sheet_chosen = Signal(str)
    changed = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Labels"), parent=parent)
        self._preview: SourcePreview | None = None
        self._sheet: str | None = None
        self._sentence = QLabel()
        self._sentence.setWordWrap(True)
        set_role(self._sentence, "secondary")
        self._bars = ClassBars()
        self._sheets = QComboBox()
        self._sheets.setAccessibleName(self.tr("Label sheet"))
        self._sheets.activated.connect(self._on_sheet_activated)
        self._columns = {name: self._column_box(name) for name in _FIELDS}
        self._mapping = QWidget()
        self._build_mapping()
        self._table = QTableWidget()
        self._table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self._table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self._table.setAccessibleName(self.tr("First rows of the sheet"))
        self._table.setShowGrid(False)
        theme().changed.connect(self._fit_columns)
        self._table.setWordWrap(False)
        self._table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self._table.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        self._table.horizontalHeader().setHighlightSections(False)
        self._table.verticalHeader().hide()
        self._table.setMinimumHeight(theme().px(120))
        other = make_link(self.tr("Choose a label sheet…"), icon="table")
        other.clicked.connect(self._choose_sheet)
        self.add_action(other)
        self.body.addWidget(self._sentence)
        self.body.addWidget(self._bars)
        self.body.addWidget(self._mapping)
        self.body.addWidget(self._table, 1)
        self.body.addStretch(0)

    @property
    def has_preview(self) -> bool:
        """Whether a source is shown."""
        return self._preview is not None

    @property
    def sheet(self) -> str | None:
        """Absolute path of the sheet in use, or None for class folders."""
        return self._sheet

    @property
    def mapping(self) -> ColumnMapping:
        """The columns chosen."""
        values = {name: box.currentData() for name, box in self._columns.items()}
        return ColumnMapping(**values) if self._sheet is not None else ColumnMapping()

    @property
    def problem(self) -> str:
        """What is missing before an import can work; empty if nothing is."""
        preview = self._preview
        if preview is None:
            return ""
        if self._sheet is None:
            if len(preview.class_folders) >= 2:
                return ""
            if preview.class_folders:
                text = self.tr(
                    "There is one class only, '%s'; a classifier needs at least two. Choose the "
                    "folder that holds one folder per class, or a label sheet."
                )
                return text % preview.class_folders[0][0]
            return self.tr(
                "Nothing here says which class an image has. Choose a label sheet, or the folder "
                "that holds one folder per class."
            )
        if self._columns["path"].currentData() is None:
            return self.tr("Say which column names the image file.")
        if self._columns["label"].currentData() is None:
            return self.tr("Say which column holds the class.")
        return ""

    def set_preview(self, preview: SourcePreview, sheet: str | None) -> None:
        """Show a source.

        Args:
            preview: What was found.
            sheet: Absolute path of the sheet that the preview describes, or None.
        """
        self._preview, self._sheet = preview, sheet
        has_sheet = sheet is not None
        self._mapping.setVisible(has_sheet)
        self._table.setVisible(has_sheet)
        self._bars.setVisible(not has_sheet)
        self._fill_sheets(preview, sheet)
        if has_sheet:
            self._fill_columns(preview)
            self._fill_table(preview)
            self._sentence.setText(
                self.tr("The sheet says which class each image has. Check the columns.")
            )
        else:
            self._fill_bars(preview)

    def _fill_bars(self, preview: SourcePreview) -> None:
        folders = sorted(preview.class_folders, key=lambda item: -item[1])
        shown = [ClassCount(name=name, n_images=n) for name, n in folders[:_MAX_FOLDERS]]
        self._bars.set_counts(shown)
        n_classes = len(folders)
        if n_classes < 2:
            one, none = self.tr("One folder per class: 1 class."), self.tr("No class folders.")
            self._sentence.setText(one if n_classes else none)
            return
        text = self.tr("One folder per class: %d classes.") % n_classes
        if n_classes > _MAX_FOLDERS:
            text += " " + self.tr("The largest are shown.")
        self._sentence.setText(text)

    def _fill_sheets(self, preview: SourcePreview, sheet: str | None) -> None:
        self._sheets.clear()
        root = Path(preview.source)
        root = root if root.is_dir() else root.parent
        known = [str(root / name) for name in preview.tables]
        for path in known:
            self._sheets.addItem(Path(path).name, path)
        if sheet is not None and sheet not in known:
            self._sheets.addItem(Path(sheet).name, sheet)
        self._sheets.setCurrentIndex(self._sheets.findData(sheet))

    def _fill_columns(self, preview: SourcePreview) -> None:
        for name, box in self._columns.items():
            box.blockSignals(True)
            box.clear()
            box.addItem(self.tr("None") if name in ("patient", "split") else self.tr("Choose…"))
            for column in preview.columns:
                box.addItem(column, column)
            found = box.findData(getattr(preview.guess, name))
            box.setCurrentIndex(max(0, found))
            box.blockSignals(False)

    def _fill_table(self, preview: SourcePreview) -> None:
        table = self._table
        table.clear()
        table.setColumnCount(len(preview.columns))
        table.setHorizontalHeaderLabels(list(preview.columns))
        table.setRowCount(len(preview.rows))
        for row, cells in enumerate(preview.rows):
            for column, text in enumerate(cells[: len(preview.columns)]):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                table.setItem(row, column, item)
        self._fit_columns()

    def _fit_columns(self) -> None:
        table, widest = self._table, theme().px(220)
        table.resizeColumnsToContents()
        for column in range(table.columnCount()):
            table.setColumnWidth(column, min(table.columnWidth(column) + 8, widest))

    def _build_mapping(self) -> None:
        titles = {
            "path": self.tr("Image file"),
            "label": self.tr("Class"),
            "patient": self.tr("Patient"),
            "split": self.tr("Split (training, test…)"),
        }
        grid = QGridLayout(self._mapping)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(4)
        sheet = QLabel(self.tr("Sheet"))
        set_role(sheet, "small")
        sheet.setBuddy(self._sheets)
        grid.addWidget(sheet, 0, 0)
        grid.addWidget(self._sheets, 1, 0)
        for place, name in enumerate(_FIELDS, start=1):
            label = QLabel(titles[name])
            set_role(label, "small")
            label.setBuddy(self._columns[name])
            self._columns[name].setAccessibleName(titles[name])
            row, column = (0, place) if place < 3 else (2, place - 3)
            grid.addWidget(label, row, column)
            grid.addWidget(self._columns[name], row + 1, column)
        for column in range(3):
            grid.setColumnStretch(column, 1)

    def _column_box(self, name: str) -> QComboBox:
        box = QComboBox()
        box.setObjectName(name)
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(8)
        box.currentIndexChanged.connect(self._on_column_changed)
        return box

    def _on_column_changed(self) -> None:
        self.changed.emit()

    def _on_sheet_activated(self, index: int) -> None:
        path = self._sheets.itemData(index)
        if isinstance(path, str) and path != self._sheet:
            self.sheet_chosen.emit(path)

    def _choose_sheet(self) -> None:
        start = "" if self._preview is None else self._preview.source
        path, _ = QFileDialog.getOpenFileName(
            self,
            self.tr("Choose a label sheet"),
            start,
            self.tr("Label sheets (*.csv *.tsv *.txt *.xlsx);;All files (*)"),
        )
        if path:
            self.sheet_chosen.emit(path)
