"""Numeric columns of a sheet that may be kept for the audit, and those that must not be.

A column is numeric when every cell that isn't blank is a number, bar one in twenty. It is withheld,
and its values never leave memory, when its name or its values look like an identifier, a date or a
phone number:

- its name has a word such as id, uid, mrn, accession, birth, date, time, phone, fax, zip or
  insurance, or "number" together with patient, study, case and the like (also in Chinese, German,
  French and Spanish); or
- its values are whole numbers with nine digits or more in any of them; or all with the same six
  digits or more; or written with leading zeros; or all dates such as 20240131; or
- they count the rows (at least ten whole numbers without a gap, each of them once); or
- they are those of the patient, study or path column.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from engine.data.dates import read_date
from engine.data.flags import UNCERTAIN_WORDS, cell_value, plain_number
from engine.data.tables import Table

_MOSTLY: Final = 0.95
_MIN_COUNTED: Final = 10
_LONG_DIGITS: Final = 9
_SAME_DIGITS: Final = 6
_IDENTIFYING_WORDS: Final = frozenset(
    "id ids uid uids guid uuid identifier mrn pid ssn nhs nhi accession birth born birthday "
    "birthdate dob date dates datum datetime time timestamp uhrzeit phone telephone tel telefon "
    "telefono téléphone fax zip zipcode postcode postal plz address insurance passport license "
    "licence geburt geburtsdatum naissance nacimiento fecha hora fallnummer "
    "patientennummer versichertennummer".split()
)
_DURATIONS: Final = frozenset(
    "echo exposure repetition inversion relaxation delay survival".split()
)
"""With these, a time is a length of time."""
_PERSONAL_WORDS: Final = frozenset(
    "patient pat study exam case subject person record file image series chart hospital visit "
    "admission encounter medical member account acc order sample specimen lab row scan".split()
)
_NUMBER_WORDS: Final = frozenset("number no nr num nummer numero numéro index code key".split())
_ENDINGS: Final = ("id", "uid", "date", "number", "nr", "no", "code")
_IDENTIFYING_PARTS: Final = (
    *("birth", "accession", "phone", "geburt", "patientid"),
    *("编号", "号码", "号", "電話", "电话", "手机", "身份证", "日期", "时间", "出生", "生日"),
    *("邮编", "地址", "序号"),
)


@dataclass(frozen=True, slots=True)
class NumericColumns:
    """Numeric columns without a role.

    Attributes:
        kept: Values by column name, one for each row of the table; NaN where a cell has none.
        withheld: Names of columns that look like an identifier, a date or a phone number.
    """

    kept: dict[str, list[float]]
    withheld: tuple[str, ...]

    def of_row(self, index: int) -> dict[str, float]:
        """Return the numbers of one row, without those that are missing."""
        values = ((name, column[index]) for name, column in self.kept.items())
        return {name: value for name, value in values if not math.isnan(value)}


def numeric_columns(
    table: Table, used: Collection[str], identifiers: Collection[str] = ()
) -> NumericColumns:
    """Return the numeric columns of a sheet that have no role.

    Args:
        table: The sheet.
        used: Columns with a role.
        identifiers: Those of them that hold identifiers, which another column may repeat.
    """
    kept: dict[str, list[float]] = {}
    withheld = []
    known = [[plain_number(cell) for cell in table.values(name)] for name in identifiers]
    for name in table.columns:
        if name in used:
            continue
        cells = table.values(name)
        numbers = read_numbers(cells)
        if numbers is None:
            continue
        plain = [plain_number(cell) for cell in cells]
        if is_identifying_name(name) or are_identifying_values(cells) or plain in known:
            withheld.append(name)
        else:
            kept[name] = numbers
    return NumericColumns(kept, tuple(withheld))


def is_identifying_name(name: str) -> bool:
    """Return whether a column's name says that it may identify a person or a day."""
    text = unicodedata.normalize("NFKC", name)
    if any(part in text.casefold() for part in _IDENTIFYING_PARTS):
        return True
    spaced = re.sub(r"(?<=[a-zà-ÿ])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    words = set(re.findall(r"[^\W\d_]+", spaced.casefold()))
    if words & _DURATIONS:
        words.discard("time")
    return (
        bool(words & _IDENTIFYING_WORDS)
        or bool(words & _NUMBER_WORDS and words & _PERSONAL_WORDS)
        or any(
            w.endswith(end) and w.removesuffix(end) in _PERSONAL_WORDS
            for w in words
            for end in _ENDINGS
        )
    )


def are_identifying_values(cells: Sequence[str]) -> bool:
    """Return whether the values of a numeric column look like identifiers, dates or phones."""
    values = [text for cell in cells if (text := cell_value(cell)) is not None]
    values = [plain_number(text) for text in values]
    whole = [text for text in values if text.isdecimal()]
    if not whole or len(whole) < _MOSTLY * len(values):
        return False
    lengths = {len(text) for text in whole}
    if max(lengths) >= _LONG_DIGITS or any(len(t) > 1 and t.startswith("0") for t in whole):
        return True
    if len(lengths) == 1 and max(lengths) >= _SAME_DIGITS and len(set(whole)) > 1:
        return True
    if lengths == {8} and all(read_date(text) is not None for text in whole):
        return True
    return _count_rows(whole)


def _count_rows(whole: Sequence[str]) -> bool:
    numbers = set(map(int, whole))
    is_each_once = len(numbers) == len(whole) >= _MIN_COUNTED
    return is_each_once and max(numbers) - min(numbers) + 1 == len(numbers)


def read_numbers(cells: Sequence[str]) -> list[float] | None:
    """Return the numbers of a column, NaN where a cell has none; None if it isn't numeric.

    A comma is the decimal sign unless every one of them stands before three digits, as between
    thousands; a cell with commas and points shows which is which.
    """
    texts = [cell_value(cell) for cell in cells]
    texts = [None if text and text.casefold() in UNCERTAIN_WORDS else text for text in texts]
    present = [text for text in texts if text is not None]
    if not present:
        return None
    is_decimal_comma = _has_decimal_comma(present)
    numbers = [math.nan if t is None else _number(t, is_decimal_comma) for t in texts]
    n_read = sum(not math.isnan(number) for number in numbers)
    return numbers if n_read and n_read >= _MOSTLY * len(present) else None


_THOUSANDS: Final = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
_POINTS: Final = re.compile(r"[-+]?[1-9]\d{0,2}(\.\d{3})+")
_NUMBER: Final = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?", flags=re.IGNORECASE)


def _has_decimal_comma(texts: Sequence[str]) -> bool:
    with_comma = [text for text in texts if "," in text]
    return not all(_THOUSANDS.fullmatch(text) for text in with_comma)


def _number(text: str, is_decimal_comma: bool) -> float:
    text = text.replace("\u2212", "-")  # the typographic minus
    if is_decimal_comma and ("," in text or _POINTS.fullmatch(text)):
        text = text.replace(".", "").replace(",", ".")
    else:
        text = text.replace(",", "")
    if not _NUMBER.fullmatch(text):
        return math.nan
    number = float(text)
    return number if math.isfinite(number) else math.nan
