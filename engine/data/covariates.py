"""Sex, age and view from the columns of a sheet, in the words that DICOM headers use."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_SEX: Final = {
    word: sex
    for sex, words in {
        "M": "m male man boy männlich maennlich homme masculin masculino hombre 男 男性",
        "F": "f w female woman girl weiblich femme féminin feminin femenino mujer 女 女性",
        "O": "o other divers 其他",
    }.items()
    for word in words.split()
}
_AGE: Final = re.compile(r"(\d{1,3}(?:[.,]\d+)?)\s*([^\W\d_]*)")
_YEARS_PER_UNIT: Final = (
    (("y", "j", "an", "añ", "岁", "歲"), 1.0),
    (("mo", "mois", "m", "个月", "月"), 1 / 12),
    (("w", "sem", "周"), 7 / 365.25),
    (("d", "t", "jour", "天"), 1 / 365.25),
)
OLDEST_AGE: Final = 90
"""As in ``engine.data.dicom_header``, whose import takes pydicom along."""
_LONGEST_VIEW: Final = 32


def read_sex(text: str) -> str | None:
    """Return ``M``, ``F`` or ``O``, or None where the cell is none of the known words."""
    return _SEX.get(unicodedata.normalize("NFC", text).strip().casefold())


def read_age(text: str) -> float | None:
    """Return an age in years, at most 90, or None.

    ``63``, ``63.5``, ``063Y``, ``63 years``, ``006M`` and ``3 weeks`` are understood; a number
    alone counts years.
    """
    found = _AGE.fullmatch(text.strip())
    if found is None:
        return None
    number, unit = float(found[1].replace(",", ".")), found[2].casefold()
    for starts, years in _YEARS_PER_UNIT:
        if not unit or unit.startswith(starts):
            return min(number * years, float(OLDEST_AGE))
    return None


def read_view(text: str) -> str | None:
    """Return a view such as ``PA`` in capitals, or None where the cell holds a whole text."""
    view = " ".join(text.split()).upper()
    return view if 0 < len(view) <= _LONGEST_VIEW else None
