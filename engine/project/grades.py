"""The order of grades by their names, until the user says otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_SCALES: Final = (
    "none normal no absent negative minimal doubtful trace mild slight minor low moderate medium "
    "intermediate marked high major severe critical extreme".split(),
    "无 正常 轻微 轻度 轻 中度 中 重度 重 极重度".split(),
    "i ii iii iv v vi vii viii ix x".split(),
)
_SIGNED: Final = re.compile(r"[-+]?\d+(\.\d+)?")
_RANKS: Final = [{word: rank for rank, word in enumerate(scale)} for scale in _SCALES]


def sorted_grades(names: Iterable[str]) -> list[str]:
    """Return names in the order in which people count and grade.

    Numbers within names count as numbers (``BI-RADS 2``, ``4A``, ``10``); roman ones and the words
    of common scales (mild, moderate, severe) keep their order if every name has one of them;
    otherwise the alphabet decides.
    """
    names = list(names)
    if all(_SIGNED.fullmatch(name) for name in names):
        return sorted(names, key=float)
    for ranks in _RANKS:
        found = [_rank(name, ranks) for name in names]
        known = [rank for rank in found if rank is not None]
        if len(known) == len(names) and len(set(known)) == len(names):
            return [name for _, name in sorted(zip(known, names, strict=True))]
    return sorted(names, key=_natural)


def _rank(name: str, ranks: dict[str, int]) -> int | None:
    words = re.findall(r"[^\W\d_]+", name.casefold())
    found = [ranks[word] for word in words if word in ranks]
    return found[-1] if found and not re.search(r"\d", name) else None


def _natural(name: str) -> list[tuple[int, float, str]]:
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", name.casefold())
    return [(0, float(p), "") if p[0].isdecimal() else (1, 0.0, p.strip()) for p in parts]
