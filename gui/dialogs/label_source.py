"""Where the labels come from: class folders, or the columns of a sheet."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from engine.contract.import_rules import ColumnMapping, SheetFormat
from engine.contract.records import SourcePreview
from gui.dialogs.label_columns import ColumnForm
from gui.dialogs.label_fields import Choice, note_label
from gui.dialogs.label_format import FormatForm
from gui.dialogs.label_match import MatchLine, is_about_same_rows
from gui.dialogs.label_table import SheetTable
from gui.widgets.buttons import make_link
from gui.widgets.card import Card
from gui.widgets.class_bars import ClassBars, ClassCount
from gui.widgets.painting import repolish, set_role

__all__ = ["LabelSourceCard"]

_MAX_FOLDERS: Final = 12
_MAX_NAMED: Final = 6
_ID: Final = re.compile(r"[A-Za-z]{0,8}[-_ ]?\d{4,}([-_.]\d+)*")


class LabelSourceCard(Card):
    """Shows what a source looks like and lets the user say which column is what.

    Signals:
        sheet_chosen: Another sheet (absolute path); the source is to be looked at again.
        look_wanted: The sheet is to be read or matched otherwise; look at the source again.
        changed: Something else is chosen now.
    """

    sheet_chosen = Signal(str)
    look_wanted = Signal()
    changed = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Labels"), parent=parent)
        self._preview: SourcePreview | None = None
        self._sheet: str | None = None
        self._used_format = SheetFormat()
        self._by_sheet = QRadioButton(self.tr("Label sheet"))
        self._by_folders = QRadioButton(self.tr("Class folders"))
        self._ways = QButtonGroup(self)
        for button in (self._by_sheet, self._by_folders):
            self._ways.addButton(button)
            button.clicked.connect(self._on_way)
        self._sheets = Choice(self.tr("Label sheet"), n_letters=14)
        self._sheets.activated.connect(self._on_sheet_activated)
        self._sheet_title = QLabel(self.tr("Sheet"))
        set_role(self._sheet_title, "small")
        self._sentence = QLabel()
        self._sentence.setWordWrap(True)
        set_role(self._sentence, "secondary")
        self._error = QLabel()
        self._error.setWordWrap(True)
        self._error.setProperty("tone", "bad")
        self._error.hide()
        self._other = make_link(self.tr("Choose a label sheet…"), icon="table")
        self._other.clicked.connect(self._choose_sheet)
        self._bars = ClassBars()
        self._hint = QLabel()
        self._hint.setWordWrap(True)
        self._hint.setProperty("tone", "warning")
        self.columns = ColumnForm()
        self.columns.changed.connect(self._on_columns_changed)
        self._table = SheetTable()
        self._table.role_chosen.connect(self.columns.give)
        self.match = MatchLine()
        self.match.changed.connect(self._on_join_changed)
        self.format = FormatForm()
        self.format.changed.connect(self.look_wanted)
        self._notes = note_label()
        self._build()

    @property
    def has_preview(self) -> bool:
        """Whether a source is shown."""
        return self._preview is not None

    @property
    def uses_sheet(self) -> bool:
        """Whether a sheet is used, be it for the classes or for patients alone."""
        return self._sheet is not None and not self._by_folders.isChecked()

    @property
    def sheet(self) -> str | None:
        """Absolute path of the sheet in use, or None for class folders."""
        return self._sheet if self.uses_sheet else None

    @property
    def sheet_format(self) -> SheetFormat:
        """How the sheet is to be read."""
        return self.format.wanted

    @property
    def is_format_new(self) -> bool:
        """Whether the sheet shall be read otherwise than it was; its columns may be others then."""
        return self.format.wanted != self._used_format

    @property
    def labels_from(self) -> str:
        """Where the classes come from, as in ``Scan.labels_from``."""
        return "sheet" if self.uses_sheet and not self.columns.uses_folders else "folders"

    @property
    def mapping(self) -> ColumnMapping:
        """The columns chosen, and what rows are matched by."""
        if not self.uses_sheet:
            return ColumnMapping()
        return replace(self.columns.mapping, join=self.match.join)

    @property
    def problem(self) -> str:
        """What is missing before an import can work; empty if nothing is."""
        preview = self._preview
        if preview is None:
            return ""
        if self.uses_sheet:
            if not preview.columns:
                return self.tr("The sheet has no columns: look at its format, or choose another.")
            return self.columns.problem(self.match.join)
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

    def set_preview(self, preview: SourcePreview, sheet: str | None) -> None:
        """Show a source.

        What the user chose stays as long as it is the same sheet and the columns still exist.

        Args:
            preview: What was found.
            sheet: Absolute path of the sheet that the preview describes, or None.
        """
        is_same_sheet = self._preview is not None and sheet == self._sheet
        before = self._preview
        self._preview, self._sheet = preview, sheet
        self._error.hide()
        if not is_same_sheet:
            self._by_sheet.setChecked(sheet is not None)
            self._by_folders.setChecked(sheet is None)
            self.format.want(SheetFormat())
            self.match.forget()
        self._used_format = self.format.wanted
        self._fill_sheets(preview, sheet)
        self._fill_folders(preview)
        if sheet is not None:
            self.format.set_format(preview.format, preview.worksheets)
            self.columns.set_columns(
                preview.columns,
                preview.guess,
                has_folders=len(preview.class_folders) >= 2,
                keeps_choices=is_same_sheet,
            )
            is_same_table = is_same_sheet and before is not None and before.rows == preview.rows
            if not is_same_table or before.columns != preview.columns:  # type: ignore[union-attr]
                self._table.set_sheet(preview.columns, preview.rows)
            self._table.set_roles(self.columns.roles)
            self._notes.setText(self._notes_on(preview))
            self._notes.setVisible(bool(self._notes.text()))
            self._show_match()
        self._show_way()

    @property
    def is_answered(self) -> bool:
        """Whether the preview is about the columns that are chosen now."""
        if self._preview is None or not self.uses_sheet:
            return True
        guess, wanted = self._preview.guess, self.mapping
        has_labels = self.columns.uses_folders or (
            guess.labels == wanted.labels and (guess.label or "") == (wanted.label or "")
        )
        return has_labels and is_about_same_rows(guess, wanted)

    def start_over(self) -> None:
        """Forget the source, for another one."""
        self._preview = self._sheet = None
        self.format.want(SheetFormat())
        self.format.fold()
        self.columns.show_more(is_open=False)
        self.match.forget()

    def focus_missing(self) -> None:
        """Put the keyboard where something is missing."""
        if self.uses_sheet:
            self.columns.focus_missing()
        else:
            self._other.setFocus(Qt.FocusReason.OtherFocusReason)

    def show_looking(self) -> None:
        """Say that the source is looked at again."""
        self._error.hide()
        self.match.show_checking()

    def show_error(self, text: str) -> None:
        """Say why the last wish couldn't be met; what was shown before still holds."""
        self._error.setText(text)
        self._error.show()
        if self._preview is not None and self._sheet is not None:
            self.format.want(self._used_format)
            self.format.set_format(self._preview.format, self._preview.worksheets)
            self._sheets.choose(self._sheet)
            self._show_match()

    def _show_match(self) -> None:
        preview = self._preview
        if preview is not None and is_about_same_rows(preview.guess, self.mapping):
            self.match.show_preview(preview)
        else:
            self.match.show_nothing()

    def _notes_on(self, preview: SourcePreview) -> str:
        lines = list(preview.notes)
        if preview.numbers:
            text = self.tr("Kept for the audit, not for training: %s.")
            lines.append(text % _named(preview.numbers, self.tr("%d more")))
        if preview.withheld:
            text = self.tr("Not kept, as they look like identifiers or dates: %s.")
            lines.append(text % _named(preview.withheld, self.tr("%d more")))
        return "\n".join(lines)

    def _show_way(self) -> None:
        """Show the form that belongs to the chosen way."""
        preview = self._preview
        has_sheet = self._sheet is not None
        has_folders = preview is not None and len(preview.class_folders) >= 2
        is_open = has_sheet and has_folders
        self._by_sheet.setVisible(is_open)
        self._by_folders.setVisible(is_open)
        self._sheets.setVisible(has_sheet)
        self._sheets.setEnabled(self.uses_sheet)
        self._sheet_title.setVisible(has_sheet and not is_open)
        self._sheet_form.setVisible(self.uses_sheet)
        self._bars.setVisible(not self.uses_sheet)
        self._sentence.setVisible(not self.uses_sheet)
        self._hint.setVisible(not self.uses_sheet and bool(self._hint.text()))

    def _fill_folders(self, preview: SourcePreview) -> None:
        folders = sorted(preview.class_folders, key=lambda item: -item[1])
        shown = [ClassCount(name=name, n_images=n) for name, n in folders[:_MAX_FOLDERS]]
        self._bars.set_counts(shown)
        hints = [] if self._sheet is not None else list(preview.notes)
        if _look_like_ids([name for name, _ in folders]):
            hints.append(
                self.tr(
                    "These names look like numbers of patients or studies. If they aren't classes, "
                    "choose a label sheet."
                )
            )
        self._hint.setText("\n".join(hints))
        n_classes = len(folders)
        if n_classes < 2:
            one, none = self.tr("One folder per class: 1 class."), self.tr("No class folders.")
            self._sentence.setText(one if n_classes else none)
            return
        text = self.tr("One folder per class: %s classes.") % QLocale().toString(n_classes)
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
        self._sheets.choose(sheet)

    def _on_way(self) -> None:
        self._show_way()
        self.changed.emit()

    def _on_columns_changed(self) -> None:
        self._table.set_roles(self.columns.roles)
        self._show_match()
        self.changed.emit()
        self.look_wanted.emit()

    def _on_join_changed(self) -> None:
        if self.match.join == "patient_date":
            self.columns.show_more()
        self._on_columns_changed()

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
            self.tr("Label sheets (*.csv *.tsv *.txt *.xlsx *.xlsm);;All files (*)"),
        )
        if path:
            self.sheet_chosen.emit(path)

    def _build(self) -> None:
        self.add_action(self._other)
        way = QHBoxLayout()
        way.setSpacing(8)
        for widget in (self._by_sheet, self._sheet_title, self._sheets):
            way.addWidget(widget)
        way.addSpacing(8)
        way.addWidget(self._by_folders)
        way.addStretch(1)
        self._sheet_form = QWidget()
        form = QVBoxLayout(self._sheet_form)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(8)
        form.addWidget(self.columns)
        form.addWidget(self._table, 1)
        form.addWidget(self.match)
        form.addWidget(self._notes)
        form.addWidget(self.format)
        self.body.addLayout(way)
        self.body.addWidget(self._error)
        self.body.addWidget(self._sentence)
        self.body.addWidget(self._bars)
        self.body.addWidget(self._hint)
        self.body.addWidget(self._sheet_form, 1)
        self.body.addStretch(0)
        repolish(self._error)


def _look_like_ids(names: list[str]) -> bool:
    """Return whether most names are long numbers, perhaps with a few letters before them."""
    n_ids = sum(_ID.fullmatch(name) is not None for name in names)
    return n_ids * 2 > len(names)


def _named(names: tuple[str, ...], more: str) -> str:
    shown = list(names[:_MAX_NAMED])
    if len(names) > _MAX_NAMED:
        shown.append(more % (len(names) - _MAX_NAMED))
    return ", ".join(shown)
