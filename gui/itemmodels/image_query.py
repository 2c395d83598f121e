"""Which images are shown and in which order: pure functions over the project's records.

They run in the window's thread, on 100,000 records: so the records come in the order of their
names, all other orders are by plain numbers, and words are looked for in texts that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from operator import attrgetter
from typing import Final

from engine.contract.records import ClassSummary, ImageRecord
from gui.itemmodels.label_states import Mark, is_clear, is_unread

__all__ = [
    "FindingIs",
    "ImageQuery",
    "ImageSelector",
    "Reading",
    "SearchTexts",
    "Shown",
    "SortBy",
    "study_name",
    "values_of",
]

UNLABELLED: Final = -1
"""Stands for images without a class in :attr:`ImageQuery.class_id`."""
NO_SPLIT: Final = "none"
"""Stands for images in no part of the split in :attr:`ImageQuery.split`."""
NOT_KNOWN: Final = ""
"""Stands for images of which a modality, site or view isn't known."""
_STUDY_DIGITS: Final = 8


class SortBy(StrEnum):
    """Order of the grid."""

    NAME = "name"
    CLASS = "class"
    PATIENT = "patient"
    SUSPICION = "suspicion"


class Shown(StrEnum):
    """Whether excluded images are shown."""

    ALL = "all"
    INCLUDED = "included"
    EXCLUDED = "excluded"


class Reading(StrEnum):
    """What all findings of an image say together."""

    CLEAR = "clear"
    UNREAD = "unread"


@dataclass(frozen=True, slots=True)
class FindingIs:
    """A finding, and how it must stand."""

    class_id: int
    mark: Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageQuery:
    """What the user asked to see; the default is everything.

    Attributes:
        text: Words, each of which must occur in class, findings that are present, patient, study,
            split, modality, format, site, view or file name.
        class_id: Only this class, :data:`UNLABELLED`, or None for all.
        finding: Only images with this finding so, or which say so on all; None for all.
        split: Only this part, :data:`NO_SPLIT`, or None for all.
        modality: Only this one, :data:`NOT_KNOWN`, or None for all; likewise ``site`` and ``view``.
        only: Only these images, by id, or None for all.
    """

    text: str = ""
    class_id: int | None = None
    finding: FindingIs | Reading | None = None
    split: str | None = None
    modality: str | None = None
    site: str | None = None
    view: str | None = None
    only: frozenset[int] | None = None
    shown: Shown = Shown.ALL
    sort_by: SortBy = SortBy.NAME

    @property
    def is_everything(self) -> bool:
        """Whether no image is filtered away."""
        return replace(self, text=self.text.strip(), sort_by=SortBy.NAME) == ImageQuery()


