"""How a label sheet is written: what was found, and a way to say it better."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from engine.contract.import_rules import SheetFormat
from gui.dialogs.label_fields import Choice, Field, note_label
from gui.widgets.buttons import make_link
from gui.widgets.fold import Fold
from gui.widgets.number_input import NumberInput

__all__ = ["FormatForm"]

_MAX_HEADER_ROW: Final = 200


class FormatForm(QWidget):
    """Separator, encoding, worksheet and header row, behind a line that says what they are.

    Signals:
        changed: The user wants the sheet read otherwise.
    """

    changed = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._wanted = SheetFormat()
        self._separator = Choice(self.tr("Between the cells"))
        for text, separator in (
            (self.tr("Comma"), ","),
            (self.tr("Semicolon"), ";"),
            (self.tr("Tab"), "\t"),
            (self.tr("Bar |"), "|"),
        ):
            self._separator.addItem(text, separator)
        self._encoding = Choice(self.tr("Characters"))
        for text, encoding in (
            ("UTF-8", "utf-8"),
            ("UTF-16", "utf-16"),
            ("GB18030", "gb18030"),
            ("Big5", "big5"),
            ("Shift JIS", "cp932"),
            ("EUC-KR", "euc_kr"),
            ("Windows-1252", "cp1252"),
            ("Windows-1251", "cp1251"),
        ):
            self._encoding.addItem(text, encoding)
        self._worksheet = Choice(self.tr("Worksheet"))
        self._header_row = NumberInput(0, _MAX_HEADER_ROW, 1)
        self._header_row.setSpecialValueText(self.tr("No names"))
        self._header_row.setKeyboardTracking(False)
        self._body = QWidget()
        self._fold = Fold(self.tr("Format…"), self._body)
        self._summary = note_label()
        self._again = make_link(self.tr("Find out again"))
        self._connect()
        self._build()

    @property
    def wanted(self) -> SheetFormat:
        """What the user asked for; None where that is left to the engine."""
        return self._wanted

    def want(self, wanted: SheetFormat) -> None:
        """Ask for this from now on: nothing, for another sheet, or what worked last."""
        self._wanted = wanted

    def fold(self) -> None:
        """Show the line alone."""
        self._fold.setChecked(False)

    def set_format(self, found: SheetFormat, worksheets: tuple[str, ...]) -> None:
        """Show how a sheet was read."""
        is_workbook = bool(worksheets)
        self._fields["separator"].setVisible(not is_workbook)
        self._fields["encoding"].setVisible(not is_workbook)
        self._fields["worksheet"].setVisible(is_workbook)
        _choose(self._separator, found.separator)
        _choose(self._encoding, _codec(found.encoding))
        if [self._worksheet.itemText(i) for i in range(self._worksheet.count())] != [*worksheets]:
            self._worksheet.clear()
            for name in worksheets:
                self._worksheet.addItem(name, name)
        self._worksheet.choose(found.worksheet)
        header_row = 1 if found.header_row is None else found.header_row
        self._header_row.blockSignals(True)
        self._header_row.setValue(header_row)
        self._header_row.blockSignals(False)
        self._again.setVisible(self._wanted != SheetFormat())
        self._summary.setText(self._sentence(header_row, is_workbook=is_workbook))
        self._summary.show()

    def _sentence(self, header_row: int, *, is_workbook: bool) -> str:
        if is_workbook:
            parts = [self.tr("Worksheet %s") % self._worksheet.currentText()]
        else:
            boxes = (self._separator, self._encoding)
            parts = [box.currentText() for box in boxes if box.currentText()]
        named = self.tr("column names in row %d") % header_row
        return " · ".join([*parts, named if header_row else self.tr("no column names")])

    def _on_separator(self) -> None:
        self._change(separator=self._separator.currentData())

    def _on_encoding(self) -> None:
        self._change(encoding=self._encoding.currentData())

    def _on_worksheet(self) -> None:
        # Another worksheet may have its names elsewhere.
        self._wanted = replace(self._wanted, header_row=None)
        self._change(worksheet=self._worksheet.currentData())

    def _on_header_row(self, row: int) -> None:
        self._change(header_row=row)

    def _on_again(self) -> None:
        self.want(SheetFormat())
        self.changed.emit()

    def _change(self, **changes: str | int | None) -> None:
        self._wanted = replace(self._wanted, **changes)  # type: ignore[arg-type]
        self.changed.emit()

    def _connect(self) -> None:
        self._separator.activated.connect(self._on_separator)
        self._encoding.activated.connect(self._on_encoding)
        self._worksheet.activated.connect(self._on_worksheet)
        self._header_row.valueChanged.connect(self._on_header_row)
        self._again.clicked.connect(self._on_again)

    def _build(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self._fold)
        line.addWidget(self._summary, 1)
        line.addWidget(self._again)
        self._fields = {
            "separator": Field(self.tr("Between the cells"), self._separator),
            "encoding": Field(self.tr("Characters"), self._encoding),
            "worksheet": Field(self.tr("Worksheet"), self._worksheet),
            "header_row": Field(self.tr("Row of the column names"), self._header_row),
        }
        row = QHBoxLayout(self._body)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(12)
        for field in self._fields.values():
            row.addWidget(field, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(line)
        column.addWidget(self._body)


def _choose(box: Choice, data: str | None) -> None:
    """Select an entry, added if it is none of the usual ones."""
    if not box.choose(data) and data:
        box.addItem(data, data)
        box.choose(data)


def _codec(name: str | None) -> str | None:
    """Return a codec's name as the list has it."""
    if name is None:
        return None
    key = name.casefold().replace("_", "-")
    if key.startswith("utf-8"):
        return "utf-8"
    if key.startswith("utf-16"):
        return "utf-16"
    return {"windows-1252": "cp1252", "shift-jis": "cp932", "gbk": "gb18030"}.get(key, name)
