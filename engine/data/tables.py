"""Label sheets: CSV in whatever encoding and with whatever separator, and Excel workbooks."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Final

from engine.contract.errors import DatasetError
from engine.contract.import_rules import SheetFormat
from engine.data.column_names import columns_by_role, unique_names
from engine.data.sheet_text import decode_text, split_rows
from engine.data.workbooks import BOOK_ERRORS, Workbook
from engine.files import long_path

TABLE_SUFFIXES: Final = frozenset({".csv", ".tsv", ".txt", ".xlsx", ".xlsm"})
_EXCEL_SUFFIXES: Final = frozenset({".xlsx", ".xlsm", ".xls"})
_ZIP_MAGIC: Final = b"PK\x03\x04"
_OLD_OFFICE_MAGIC: Final = b"\xd0\xcf\x11\xe0"
MAX_TABLE_BYTES: Final = 256 << 20
_HEADER_SEARCH: Final = 30
"""A header lies within the first rows that hold anything."""
_MANY_CELLS: Final = 0.5
"""Titles and remarks above a table fill less than this share of its width."""


@dataclass(frozen=True, slots=True)
class Table:
    """A label sheet as text.

    Attributes:
        columns: Names in the order of the sheet; none is empty, none occurs twice.
        rows: One tuple per row, as long as ``columns``; blanks around a value are dropped.
        numbers: Number of each row as a spreadsheet counts, from 1.
        format: How the sheet was read; no field is None that matters for its kind.
        worksheets: Names of a workbook's worksheets.
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: Sequence[int] = ()
    format: SheetFormat = field(default_factory=SheetFormat)
    worksheets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Number the rows below a header in the first row, unless the numbers are known."""
        if len(self.numbers) != len(self.rows):
            object.__setattr__(self, "numbers", list(range(2, len(self.rows) + 2)))

    def values(self, column: str) -> list[str]:
        """Return the cells of a column.

        Raises:
            ValueError: If there is no such column.
        """
        position = self.columns.index(column)
        return [row[position] for row in self.rows]


def read_table(path: Path, wanted: SheetFormat | None = None) -> Table:
    """Read a sheet.

    What the user doesn't say is found out: the encoding (UTF-8, UTF-16, GB18030, Shift-JIS,
    Windows-1252), the separator, the worksheet with the most known column names, and the row of
    the column names, which titles may precede. Columns without a name and without a value are
    left away.

    Args:
        path: A text file or a workbook; the content decides which.
        wanted: How to read it.

    Raises:
        DatasetError: If the file can't be read, is empty, or is no table.
    """
    wanted = wanted or SheetFormat()
    data = _read_bytes(long_path(path))
    is_book = data.startswith((_ZIP_MAGIC, _OLD_OFFICE_MAGIC))
    try:
        if is_book or (path.suffix.lower() in _EXCEL_SUFFIXES and not _is_text(data)):
            cells, used, worksheets = _from_workbook(data, wanted)
        else:
            cells, used = _from_text(data, wanted)
            worksheets = ()
    except csv.Error as error:
        raise DatasetError(
            f"The label sheet {path.name} is damaged: {error}.",
            remedy="Save it again as CSV (UTF-8) and try again.",
        ) from error
    except BOOK_ERRORS as error:
        raise DatasetError(
            f"The workbook {path.name} is damaged or protected.",
            remedy="Save it again, without a password, or as CSV.",
        ) from error
    table = _table(cells, used, worksheets)
    if table is None:
        raise DatasetError(
            f"The label sheet {path.name} is empty.",
            remedy="Choose a sheet with a header row and one row per image.",
        )
    return table


def list_worksheets(path: Path) -> tuple[str, ...]:
    """Return the names of a workbook's worksheets; none for a text file.

    Raises:
        DatasetError: If the file can't be read.
    """
    data = _read_bytes(long_path(path))
    if not data.startswith((_ZIP_MAGIC, _OLD_OFFICE_MAGIC)):
        return ()
    try:
        with Workbook(data) as book:
            return book.worksheets
    except BOOK_ERRORS as error:
        raise DatasetError(
            f"The workbook {path.name} is damaged or protected.",
            remedy="Save it again, without a password, or as CSV.",
        ) from error


def _read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise DatasetError(
                f"The label sheet {path.name} is larger than {MAX_TABLE_BYTES >> 20} MB.",
                remedy="Choose the sheet with one row per image.",
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DatasetError(
            f"There is no label sheet {path.name}.", remedy="Check its name and folder."
        ) from error
    except IsADirectoryError as error:
        raise DatasetError(
            f"{path.name} is a folder, not a label sheet.", remedy="Choose the sheet itself."
        ) from error
    except OSError as error:
        raise DatasetError(
            f"The label sheet {path.name} can't be opened: {error.strerror}.",
            remedy="Close it in other programs, and check that you may read it.",
        ) from error


def _is_text(data: bytes) -> bool:
    """Return whether a file named like a workbook is the text that some programs write so."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return b"\t" in data[:4096] and b"\0" not in data[:4096]


