"""Cells of Excel workbooks as the text that people see in them."""

from __future__ import annotations

import datetime
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, Final
from xml.etree import ElementTree

from engine.contract.errors import DatasetError
from engine.data.column_names import columns_by_role

_MAX_INFLATED_BYTES: Final = 2 << 30
_PEEKED_ROWS: Final = 30
_MAX_MERGES: Final = 100_000
_OLD_OFFICE: Final = b"\xd0\xcf\x11\xe0"
BOOK_ERRORS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    ElementTree.ParseError,
    EOFError,
    OSError,
    LookupError,
    ArithmeticError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,  # an encrypted part; and what zipfile has not implemented
)
"""What openpyxl raises on a damaged workbook; several of them are plain mistakes of its own."""


class Workbook:
    """An open workbook; a context manager."""

    def __init__(self, data: bytes) -> None:
        """Open a workbook from the bytes of its file.

        Raises:
            DatasetError: If it is of a kind that can't be read.
            Exception: One of :data:`BOOK_ERRORS`, if it is damaged.
        """
        import openpyxl

        _require_xlsx(data)
        self._file = io.BytesIO(data)
        self._book = openpyxl.load_workbook(self._file, read_only=True, data_only=True)
        self.worksheets: tuple[str, ...] = tuple(sheet.title for sheet in self._book.worksheets)

    def close(self) -> None:
        """Let the file go."""
        self._book.close()

    def __enter__(self) -> Workbook:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def likely_worksheet(self) -> str:
        """Return the worksheet with the most known column names, else the first with content."""
        best, most = "", -1
        for sheet in self._book.worksheets:
            rows = list(_texts(sheet, max_row=_PEEKED_ROWS))
            if any(any(row) for row in rows):
                n_known = max(len(columns_by_role(row)) for row in rows)
                if n_known > most:
                    best, most = sheet.title, n_known
        return best or (self.worksheets[0] if self.worksheets else "")

    def rows(self, worksheet: str) -> list[list[str]]:
        """Return the cells of a worksheet as text, from its first row.

        A value that is merged over several rows counts for each of them.

        Raises:
            DatasetError: If there is no such worksheet.
        """
        if worksheet not in self.worksheets:
            raise DatasetError(
                f"The workbook has no worksheet “{worksheet}”.",
                remedy=f"Choose one of: {', '.join(self.worksheets)}.",
            )
        sheet = self._book[worksheet]
        rows = list(_texts(sheet))
        for first, last, column in self._merges(sheet):
            if first < len(rows) and column < len(rows[first]):
                for row in rows[first + 1 : last + 1]:
                    row.extend([""] * (column + 1 - len(row)))
                    row[column] = row[column] or rows[first][column]
        return rows

    def _merges(self, sheet: Any) -> Iterator[tuple[int, int, int]]:
        """Yield first row, last row and first column, from 0, of areas merged over rows.

        openpyxl leaves them out where it reads a sheet row by row.
        """
        with zipfile.ZipFile(self._file) as parts, parts.open(sheet._worksheet_path) as part:
            xml = part.read()
        after_cells = xml[max(0, xml.rfind(b"</sheetData>")) :]
        merges = re.finditer(rb'mergeCell ref="([A-Z]+)(\d+):[A-Z]+(\d+)"', after_cells)
        for number, found in enumerate(merges):
            first, last = int(found[2]) - 1, int(found[3]) - 1
            if last > first and number < _MAX_MERGES:
                yield first, last, _column_index(found[1].decode())


def _require_xlsx(data: bytes) -> None:
    if data.startswith(_OLD_OFFICE):
        raise DatasetError(
            "The workbook is protected by a password or in the format of Excel before 2007.",
            remedy="Open it in Excel and save it without a password as .xlsx, or as CSV (UTF-8).",
        )
    if b"opendocument" in data[:200]:
        raise DatasetError(
            "The sheet is in the format of LibreOffice (.ods), which RadTune doesn't read.",
            remedy="Save it as .xlsx, or as CSV (UTF-8).",
        )
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        if sum(part.file_size for part in parts.infolist()) > _MAX_INFLATED_BYTES:
            raise DatasetError(
                "The workbook is larger than 2 GB when unpacked.",
                remedy="Save the sheet with the labels alone, as CSV (UTF-8).",
            )


def _texts(sheet: Any, *, max_row: int | None = None) -> Iterator[list[str]]:
    sheet.reset_dimensions()  # some programs write wrong ones, which would cut the sheet
    for row in sheet.iter_rows(max_row=max_row):
        texts = [_cell_text(cell) for cell in row]
        while texts and not texts[-1]:
            texts.pop()
        yield texts


def _cell_text(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # Excel keeps every number as a float
    if isinstance(value, int):
        return _padded(value, cell.number_format)
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        value = value.date()
    return " ".join(str(value).split())


def _padded(value: int, number_format: str | None) -> str:
    """Return a number with the leading zeros that a format such as ``00000`` shows."""
    width = len(number_format or "") if set(number_format or "") == {"0"} else 0
    return str(value).zfill(width)


def _column_index(letters: str) -> int:
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1
