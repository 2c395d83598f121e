"""Text of label sheets: which encoding, which separator."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from typing import Final

from engine.contract.errors import DatasetError
from engine.data.column_names import columns_by_role

SEPARATORS: Final = (",", ";", "\t", "|")
_SNIFFED_CHARACTERS: Final = 1 << 16
_SNIFFED_LINES: Final = 50
_LONGEST_CELL: Final = 1 << 20
_MARKS: Final = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_MOSTLY: Final = 0.8


def decode_text(data: bytes, encoding: str | None = None) -> tuple[str, str]:
    """Return a sheet's text and the encoding it is in.

    Args:
        data: The file's bytes.
        encoding: What the user says; None finds it with :func:`find_encoding`.

    Raises:
        DatasetError: If there is no such encoding.
    """
    if encoding is None:
        encoding = find_encoding(data)
    else:
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise DatasetError(
                f"There is no text encoding named “{encoding}”.",
                remedy="Choose one such as utf-8, cp1252, gb18030, shift_jis or utf-16.",
            ) from error
    text = data.decode(encoding, errors="replace").removeprefix("\ufeff")
    return text.replace("\x00", ""), encoding


def find_encoding(data: bytes) -> str:
    """Return the encoding of a sheet, found from its bytes.

    Byte order marks decide first. Then UTF-8, which other text almost never happens to be. Then
    GB18030 or Shift-JIS where that yields common Chinese or Japanese characters, as Western text
    read so yields rare ones; else Windows-1252.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    if (unmarked := _unmarked_utf16(data)) is not None:
        return unmarked
    if _decodes(data, "utf-8") is not None:
        return "utf-8"
    if (text := _decodes(data, "gb18030")) is not None and _is_mostly(text, _is_common_chinese):
        return "gb18030"
    if (text := _decodes(data, "cp932")) is not None and _is_mostly(text, _is_common_japanese):
        return "cp932"
    return "cp1252"


def _unmarked_utf16(data: bytes) -> str | None:
    head = data[:2000]
    if head.count(b"\0") * 20 < len(head):  # separators and digits alone give more
        return None
    return "utf-16-le" if head[1::2].count(0) > head[0::2].count(0) else "utf-16-be"


def _decodes(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _is_mostly(text: str, is_common: Callable[[str], bool]) -> bool:
    foreign = [letter for letter in text[:_SNIFFED_CHARACTERS] if ord(letter) >= 0x80]
    return sum(map(is_common, foreign)) >= _MOSTLY * len(foreign)


def _is_common_chinese(letter: str) -> bool:
    """Tell GB18030 from accented Western text, which it often decodes without complaint.

    An accented letter takes the ASCII one after it along, which gives characters outside GB2312,
    the standard's common core (its bytes are both above A0).
    """
    try:
        letter.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def _is_common_japanese(letter: str) -> bool:
    """Tell Shift-JIS from Western text likewise: kana, marks and the first level of kanji.

    Their first byte lies between 81 and 98, where Windows-1252 has no accented letters.
    """
    code = letter.encode("cp932", errors="ignore")
    return len(code) == 2 and 0x81 <= code[0] <= 0x98


def split_rows(text: str, separator: str | None = None) -> tuple[list[list[str]], str]:
    """Return the cells of a sheet, and the separator between them.

    A first line ``sep=;``, as Excel writes and reads it, counts as the user's word.

    Args:
        text: The sheet.
        separator: What the user says; None finds it.

    Raises:
        DatasetError: If the separator isn't one character.
        csv.Error: If a cell is longer than a million characters.
    """
    csv.field_size_limit(_LONGEST_CELL)
    hint = re.match(r"sep=(.)\r?\n?", text, flags=re.IGNORECASE)
    if hint is not None:
        text = "\n" + text[hint.end() :]  # rows keep their numbers
    if separator is None:
        separator = hint[1] if hint is not None else _find_separator(text)
    if len(separator) != 1 or separator in '\r\n"':
        raise DatasetError(
            "The separator of the label sheet must be one character.",
            remedy="Choose a comma, a semicolon, a tab, or another single character.",
        )
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=separator == " "
    )
    return list(reader), separator


def _find_separator(text: str) -> str:
    """Return the separator that yields known column names, and as many cells in every row."""
    lines = [line for line in text[:_SNIFFED_CHARACTERS].splitlines() if line.strip()]
    lines = lines[:_SNIFFED_LINES]

    def score(separator: str) -> tuple[int, int, int]:
        rows = list(csv.reader(lines, delimiter=separator))
        widths = Counter(len(row) for row in rows if len(row) > 1)
        width, n_alike = max(widths.items(), key=lambda kind: kind[1], default=(0, 0))
        n_known = max((len(columns_by_role(row)) for row in rows if len(row) > 1), default=0)
        return (n_known if n_known > 1 else 0), n_alike, width

    best = max(SEPARATORS, key=score)
    if score(best)[1] == 0 and len({len(line.split()) for line in lines} - {1}) == 1:
        return " "  # as lists for training scripts have it
    return best
