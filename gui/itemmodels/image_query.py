"""Which images are shown and in which order: pure functions over the project's records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final

from engine.contract.records import ClassSummary, ImageRecord

__all__ = ["ImageQuery", "Shown", "SortBy", "modalities", "search_texts", "select_records"]

UNLABELLED: Final = -1
"""Stands for images without a class in :attr:`ImageQuery.class_id`."""
NO_SPLIT: Final = "none"
"""Stands for images in no part of the split in :attr:`ImageQuery.split`."""


class SortBy(StrEnum):
    """Order of the grid."""

    NAME = "name"
    CLASS = "class"
    PATIENT = "patient"


class Shown(StrEnum):
    """Whether excluded images are shown."""

    ALL = "all"
    INCLUDED = "included"
    EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageQuery:
    """What the user asked to see; the default is everything.

    Attributes:
        text: Words, each of which must occur in class, patient, split, modality or file name.
        class_id: Only this class, :data:`UNLABELLED`, or None for all.
        split: Only this part, :data:`NO_SPLIT`, or None for all.
        modality: Only this modality, or None for all.
        only: Only these images, by id, or None for all.
    """

    text: str = ""
    class_id: int | None = None
    split: str | None = None
    modality: str | None = None
    only: frozenset[int] | None = None
    shown: Shown = Shown.ALL
    sort_by: SortBy = SortBy.NAME

    @property
    def is_everything(self) -> bool:
        """Whether no image is filtered away."""
        return (
            not self.text.strip()
            and self.class_id is None
            and self.split is None
            and self.modality is None
            and self.only is None
            and self.shown is Shown.ALL
        )


def select_records(
    records: Sequence[ImageRecord],
    query: ImageQuery,
    classes: Sequence[ClassSummary],
    texts: Callable[[], Mapping[int, str]],
) -> list[ImageRecord]:
    """Return the records that a query asks for, in its order.

    Args:
        records: All records.
        query: What is wanted.
        classes: For the order by class.
        texts: Gives :func:`search_texts`; called only if the query has words.
    """
    only = query.only
    kept = list(records) if only is None else [record for record in records if record.id in only]
    if query.class_id is not None:
        wanted = None if query.class_id == UNLABELLED else query.class_id
        kept = [record for record in kept if record.class_id == wanted]
    if query.split is not None:
        part = None if query.split == NO_SPLIT else query.split
        kept = [record for record in kept if record.split == part]
    if query.modality is not None:
        kept = [record for record in kept if record.modality == query.modality]
    if query.shown is not Shown.ALL:
        is_excluded = query.shown is Shown.EXCLUDED
        kept = [record for record in kept if (record.excluded is not None) == is_excluded]
    if words := query.text.casefold().split():
        known = texts()
        kept = [r for r in kept if all(word in known[r.id] for word in words)]
    kept.sort(key=_sort_key(query.sort_by, classes))
    return kept


def search_texts(
    records: Sequence[ImageRecord],
    classes: Sequence[ClassSummary],
    split_names: Mapping[str, str],
) -> dict[int, str]:
    """Return by record id the lower-case text that the words of a query are looked for in."""
    names = {c.id: c.name.casefold() for c in classes}
    splits = {key: f"{key} {name.casefold()}" for key, name in split_names.items()}
    return {
        r.id: f"{names.get(r.class_id or 0, '')}\n{r.patient}\n{splits.get(r.split or '', '')}\n"
        f"{r.modality}\n{r.format}\n{r.path}".casefold()
        for r in records
    }


def modalities(records: Sequence[ImageRecord]) -> list[str]:
    """Return the modalities that occur, in alphabetical order."""
    return sorted({record.modality for record in records if record.modality})


def _sort_key(
    sort_by: SortBy, classes: Sequence[ClassSummary]
) -> Callable[[ImageRecord], tuple[Any, ...]]:
    if sort_by is SortBy.CLASS:
        order = {c.id: position for position, c in enumerate(classes)}
        return partial(_by_class, order)
    if sort_by is SortBy.PATIENT:
        return lambda record: (record.patient_id, record.path, record.frame)
    return lambda record: (record.path.casefold(), record.frame, record.id)


def _by_class(order: Mapping[int, int], record: ImageRecord) -> tuple[Any, ...]:
    position = len(order) if record.class_id is None else order.get(record.class_id, len(order))
    return (position, record.path, record.frame)
