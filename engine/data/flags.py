"""Words of label sheets: nothing said, yes, no, not sure."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from functools import lru_cache
from typing import Final

NO_VALUE: Final = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "nil", "-", "--", "n.a."})
UNCERTAIN_WORDS: Final = frozenset(
    "u uncertain unknown unclear ? unsure undetermined indeterminate equivocal possible maybe "
    "unbekannt unklar fraglich incertain inconnu 不确定 不明 未知 待定 可疑".split()
)
_YES: Final = frozenset(
    "1 yes y true t x + pos positive present ja oui si sí vrai wahr ✓ ✔ ☑ 是 有 阳性 陽性".split()
)
_NO: Final = frozenset(
    "0 no n false f neg negative absent nein non faux falsch 否 无 無 阴性 陰性".split()
)
_WHOLE: Final = re.compile(r"([-+]?\d+)[.,]0+")
MINUS_ONE: Final = "-1"
FORMULA_STARTS: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What a spreadsheet may take for the beginning of a formula, also in full width."""


class Flag(StrEnum):
    """What a cell of a 0/1 column says."""

    BLANK = "blank"
    PRESENT = "present"
    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    OTHER = "other"


def cell_value(cell: str) -> str | None:
    """Return a cell's text with single blanks; None where it says that nothing is known.

    An apostrophe before a sign, as spreadsheets keep text from being taken for a formula, goes.
    """
    text = " ".join(cell.split())
    if text.startswith("'") and text[1:].startswith(FORMULA_STARTS):
        text = text[1:]
    return None if text.casefold() in NO_VALUE else text


def plain_number(text: str) -> str:
    """Return ``123`` for ``123.0``: whole numbers that passed through a column of floats."""
    whole = _WHOLE.fullmatch(text) if text.endswith("0") else None
    return text if whole is None else whole[1]


@lru_cache(4096)  # a sheet has a few different cells, a million times
def flag(cell: str) -> Flag:
    """Return what a cell of a 0/1 column says, in any of the words people use."""
    word = plain_number(unicodedata.normalize("NFKC", cell).strip().casefold())
    if word in _YES:
        return Flag.PRESENT
    if word in _NO:
        return Flag.ABSENT
    if word == MINUS_ONE or word in UNCERTAIN_WORDS:
        return Flag.UNCERTAIN
    return Flag.BLANK if word in NO_VALUE else Flag.OTHER


def is_uncertain(text: str) -> bool:
    """Return whether a label says that the reader wasn't sure."""
    return text.casefold() in UNCERTAIN_WORDS
