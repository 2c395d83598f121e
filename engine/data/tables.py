"""Label sheets: CSV in whatever encoding and with whatever separator, and Excel workbooks."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.contract.errors import DatasetError
from engine.contract.records import ColumnMapping
from engine.files import long_path

TABLE_SUFFIXES: Final = frozenset({".csv", ".tsv", ".txt", ".xlsx", ".xlsm"})
_EXCEL_SUFFIXES: Final = frozenset({".xlsx", ".xlsm"})
MAX_TABLE_BYTES: Final = 256 << 20
_SEPARATORS: Final = (",", ";", "\t", "|")
_SNIFFED_CHARACTERS: Final = 1 << 16

# First the names that can mean nothing else; English and Chinese.
_PATH_NAMES: Final = (
    "path file_path filepath image_path img_path dicom_path filename file_name "
    "image_filename image_file image_name img_name file image_index image image_id img "
    "img_id dicom dicom_id image_uid sop_instance_uid "
    "路径 文件路径 图像路径 影像路径 文件名 图像文件 影像文件 文件 图像 影像 图片"
)
_LABEL_NAMES: Final = (
    "label labels class class_name classname category diagnosis diagnoses finding findings "
    "finding_labels finding_label target ground_truth groundtruth gt y disease pathology "
    "outcome 标签 类别 分类 诊断 诊断结果 结论 病变 疾病 标注"
)
_PATIENT_NAMES: Final = (
    "patient_id patientid patient pid subject_id subjectid subject patient_number "
    "patient_no patient_key case_id caseid case mrn person_id participant_id 患者 患者id 患者_id "
    "患者编号 患者号 病人 病人id 病人编号 受试者 受试者编号 病例号 病历号"
)
_SPLIT_NAMES: Final = (
    "split data_split dataset_split partition subset set dataset fold phase usage 划分 数据集 "
    "数据划分 集合 子集"
)
NAMES: Final[dict[str, str]] = {
    "path": _PATH_NAMES,
    "label": _LABEL_NAMES,
    "patient": _PATIENT_NAMES,
    "split": _SPLIT_NAMES,
}


@dataclass(frozen=True, slots=True)
class Table:
    """A label sheet as text.

    Attributes:
        columns: Names in the order of the sheet; none is empty, none occurs twice.
        rows: One tuple per row, as long as ``columns``; blanks around a value are dropped.
    """

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def read_table(path: Path) -> Table:
    """Read a sheet whose first row names the columns.

    Text may be UTF-8, UTF-16, GB18030 or Windows-1252, separated by commas, semicolons, tabs or
    bars. Of a workbook the first sheet with content counts.

    Raises:
        DatasetError: If the file can't be read, is empty, or is no table.
    """
    try:
        data = _read_bytes(long_path(path))
        is_excel = path.suffix.lower() in _EXCEL_SUFFIXES or data.startswith(b"PK\x03\x04")
        rows = _excel_rows(data) if is_excel else _text_rows(data)
    except csv.Error as error:
        raise DatasetError(
            f"The label sheet {path.name} is damaged: {error}.",
            remedy="Save it again as CSV (UTF-8) and try again.",
        ) from error
    except _EXCEL_ERRORS as error:
        raise DatasetError(
            f"The workbook {path.name} is damaged or protected.",
            remedy="Save it again, without a password, or as CSV.",
        ) from error
    table = _table(rows)
    if table is None:
        raise DatasetError(
            f"The label sheet {path.name} is empty.",
            remedy="Choose a sheet with a header row and one row per image.",
        )
    return table


_EXCEL_ERRORS: Final = (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError)


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


def decode_text(data: bytes) -> str:
    """Return a sheet's text, its encoding found from the bytes.

    Byte order marks decide first. Then UTF-8, which other text almost never happens to be. Then
    GB18030 if it yields Chinese characters, as Western text read so yields rare ones, else
    Windows-1252.
    """
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if (unmarked := _unmarked_utf16(data)) is not None:
        return data.decode(unmarked, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
    return text if _is_plausible_chinese(text) else data.decode("cp1252", errors="replace")


def _unmarked_utf16(data: bytes) -> str | None:
    head = data[:2000]
    if head.count(b"\0") * 20 < len(head):  # separators and digits alone give more
        return None
    return "utf-16-le" if head[1::2].count(0) > head[0::2].count(0) else "utf-16-be"


def _is_plausible_chinese(text: str) -> bool:
    """Tell GB18030 from accented Western text, which it often decodes without complaint.

    An accented letter takes the ASCII one after it along, which gives characters outside GB2312,
    the standard's common core (its bytes are both above A0).
    """
    foreign = [letter for letter in text if ord(letter) >= 0x80]
    return sum(map(_is_gb2312, foreign)) >= 0.8 * len(foreign)


def _is_gb2312(letter: str) -> bool:
    try:
        letter.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def _text_rows(data: bytes) -> Iterable[Sequence[str]]:
    text = decode_text(data).replace("\x00", "")
    csv.field_size_limit(1 << 20)
    if (hint := re.match(r"sep=(.)\r?\n?", text, flags=re.IGNORECASE)) is not None:  # Excel's
        return csv.reader(io.StringIO(text[hint.end() :], newline=""), delimiter=hint[1])
    return csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text))


def _separator(text: str) -> str:
    """Return the separator that splits the first rows into the most columns, alike in each."""
    lines = [line for line in text[:_SNIFFED_CHARACTERS].splitlines() if line.strip()][:20]

    def score(separator: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=separator)]
        header = widths[0] if widths else 0
        return (header if header > 1 else 0, sum(width == header for width in widths))

    return max(_SEPARATORS, key=score)


def _excel_rows(data: bytes) -> Iterable[Sequence[str]]:
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    for sheet in book.worksheets:
        rows = [[_cell_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
        if any(any(row) for row in rows):
            return rows
    return []


def _cell_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # Excel keeps every number as a float
    return str(value)


def _table(rows: Iterable[Sequence[str]]) -> Table | None:
    filled = ([cell.strip() for cell in row] for row in rows)
    filled_rows = [row for row in filled if any(row)]
    if not filled_rows:
        return None
    header = filled_rows[0]
    while header and not header[-1]:
        header.pop()
    columns = _unique([name or f"column {i + 1}" for i, name in enumerate(header)])
    width = len(columns)
    rows_ = [tuple((row + [""] * width)[:width]) for row in filled_rows[1:]]
    return Table(columns, rows_)


def _unique(names: list[str]) -> tuple[str, ...]:
    seen: set[str] = set()
    found = []
    for name in names:
        base, n = name, 2
        while name in seen:
            name, n = f"{base} ({n})", n + 1
        seen.add(name)
        found.append(name)
    return tuple(found)


def guess_columns(columns: Sequence[str]) -> ColumnMapping:
    """Return which columns hold what, by their names; None where no name fits."""
    by_key: dict[str, str] = {}
    for name in columns:
        by_key.setdefault(_key(name), name)
    found: dict[str, str] = {}
    for role, names in NAMES.items():
        free = (by_key[key] for key in map(_key, names.split()) if key in by_key)
        if (column := next((c for c in free if c not in found.values()), None)) is not None:
            found[role] = column
    return ColumnMapping(**found)


def complete_mapping(table: Table, wanted: ColumnMapping) -> ColumnMapping:
    """Return the columns to use: those the user named, else those found by name.

    Raises:
        DatasetError: If a named column doesn't exist.
    """
    guess = guess_columns(table.columns)
    chosen = {role: _named(table, role, getattr(wanted, role)) for role in NAMES}
    taken = {column for column in chosen.values() if column is not None}
    for role, column in chosen.items():
        if column is None and (guessed := getattr(guess, role)) not in taken:
            chosen[role] = guessed
    return ColumnMapping(**chosen)


def _named(table: Table, role: str, name: str | None) -> str | None:
    if not name:
        return None
    by_key = {_key(column): column for column in table.columns}
    column = name if name in table.columns else by_key.get(_key(name))
    if column is None:
        raise DatasetError(
            f"The label sheet has no column “{name}”; it has: {list_columns(table.columns)}.",
            remedy=f"Name one of these as --{role}-column, or choose it where the sheet is shown.",
        )
    return column


def list_columns(columns: Sequence[str]) -> str:
    """Return column names for a sentence, the first dozen of them."""
    shown = ", ".join(columns[:12])
    return f"{shown} and {len(columns) - 12} more" if len(columns) > 12 else shown


def _key(column: str) -> str:
    text = unicodedata.normalize("NFKC", column).casefold().strip().strip("\ufeff")
    return re.sub(r"[\s._\-/]+", "", text)
