"""Dates as people write them in sheets. They stay in memory: none is stored or logged."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from typing import Final

_COMPACT: Final = re.compile(r"((?:18|19|20)\d\d)(\d\d)(\d\d)(?:[ T]?\d{4,6}(?:\.\d+)?)?")
_YEAR_FIRST: Final = re.compile(r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})(?!\d)")
_YEAR_LAST: Final = re.compile(r"(\d{1,2})\s*[-/.]\s*(\d{1,2})\s*[-/.]\s*(\d{4}|\d\d)(?!\d)")
_NAMED_MONTH: Final = re.compile(r"(\d{1,2})[-/. ]*([^\W\d_]{3,})[-/., ]*(\d{4}|\d\d)(?!\d)")
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        "jan feb|fev|fév mar|mär|mrz apr|avr may|mai jun jul aug|aoû sep oct|okt nov "
        "dec|dez|déc".split(),
        start=1,
    )
    for name in names.split("|")
}
_SERIAL: Final = re.compile(r"[1-7]\d{4}(?:[.,]\d+)?")
_EXCEL_EPOCH: Final = datetime.date(1899, 12, 30)
_TWO_DIGIT_PIVOT: Final = 70
"""Years 70 to 99 are of the last century, as in POSIX."""

ReadDate = Callable[[str], datetime.date | None]


def date_readers(cells: Sequence[str]) -> tuple[ReadDate, ...]:
    """Return how the dates of a column may be read; two ways where nothing tells day from month.

    A column with a number above 12 in the first or the second place settles it. Day first comes
    first, as in most of the world.
    """
    firsts, seconds = set(), set()
    for cell in cells:
        if (found := _YEAR_LAST.match(cell.strip())) is not None:
            firsts.add(int(found[1]))
            seconds.add(int(found[2]))
    day_first: ReadDate = lambda text: read_date(text, day_first=True)  # noqa: E731
    month_first: ReadDate = lambda text: read_date(text, day_first=False)  # noqa: E731
    if not firsts or max(firsts) > 12:
        return (day_first,)
    return (month_first,) if max(seconds) > 12 else (day_first, month_first)


def read_date(text: str, *, day_first: bool = True) -> datetime.date | None:
    """Return the date that a cell begins with, or None.

    Understood are ``20240131``, ``2024-01-31``, ``31.01.2024``, ``1/31/2024``, ``31-Jan-2024``,
    ``2024年1月31日``, each with a time behind it, and the day numbers of Excel.

    Args:
        text: The cell.
        day_first: Whether the day comes before the month where the year comes last.
    """
    text = text.strip()
    if (found := _COMPACT.fullmatch(text) or _YEAR_FIRST.match(text)) is not None:
        return _date(found[1], found[2], found[3])
    if (found := _YEAR_LAST.match(text)) is not None:
        day, month = (found[1], found[2]) if day_first else (found[2], found[1])
        return _date(found[3], month, day)
    if (found := _NAMED_MONTH.match(text)) is not None:
        number = _MONTHS.get(found[2][:3].casefold())
        return None if number is None else _date(found[3], str(number), found[1])
    if _SERIAL.fullmatch(text):
        return _EXCEL_EPOCH + datetime.timedelta(days=int(text[:5]))
    return None


def _date(year: str, month: str, day: str) -> datetime.date | None:
    full_year = int(year)
    if len(year) == 2:
        full_year += 1900 if full_year >= _TWO_DIGIT_PIVOT else 2000
    try:
        return datetime.date(full_year, int(month), int(day))
    except ValueError:
        return None
