"""Names of classes, findings and grades, as a sheet spells and orders them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.contract.errors import DatasetError
from engine.contract.import_rules import LabelRule
from engine.data.phrases import quoted
from engine.project.classes import ORDINAL, clean_name
from engine.project.grades import sorted_grades

_MANY_CLASSES: Final = 100


def require_few(column: str, n_classes: int, n_labelled: int) -> None:
    """Refuse a column that holds something else than classes.

    Raises:
        DatasetError: If nearly each of many rows has a class of its own.
    """
    if n_classes > _MANY_CLASSES and n_classes * 2 > n_labelled:
        raise DatasetError(
            f"The column “{column}” holds {n_classes:,} different values in {n_labelled:,} rows: "
            "these are no classes.",
            remedy="Choose the column that holds the class, or shorten its texts to class names.",
        )


def ordered_classes(names: Iterable[str], rule: LabelRule, task: str) -> tuple[str, ...]:
    """Return classes in the order of counting, or grades in the order that the user gave.

    Raises:
        DatasetError: If the user's order leaves a grade out.
    """
    names = list(names)
    if task != ORDINAL or not rule.order:
        return tuple(sorted_grades(names))
    order = {clean_name(name).casefold(): place for place, name in enumerate(rule.order)}
    missing = [name for name in names if name.casefold() not in order]
    if missing:
        raise DatasetError(
            f"The order of the grades leaves out {quoted(missing)}.",
            remedy="Name every grade of the sheet, from the lowest to the highest.",
        )
    return tuple(sorted(names, key=lambda name: order[name.casefold()]))


def first_spellings(texts: Iterable[str]) -> dict[str, str]:
    """Return the first spelling of each name, by its form without case."""
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(text.casefold(), text)
    return found
