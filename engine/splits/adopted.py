"""A split that came with the label sheet: read, checked, and used only if it holds.

A finding blocks the split until the user has chosen what to do; a note only tells. Nothing here
quietly makes another split.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import DatasetError
from engine.contract.units import units
from engine.splits.leakage import LeakageProof, check_no_overlap, keep_groups_whole
from engine.splits.stratify import (
    TEST,
    TRAIN,
    UNASSIGNED,
    VAL,
    count_by_split,
    split_groups,
)

# "development" and "evaluation" are left out on purpose: authors mean different parts by them.
_SPELLINGS = {
    TRAIN: ("train", "training", "trn", "tr"),
    VAL: ("val", "valid", "validation", "validate", "dev", "tune", "tuning"),
    TEST: ("test", "testing", "tst", "te", "holdout", "heldout"),
}
_CODES = {spelling: code for code, names in _SPELLINGS.items() for spelling in names}
_NUMBERS = {"0": TRAIN, "1": VAL, "2": TEST}
_BLANKS = frozenset({"", "nan", "na", "none", "null"})
_PARTS = {TRAIN: "training", VAL: "validation", TEST: "test"}
_N_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFinding:
    """Why a given split can't be used as it is, and what the user can do.

    Attributes:
        kind: ``overlap``: patients in two parts. ``class_missing``: a part lacks a class.
            ``no_validation``: none was given and none could be carved from training.
        message: What is wrong, in a sentence.
        remedy: What to do.
        patients: Pseudonyms of the patients concerned, all of them; empty if none were given.
    """

    kind: Literal["overlap", "class_missing", "no_validation"]
    message: str
    remedy: str
    patients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdoptedSplit:
    """A given split as it was understood.

    Attributes:
        split: 0 train, 1 val, 2 test, -1 where the sheet has no value, shape ``(N,)``, int8.
        proof: Whether patients are in more than one part.
        findings: What must be settled before the split may be used; empty when it is sound.
        notes: What was done or assumed, in sentences for the user.
    """

    split: NDArray[np.int8]
    proof: LeakageProof
    findings: tuple[SplitFinding, ...]
    notes: tuple[str, ...]

    @property
    def is_usable(self) -> bool:
        """Whether nothing has to be settled."""
        return not self.findings

    def require_usable(self) -> NDArray[np.int8]:
        """Return the split.

        Raises:
            DatasetError: With the first finding, if there is one.
        """
        if self.findings:
            raise DatasetError(self.findings[0].message, remedy=self.findings[0].remedy)
        return self.split


def read_split_values(values: Sequence[str | None]) -> NDArray[np.int8]:
    """Return the split code of every image, shape ``(N,)``, from the words of a column.

    Case, spaces and punctuation don't matter, nor does a trailing "set" or "data". The numbers
    0, 1, 2 are train, val, test when 0 is more than half of them; else they may be folds.

    Args:
        values: One a row; None or blank is in no split (-1).

    Raises:
        DatasetError: If a value is none of the known words, or there is no value at all.
    """
    plain = _plain_values(values)
    rows = Counter(plain[value] for value in values)
    words = [word for word in rows if word not in _BLANKS]
    if not words:
        raise DatasetError(
            "The split column is empty.",
            remedy="Choose another column, or let RadTune make the split.",
        )
    codes = _numbered(rows) if set(words) <= _NUMBERS.keys() else _CODES
    unknown = [word for word in words if word not in codes]
    if unknown:
        raise _unknown_values(
            [value for value, word in plain.items() if word in unknown],
            n_known=len(words) - len(unknown),
        )
    return np.array([codes.get(plain[value], UNASSIGNED) for value in values], dtype=np.int8)


def check_adopted_split(
    values: Sequence[str | None],
    labels: NDArray[Any],
    groups: NDArray[np.int64],
    *,
    class_names: Sequence[str],
    pseudonyms: Sequence[str] | None = None,
    seed: int = 0,
    val_fraction: float = 0.15,
    keep_whole: bool = False,
    unit: str = "patient",
) -> AdoptedSplit:
    """Read the split column of a label sheet and check that it holds.

    Where it names no validation part, one is carved from training by whole groups, and a note
    says so: the threshold and early stopping need one, and the test part must stay untouched.

    Args:
        values: The column, one value an image.
        labels: Class indices, shape ``(N,)``; or which findings are present, bool, shape
            ``(N, K)``, of which a part may then lack one.
        groups: Group of every image, shape ``(N,)``.
        class_names: Names by index.
        pseudonyms: Patient of every image as shown to the user (P0001), never the real id; None
            makes the findings give numbers only.
        seed: Of the carving.
        val_fraction: Share of the training images to carve, in (0, 1).
        keep_whole: Whether to first move each patient found in two parts to the one that holds
            most of their images, as the user may choose after an ``overlap`` finding.
        unit: What a group is, for messages: ``patient``, ``study`` or ``file``.

    Raises:
        DatasetError: If the column can't be understood, or names no training or no test part.
        ValueError: If the inputs differ in length.
    """
    shown = pseudonyms if pseudonyms is not None else [""] * len(values)
    if not len(values) == len(labels) == len(groups) == len(shown):
        raise ValueError("values, labels, groups and pseudonyms must be equally long")
    split = read_split_values(values)
    notes = _reading_notes(values, split)
    if keep_whole:
        moved = keep_groups_whole(groups, split)
        if (moved != split).any():
            n = len(np.unique(groups[moved != split]))
            were = "was" if n == 1 else "were"
            notes.append(
                f"{units(unit, n)} {were} moved whole to the part with most of their images."
            )
        split = moved
    _require_parts(split)
    proof = check_no_overlap(groups, split)
    findings = _overlap_findings(proof, groups, shown, unit=unit)
    if not findings and not (split == VAL).any():
        try:
            split, note = _carve_validation(
                split, labels, groups, class_names, seed=seed, fraction=val_fraction, unit=unit
            )
            notes.append(note)
        except DatasetError as error:
            findings.append(_no_validation(error))
        proof = check_no_overlap(groups, split)
    if labels.ndim == 1:
        findings += _class_findings(split, labels, class_names)
    return AdoptedSplit(split=split, proof=proof, findings=tuple(findings), notes=tuple(notes))


def _plain(value: str | None) -> str:
    """Return a value in lower case without spaces, punctuation, or a trailing "set"."""
    word = re.sub(r"\.0$", "", (value or "").strip().casefold())  # 1.0 is pandas for 1
    word = re.sub(r"[\W_]+", "", word)
    return re.sub(r"(?<=.)(set|data|split|part)$", "", word)


def _plain_values(values: Sequence[str | None]) -> dict[str | None, str]:
    """Return the plain word of every different value, in order of appearance."""
    return {value: _plain(value) for value in dict.fromkeys(values)}


def _numbered(rows: Counter[str]) -> dict[str, int]:
    """Return the meaning of 0, 1, 2, or none where they look like folds or may mean anything."""
    n_named = sum(rows[number] for number in _NUMBERS)
    is_split = all(rows[number] for number in _NUMBERS) and rows["0"] > n_named / 2
    return _NUMBERS if is_split else {}


def _unknown_values(unknown: list[str | None], *, n_known: int) -> DatasetError:
    """Name the values, unless this may be another column: it could hold identifiers."""
    if n_known and len(unknown) <= _N_NAMED:
        quoted = ", ".join(f"'{(value or '').strip()[:20]}'" for value in unknown)
        what = f"{quoted}, which can't be read as training, validation or test"
    elif n_known:
        what = f"{len(unknown)} different values that can't be read as training, validation or test"
    else:
        values = "one value" if len(unknown) == 1 else f"{len(unknown)} different values"
        what = f"{values} and none can be read as training, validation or test"
    return DatasetError(
        f"The split column holds {what}.",
        remedy="Write train, val and test, choose another column, or let RadTune make the split.",
    )


def _reading_notes(values: Sequence[str | None], split: NDArray[np.int8]) -> list[str]:
    notes = []
    if set(_plain_values(values).values()) - _BLANKS <= _NUMBERS.keys():
        notes.append("The split numbers 0, 1 and 2 were read as training, validation and test.")
    n_blank = int((split == UNASSIGNED).sum())
    if n_blank:
        notes.append(
            "1 image has no value in the split column and belongs to no part."
            if n_blank == 1
            else f"{n_blank} images have no value in the split column and belong to no part."
        )
    return notes


def _require_parts(split: NDArray[np.int8]) -> None:
    for part in (TRAIN, TEST):
        if not (split == part).any():
            raise DatasetError(
                f"The split column names no {_PARTS[part]} images.",
                remedy="Mark them in the sheet, or let RadTune make the split.",
            )


def _overlap_findings(
    proof: LeakageProof, groups: NDArray[np.int64], pseudonyms: Sequence[str], *, unit: str
) -> list[SplitFinding]:
    if not proof.overlaps:
        return []
    concerned = np.isin(groups, [overlap.group for overlap in proof.overlaps])
    names = sorted({pseudonyms[int(i)] for i in np.flatnonzero(concerned)} - {""})
    shown = f": {', '.join(names[:_N_NAMED])}" if names else ""
    more = f" and {len(names) - _N_NAMED} more" if len(names) > _N_NAMED else ""
    verb = "has" if proof.n_overlapping == 1 else "have"
    return [
        SplitFinding(
            kind="overlap",
            message=f"{units(unit, proof.n_overlapping)} {verb} images in more than one part "
            f"of the given split{shown}{more}.",
            remedy=f"Make a new split, or keep each {unit} whole in the part that holds most of "
            "its images.",
            patients=tuple(names),
        )
    ]


def _class_findings(
    split: NDArray[np.int8], labels: NDArray[np.int64], class_names: Sequence[str]
) -> list[SplitFinding]:
    """Return a finding for each class that a part lacks; a part without images has its own."""
    counts = count_by_split(labels, split, len(class_names))
    return [
        SplitFinding(
            kind="class_missing",
            message=f"The {_PARTS[part]} part of the given split has no image of class '{name}'.",
            remedy="Make a new split, or merge or leave out this class.",
        )
        for part in (TRAIN, VAL, TEST)
        if counts[part].any()
        for name, n in zip(class_names, counts[part], strict=True)
        if n == 0
    ]


def _carve_validation(
    split: NDArray[np.int8],
    labels: NDArray[Any],
    groups: NDArray[np.int64],
    class_names: Sequence[str],
    *,
    seed: int,
    fraction: float,
    unit: str,
) -> tuple[NDArray[np.int8], str]:
    """Return the split with validation taken from training, and the sentence that says so."""
    rows = np.flatnonzero(split == TRAIN)
    carved = split.copy()
    carved[rows] = split_groups(
        labels[rows],
        groups[rows],
        (1 - fraction, fraction, 0.0),
        seed=seed,
        class_names=class_names,
        unit=unit,
    )
    taken = carved == VAL
    return carved, (
        f"The given split has no validation part: {units(unit, len(np.unique(groups[taken])))} "
        f"with {int(taken.sum())} images were taken from training for it."
    )


def _no_validation(error: DatasetError) -> SplitFinding:
    return SplitFinding(
        kind="no_validation",
        message="The given split has no validation part, and none can be taken from training: "
        f"{error.message}",
        remedy=error.remedy,
    )