def _from_text(data: bytes, wanted: SheetFormat) -> tuple[list[list[str]], SheetFormat]:
    text, encoding = decode_text(data, wanted.encoding)
    cells, separator = split_rows(text, wanted.separator)
    used = replace(wanted, encoding=encoding, separator=separator, worksheet=None)
    return [[cell.strip() for cell in row] for row in cells], used


def _from_workbook(
    data: bytes, wanted: SheetFormat
) -> tuple[list[list[str]], SheetFormat, tuple[str, ...]]:
    with Workbook(data) as book:
        worksheet = wanted.worksheet or book.likely_worksheet()
        used = replace(wanted, worksheet=worksheet, encoding=None, separator=None)
        return book.rows(worksheet) if worksheet else [], used, book.worksheets


def _table(cells: list[list[str]], used: SheetFormat, worksheets: tuple[str, ...]) -> Table | None:
    """Return the table, or None where no cell holds anything."""
    filled = [(number, row) for number, row in enumerate(cells, start=1) if any(row)]
    if not filled:
        return None
    header = find_header(filled) if used.header_row is None else used.header_row
    below = [(number, row) for number, row in filled if number > header]
    names = cells[header - 1] if 0 < header <= len(cells) else []
    kept = _kept_columns(names, [row for _, row in below])
    padded = [names[i] if i < len(names) else "" for i in range(max(kept, default=-1) + 1)]
    every_name = unique_names(padded)
    return Table(
        columns=tuple(every_name[i] for i in kept),
        rows=[tuple(row[i] if i < len(row) else "" for i in kept) for _, row in below],
        numbers=[number for number, _ in below],
        format=replace(used, header_row=header),
        worksheets=worksheets,
    )


def _kept_columns(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the columns with a name, or with values in more rows than a stray remark has."""
    named = {position for position, name in enumerate(names) if name}
    first = list(zip_longest(*rows[:_HEADER_SEARCH], fillvalue=""))
    filled = {position for position, values in enumerate(first) if sum(map(bool, values)) > 1}
    if not named:
        filled = {position for position, values in enumerate(first) if any(values)}
    return sorted(named | filled)


def find_header(filled: Sequence[tuple[int, Sequence[str]]]) -> int:
    """Return the row of the column names, from 1; 0 if the sheet seems to have none.

    It is the row with the most known names, if it has at least two. Else it is the first row that
    fills at least half the width of the table, unless it holds what only data look like: a file
    name, or nothing but numbers.

    Args:
        filled: Number and cells of each row that holds anything, in order.
    """
    searched = filled[:_HEADER_SEARCH]
    n_known = [len(columns_by_role(row)) for _, row in searched]
    if max(n_known) >= 2:
        return searched[n_known.index(max(n_known))][0]
    widths = [sum(map(bool, row)) for _, row in searched]
    usual = sorted(widths)[len(widths) // 2]
    for (number, row), width in zip(searched, widths, strict=True):
        if width >= _MANY_CELLS * usual:
            return 0 if _looks_like_data(row) and not columns_by_role(row) else number
    return searched[0][0]


_FILE_NAME: Final = re.compile(
    r".+\.(png|jpe?g|tiff?|bmp|dcm|dicom|ima|nii|gz|gif|webp)", flags=re.IGNORECASE
)
_NUMBER: Final = re.compile(r"[-+]?\d+([.,]\d+)*")


def _looks_like_data(row: Sequence[str]) -> bool:
    cells = [cell for cell in row if cell]
    return any(_FILE_NAME.fullmatch(cell) for cell in cells) or all(
        _NUMBER.fullmatch(cell) for cell in cells
    )