class SearchTexts:
    """In lower case what words are looked for in, besides labels and parts of the split.

    It holds as long as no image is imported. For many records it takes a moment to put together,
    so a thread that has time should do so before it is needed.
    """

    def __init__(self, records: Sequence[ImageRecord] = ()) -> None:
        self._records = records
        self._texts: Sequence[str] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the texts have been put together."""
        return self._texts is not None

    def of_all(self) -> Sequence[str]:
        """Return the text of each record."""
        if self._texts is None:
            self._texts = [_search_text(record) for record in self._records]
        return self._texts


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSelector:
    """The records of a project, and what their order depends on.

    Attributes:
        records: In the order of their names.
        classes: In their order.
        texts: Of the records.
        split_names: Words for the parts of the split, by part.
        suspects: Images with a doubtful label, the most doubtful first.
        is_multi: Whether images have several findings.
    """

    records: Sequence[ImageRecord]
    classes: Sequence[ClassSummary]
    texts: SearchTexts
    split_names: Mapping[str, str] = field(default_factory=dict)
    suspects: Sequence[int] = ()
    is_multi: bool = False

    def select(self, query: ImageQuery) -> list[ImageRecord]:
        """Return the records that a query asks for, in its order."""
        kept = self._with_words(query.text.casefold().split())
        if (only := query.only) is not None:
            kept = [record for record in kept if record.id in only]
        if query.class_id is not None:
            wanted = None if query.class_id == UNLABELLED else query.class_id
            kept = [record for record in kept if record.class_id == wanted]
        if query.finding is not None:
            kept = _with_findings(kept, query.finding)
        if query.split is not None:
            part = None if query.split == NO_SPLIT else query.split
            kept = [record for record in kept if record.split == part]
        if query.modality is not None:
            kept = [record for record in kept if record.modality == query.modality]
        if query.site is not None:
            kept = [record for record in kept if (record.site or NOT_KNOWN) == query.site]
        if query.view is not None:
            kept = [record for record in kept if (record.view or NOT_KNOWN) == query.view]
        if query.shown is not Shown.ALL:
            is_excluded = query.shown is Shown.EXCLUDED
            kept = [record for record in kept if (record.excluded is not None) == is_excluded]
        return self._sorted(kept, query.sort_by)

    def _with_words(self, words: Sequence[str]) -> list[ImageRecord]:
        """Return the records that all words occur in: in label, part of the split or text."""
        records = self.records
        if not words:
            return [*records]
        texts = self.texts.of_all()
        rows: Iterable[int] = range(len(records))
        for word in words:
            if (has_label := self._labels_with(word)) is None:
                rows = [row for row in rows if word in texts[row]]
            else:
                rows = [row for row in rows if word in texts[row] or has_label(records[row])]
        return [records[row] for row in rows]

    def _labels_with(self, word: str) -> Callable[[ImageRecord], bool] | None:
        """Return whether a record's label or part has a word; None if none of them has."""
        labels = {c.id for c in self.classes if word in c.name.casefold()}
        names = self.split_names.items()
        splits = {part for part, name in names if word in part or word in name.casefold()}
        if not labels and not splits:
            return None
        if not self.is_multi:
            return lambda record: record.class_id in labels or record.split in splits
        return lambda record: (
            record.split in splits
            or any(value and label in labels for label, value in record.findings.items())
        )

    def _sorted(self, records: list[ImageRecord], sort_by: SortBy) -> list[ImageRecord]:
        """Return records, which stand in the order of their names, in another order."""
        match sort_by:
            case SortBy.PATIENT:
                keys = [record.patient_id for record in records]
            case SortBy.CLASS if self.is_multi:
                keys = self._first_findings(records)
            case SortBy.CLASS:
                place: dict[int | None, int] = {c.id: k for k, c in enumerate(self.classes)}
                keys = [place.get(record.class_id, len(place)) for record in records]
            case SortBy.SUSPICION:
                rank = {record: k for k, record in enumerate(self.suspects)}
                keys = [rank.get(record.id, len(rank)) for record in records]
            case _:
                return records
        return [records[row] for row in sorted(range(len(keys)), key=keys.__getitem__)]

    def _first_findings(self, records: Iterable[ImageRecord]) -> list[int]:
        """Return the place of the first finding that is present; none and unread come last."""
        ids = [c.id for c in self.classes]
        n = len(ids)
        known: dict[int, int] = {}  # many records share one mapping
        places = []
        for record in records:
            findings = record.findings
            place = known.get(id(findings))
            if place is None:
                values = tuple(map(findings.get, ids))
                place = values.index(1) if 1 in values else n if 0 in values else n + 1
                known[id(findings)] = place
            places.append(place)
        return places


def _search_text(record: ImageRecord) -> str:
    facts = (record.path, record.patient, record.modality, record.format)
    rest = (record.site or "", record.view or "", study_name(record.study))
    return "\n".join(facts + rest).casefold()


def values_of(records: Iterable[ImageRecord], name: str) -> list[str]:
    """Return the values of a field of text in alphabetical order, the unknown one last.

    Args:
        records: Where to look.
        name: ``modality``, ``site`` or ``view``.

    Returns:
        The values, with :data:`NOT_KNOWN` last if records lack one.
    """
    found = {value or NOT_KNOWN for value in {*map(attrgetter(name), records)}}
    return sorted(found, key=lambda value: (value == NOT_KNOWN, value))


def study_name(study: str | None) -> str:
    """Return the short pseudonym of a study."""
    return (study or "")[:_STUDY_DIGITS]


def _with_findings(records: list[ImageRecord], wanted: FindingIs | Reading) -> list[ImageRecord]:
    """Return the records whose findings are as wanted."""
    if isinstance(wanted, Reading):
        test = is_clear if wanted is Reading.CLEAR else is_unread
        return [record for record in records if test(record.findings)]
    value = {Mark.PRESENT: 1, Mark.ABSENT: 0}.get(wanted.mark)
    return [record for record in records if record.findings.get(wanted.class_id) == value]
