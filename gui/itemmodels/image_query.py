"""Which images are shown and in which order: pure functions over the project's records.

All of them answer within a few hundredths of a second for 100,000 records: filters look at values
that many records share once, and orders are made by numbers from records that stand in the order of
their names already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from operator import attrgetter
from typing import Final

from engine.contract.records import ClassSummary, ImageRecord
from gui.itemmodels.label_states import Findings, Mark, is_clear, is_unread, mark_of

__all__ = [
    "FindingIs",
    "ImageQuery",
    "ImageSelector",
    "Reading",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSelector:
    """The records of a project, and what their order depends on.

    Attributes:
        records: In the order of their names.
        classes: In their order.
        split_names: Words for the parts of the split, by part.
        suspects: Images with a doubtful label, the most doubtful first.
        is_multi: Whether images have several findings.
    """

    records: Sequence[ImageRecord]
    classes: Sequence[ClassSummary]
    split_names: Mapping[str, str] = field(default_factory=dict)
    suspects: Sequence[int] = ()
    is_multi: bool = False

    def select(self, query: ImageQuery) -> list[ImageRecord]:
        """Return the records that a query asks for, in its order."""
        only = query.only
        kept = [r for r in self.records if r.id in only] if only is not None else [*self.records]
        if query.class_id is not None:
            wanted = None if query.class_id == UNLABELLED else query.class_id
            kept = [record for record in kept if record.class_id == wanted]
        if query.finding is not None:
            kept = _reading(kept, query.finding)
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
        for word in query.text.casefold().split():
            kept = self._with_word(kept, word)
        return self._sorted(kept, query.sort_by)

    def _with_word(self, records: list[ImageRecord], word: str) -> list[ImageRecord]:
        """Return the records that a word occurs in."""
        labels = {c.id for c in self.classes if word in c.name.casefold()}
        splits = {
            part
            for part, name in self.split_names.items()
            if word in part or word in name.casefold()
        }
        modalities, formats, sites, views = (
            {value for value in {*map(attrgetter(name), records)} if word in _folded(value)}
            for name in ("modality", "format", "site", "view")
        )
        studies = {study for study in {r.study for r in records} if study_name(study) == word}
        shared = _shared(records) if labels and self.is_multi else {}
        findings = {key for key, found in shared.items() if any(found.get(k) for k in labels)}
        return [
            r
            for r in records
            if r.class_id in labels
            or r.modality in modalities
            or r.site in sites
            or r.view in views
            or r.split in splits
            or r.format in formats
            or r.study in studies
            or id(r.findings) in findings
            or word in r.path.casefold()
            or word in r.patient.casefold()
        ]

    def _sorted(self, records: list[ImageRecord], sort_by: SortBy) -> list[ImageRecord]:
        """Return records, which stand in the order of their names, in another order."""
        match sort_by:
            case SortBy.PATIENT:
                records.sort(key=attrgetter("patient_id"))
            case SortBy.CLASS if self.is_multi:
                records.sort(key=self._by_findings(records))
            case SortBy.CLASS:
                place: dict[int | None, int] = {c.id: k for k, c in enumerate(self.classes)}
                last = len(place)
                records.sort(key=lambda record: place.get(record.class_id, last))
            case SortBy.SUSPICION:
                rank = {record: k for k, record in enumerate(self.suspects)}
                last = len(rank)
                records.sort(key=lambda record: rank.get(record.id, last))
        return records

    def _by_findings(self, records: Iterable[ImageRecord]) -> Callable[[ImageRecord], int]:
        """Order by the first finding that is present; then those without one, then the unread."""
        place = {c.id: k for k, c in enumerate(self.classes)}
        n = len(place)
        first = {
            key: min(
                (place.get(class_id, n) for class_id, value in found.items() if value),
                default=n + is_unread(found),
            )
            for key, found in _shared(records).items()
        }
        return lambda record: first[id(record.findings)]


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


def _reading(records: list[ImageRecord], wanted: FindingIs | Reading) -> list[ImageRecord]:
    """Return the records whose findings are as wanted."""

    def is_so(found: Findings) -> bool:
        if isinstance(wanted, FindingIs):
            return mark_of(found, wanted.class_id) is wanted.mark
        return is_clear(found) if wanted is Reading.CLEAR else is_unread(found)

    passing = {key for key, found in _shared(records).items() if is_so(found)}
    return [record for record in records if id(record.findings) in passing]


def _shared(records: Iterable[ImageRecord]) -> dict[int, Findings]:
    """Return the mappings of findings that occur, by identity: far fewer than records."""
    return {id(record.findings): record.findings for record in records}


def _folded(value: str | None) -> str:
    return (value or "").casefold()
