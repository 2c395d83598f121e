"""Images that are there more than once: the same bytes, or the same pixels in another file."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from engine.audit.study import UNASSIGNED, Study
from engine.audit.words import MOST_PAIRS, key_of
from engine.contract.records import Finding
from engine.data.phrases import count_of, verb
from engine.project.findings import EXCLUDE

KIND: Final = "exact_duplicates"
CONFLICT_KIND: Final = "label_conflict"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Picture:
    """One picture and the images that are copies of it, by index, the oldest first."""

    members: NDArray[np.int64]
    has_two_labels: bool
    n_parts: int
    n_groups: int


def copies_of(study: Study) -> NDArray[np.int64]:
    """Return for each image the number of the picture that it shows, shape ``(N,)``.

    Two images show one picture if their files hold the same bytes, or if their decoded values are
    the same. Blank images are left apart: they would all be one picture.
    """
    texts, n = study.facts.texts, len(study)
    frames = study.facts.numbers["frame"]
    is_blank = study.pictures.is_blank
    # Frames of one file share its bytes.
    by_bytes = [(s, f) if s else None for s, f in zip(texts["sha256"], frames, strict=True)]
    by_pixels = [p or None for p in texts["pixel_hash"]]
    links = [
        link
        for keys in (by_bytes, by_pixels)
        for link in _equal([None if b else k for k, b in zip(keys, is_blank, strict=True)])
    ]
    first, second = np.array(links, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links), dtype=np.int8), (first, second)), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _equal(keys: Sequence[Hashable | None]) -> list[tuple[int, int]]:
    """Return pairs of each index with the first one of the same key; None is like no other."""
    first: dict[Hashable, int] = {}
    return [
        (first[key], i)
        for i, key in enumerate(keys)
        if key is not None and first.setdefault(key, i) != i
    ]


def find_exact_duplicates(study: Study) -> list[Finding]:
    """Find copies: with two labels, on two sides of the split, and all others."""
    pictures = _pictures(study)
    conflicting = [p for p in pictures if p.has_two_labels]
    sound = [p for p in pictures if not p.has_two_labels]
    across = [p for p in sound if p.n_parts > 1]
    within = [p for p in sound if p.n_parts <= 1]
    findings = []
    if conflicting:
        findings.append(_conflict(study, conflicting))
    if across:
        findings.append(_across(study, across))
    if within:
        findings.append(_within(study, within))
    return findings


def _pictures(study: Study) -> list[_Picture]:
    numbers = copies_of(study)
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order])) + 1
    pictures = []
    for members in np.split(order, starts):
        if len(members) < 2:
            continue
        parts = study.split[members]
        pictures.append(
            _Picture(
                members=members,
                has_two_labels=len(np.unique(study.labels[members])) > 1,
                n_parts=len(np.unique(parts[parts != UNASSIGNED])),
                n_groups=len(np.unique(study.groups[members])),
            )
        )
    return pictures


def _conflict(study: Study, pictures: list[_Picture]) -> Finding:
    members = _members(pictures)
    n = len(pictures)
    across = sum(picture.n_parts > 1 for picture in pictures)
    also = (
        f" {across:,} of them {verb(across, 'lies')} on two sides of the split." if across else ""
    )
    return Finding(
        kind=CONFLICT_KIND,
        key=key_of(study.ids(members)),
        severity="high",
        n=len(members),
        sentence=f"{count_of(n, 'picture', 'has')} two labels: {count_of(len(members), 'image')} "
        f"{verb(len(members), 'is')} the same but not labelled the same.{also}",
        advice="Look at each pair and give both images the right label, or exclude them.",
        records=study.ids(members),
        pairs=_pairs(study, pictures),
        figures={"n_pictures": n},
        remedy=EXCLUDE,
        remedy_records=study.ids(members),
    )


def _across(study: Study, pictures: list[_Picture]) -> Finding:
    members, copies = _members(pictures), _copies(pictures)
    n = len(pictures)
    return Finding(
        kind=KIND,
        key=f"across_splits/{key_of(study.ids(members))}",
        severity="high",
        n=len(members),
        sentence=f"{count_of(n, 'picture', 'lies')} on two sides of the split: "
        f"{count_of(len(members), 'image')} {verb(len(members), 'is')} exact copies of one "
        "another, so that a classifier is tested on what it was trained with.",
        advice="Exclude the copies, then make the split anew.",
        records=study.ids(members),
        pairs=_pairs(study, pictures),
        figures={"n_pictures": n, "n_copies": len(copies)},
        remedy=EXCLUDE,
        remedy_records=study.ids(copies),
    )


def _within(study: Study, pictures: list[_Picture]) -> Finding:
    members, copies = _members(pictures), _copies(pictures)
    n_mixed = sum(picture.n_groups > 1 for picture in pictures)
    owner = "patients" if study.unit == "patient" else "files that count as patients of their own"
    mixed = (
        f" {n_mixed:,} of them {verb(n_mixed, 'is')} filed under different {owner}, and another "
        "split could tear them apart."
        if n_mixed
        else " None of them lies on two sides of the split."
        if study.has_split
        else ""
    )
    n = len(pictures)
    return Finding(
        kind=KIND,
        key=key_of(study.ids(members)),
        severity="medium" if n_mixed else "low",
        n=len(members),
        sentence=f"{count_of(n, 'picture', 'is')} there more than once: "
        f"{count_of(len(members), 'image')} {verb(len(members), 'is')} exact copies of one "
        f"another.{mixed}",
        advice="Exclude the copies: they count more than other images without telling anything "
        "new.",
        records=study.ids(members),
        pairs=_pairs(study, pictures),
        figures={"n_pictures": n, "n_copies": len(copies)},
        remedy=EXCLUDE,
        remedy_records=study.ids(copies),
    )


def _members(pictures: list[_Picture]) -> NDArray[np.int64]:
    return np.sort(np.concatenate([picture.members for picture in pictures]))


def _copies(pictures: list[_Picture]) -> NDArray[np.int64]:
    """Return all but the oldest image of each picture."""
    return np.sort(np.concatenate([picture.members[1:] for picture in pictures]))


def _pairs(study: Study, pictures: list[_Picture]) -> tuple[tuple[int, int], ...]:
    """Return each copy beside the oldest image of its picture."""
    pairs = [(picture.members[0], copy) for picture in pictures for copy in picture.members[1:]]
    ids = study.record_ids
    return tuple((int(ids[first]), int(ids[second])) for first, second in pairs[:MOST_PAIRS])
