"""What a run depends on: the usable images as arrays, and a hash of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.config_io import to_plain
from engine.contract.errors import DatasetError
from engine.contract.targets import SIGMOID, SOFTMAX, UNKNOWN
from engine.project.classes import MULTI, ORDINAL, ClassStore
from engine.project.learnable import count_states, why_not_learnable

SPLIT_CODES: Final[dict[str | None, int]] = {"train": 0, "val": 1, "test": 2, None: -1}
_DIGEST_DIGITS: Final = 32

_USABLE: Final = """
    FROM records AS r
    JOIN classes AS c ON c.id = r.class_id
    JOIN patients AS p ON p.id = r.patient_id
    WHERE r.exclusion IS NULL AND NOT c.is_left_out
"""
_CHOSEN: Final = """
    FROM record_findings AS f
    JOIN records AS r ON r.id = f.record_id
    JOIN patients AS p ON p.id = r.patient_id
    WHERE f.class_id = ? AND f.value IS NOT NULL AND r.exclusion IS NULL
"""
_READ: Final = """
    FROM (
        SELECT f.record_id, group_concat(f.class_id || '=' || coalesce(f.value, ''), ' ') AS found
        FROM record_findings AS f JOIN classes AS c ON c.id = f.class_id
        WHERE NOT c.is_left_out GROUP BY f.record_id HAVING count(f.value) > 0
    ) AS f
    JOIN records AS r ON r.id = f.record_id
    JOIN patients AS p ON p.id = r.patient_id
    WHERE r.exclusion IS NULL
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingTable:
    """The usable images (labelled, not excluded, class not left out), by record id.

    Of a project with several findings an image, those of which the chosen finding is known; its
    classes are then the absence and the presence of that finding. Where all findings are learned
    at once, those of which at least one is known.

    Attributes:
        record_ids: Row ids in the project, int64, shape ``(N,)``, increasing.
        rows: Rows in the thumbnail and pixel segments, int64 ``(N,)``.
        labels: Class indices, int64 ``(N,)``, in ``[0, K)``. Of all findings at once, int64
            ``(N, K)``: 1 present, 0 absent, -1 unknown.
        groups: What must stay on one side of a split, int64 ``(N,)``: patients, linked ones
            together.
        patients: Row ids of patients, int64 ``(N,)``.
        split: int8 ``(N,)``: 0 train, 1 validation, 2 test, -1 none.
        class_names: K names in index order; of an ordinal project from the lowest grade.
        positive: Index of the positive class of two, else None.
        unit: What most groups really are: ``patient``, ``study`` or ``file``.
        is_ordinal: Whether the classes are grades with an order.
        left_out: Findings that can't be learned now, with the reason, where all are learned.
    """

    record_ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    patients: NDArray[np.int64]
    split: NDArray[np.int8]
    class_names: tuple[str, ...]
    positive: int | None
    unit: str
    is_ordinal: bool = False
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def is_multi(self) -> bool:
        """Whether an image has any number of the classes, each of them present or absent."""
        return self.labels.ndim == 2

    @property
    def strata(self) -> NDArray[Any]:
        """What a division keeps in proportion: classes, ``(N,)``, or findings present, ``(N, K)``.

        A finding that is unknown counts as absent here, as it does when patients are divided.
        """
        return np.equal(self.labels, 1) if self.is_multi else self.labels

    @property
    def activation(self) -> str:
        """What turns a network's outputs into probabilities of this table's classes."""
        return SIGMOID if self.is_multi else SOFTMAX


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FindingsTable:
    """The images of which at least one finding is known, by record id; as :class:`TrainingTable`.

    Attributes:
        values: 1 present, 0 absent, -1 unknown, int8, shape ``(N, K)``.
        class_names: K findings in use.
    """

    record_ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    values: NDArray[np.int8]
    groups: NDArray[np.int64]
    patients: NDArray[np.int64]
    split: NDArray[np.int8]
    class_names: tuple[str, ...]
    unit: str

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Which values are known, shape ``(N, K)``: the mask of a loss and of every measure."""
        return np.not_equal(self.values, UNKNOWN)


class TableStore(ClassStore):
    """What runs depend on."""

    _digests: tuple[int, str, str] | None = None

    def training_table(self) -> TrainingTable:
        """Return the usable images as arrays.

        Raises:
            DatasetError: If all of several findings are to be learned and none of them can be.
        """
        with self.db.snapshot():
            summaries = [summary for summary in self.classes() if summary.index is not None]
            if self.task == MULTI:
                chosen = self.chosen_finding
                return self._all_findings() if chosen is None else self._chosen_table(chosen)
            index = {summary.id: position for position, summary in enumerate(summaries)}
            rows = self.db.all(
                f"SELECT r.id, r.row, r.class_id, r.patient_id, r.split, p.origin {_USABLE} "
                "ORDER BY r.id"
            )
            return self._table(
                [(*row[:2], index[row[2]], *row[3:]) for row in rows],
                class_names=tuple(summary.name for summary in summaries),
                positive=next((s.index for s in summaries if s.is_positive), None),
            )

    def _all_findings(self) -> TrainingTable:
        every = self.findings_table()
        left_out = why_not_learnable(count_states(every.values, every.split), every.class_names)
        kept = [k for k, name in enumerate(every.class_names) if name not in left_out]
        if not kept:
            raise _nothing_to_learn(left_out)
        values = every.values[:, kept]
        is_known = (values != UNKNOWN).any(axis=1)
        return TrainingTable(
            record_ids=every.record_ids[is_known],
            rows=every.rows[is_known],
            labels=values[is_known].astype(np.int64),
            groups=every.groups[is_known],
            patients=every.patients[is_known],
            split=every.split[is_known],
            class_names=tuple(every.class_names[k] for k in kept),
            positive=None,
            unit=every.unit,
            left_out=left_out,
        )

    def _chosen_table(self, chosen: int) -> TrainingTable:
        name = next(summary.name for summary in self.classes() if summary.id == chosen)
        rows = self.db.all(
            f"SELECT r.id, r.row, f.value, r.patient_id, r.split, p.origin {_CHOSEN} ORDER BY r.id",
            (chosen,),
        )
        return self._table(rows, class_names=(f"no {name}", name), positive=1)

    def _table(
        self, rows: Sequence[Any], *, class_names: tuple[str, ...], positive: int | None
    ) -> TrainingTable:
        ids, pixel_rows, labels, patients, splits, origins = _columns(rows)
        return TrainingTable(
            record_ids=np.array(ids, dtype=np.int64),
            rows=np.array(pixel_rows, dtype=np.int64),
            labels=np.array(labels, dtype=np.int64),
            groups=self._groups(patients),
            patients=np.array(patients, dtype=np.int64),
            split=np.array([SPLIT_CODES[split] for split in splits], dtype=np.int8),
            class_names=class_names,
            positive=positive,
            unit=_unit(origins),
            is_ordinal=self.task == ORDINAL,
        )

    def findings_table(self) -> FindingsTable:
        """Return the findings of all usable images as arrays.

        Raises:
            ValueError: If the project has one class an image.
        """
        if self.task != MULTI:
            raise ValueError(f"not in a project whose task is {self.task}")
        with self.db.snapshot():
            columns = "r.id, r.row, f.found, r.patient_id, r.split, p.origin"
            rows = self.db.all(f"SELECT {columns} {_READ} ORDER BY r.id")
            in_use = [summary for summary in self.classes() if summary.index is not None]
            ids, pixel_rows, texts, patients, splits, origins = _columns(rows)
            return FindingsTable(
                record_ids=np.array(ids, dtype=np.int64),
                rows=np.array(pixel_rows, dtype=np.int64),
                values=_values(texts, [summary.id for summary in in_use]),
                groups=self._groups(patients),
                patients=np.array(patients, dtype=np.int64),
                split=np.array([SPLIT_CODES[split] for split in splits], dtype=np.int8),
                class_names=tuple(summary.name for summary in in_use),
                unit=_unit(origins),
            )

    def _groups(self, patients: Sequence[int]) -> NDArray[np.int64]:
        """Return what must stay together: patients, those that were linked under one number."""
        links = dict(self.db.all("SELECT patient_id, with_patient FROM patient_links"))
        parent: dict[int, int] = {}

        def root(patient: int) -> int:
            while patient in parent:
                patient = parent[patient]
            return patient

        for patient, other in sorted(links.items()):
            low, high = sorted((root(patient), root(other)))
            if low != high:
                parent[high] = low
        return np.array([root(patient) for patient in patients], dtype=np.int64)

    def data_digest(self) -> str:
        """Return a hash of everything in the project that a run's result depends on.

        Usable images (their bytes), labels or findings, patients and the links between them, class
        names and order, the positive class or the chosen finding, and the image contract; not the
        split, which has its own. Equal digests mean that a run would give the same result again.
        """
        return self._current_digests()[0]

    def usable_digest(self) -> str:
        """Return a hash of what a split depends on: usable images, their classes and patients.

        A project with several findings is divided by all of them, whichever is chosen.
        """
        return self._current_digests()[1]

    def _current_digests(self) -> tuple[str, str]:
        with self.db.snapshot():
            revision = self.data_revision()
            if self._digests is None or self._digests[0] != revision:
                self._digests = (revision, *self._digest_data())
        return self._digests[1], self._digests[2]

    def _digest_data(self) -> tuple[str, str]:
        is_multi = self.task == MULTI
        usable, label = (_READ, "f.found") if is_multi else (_USABLE, "r.class_id")
        columns = f"r.id, {label}, r.patient_id, r.row, r.sha256"
        rows = self.db.all(f"SELECT {columns} {usable} ORDER BY r.id")
        links = self.db.all("SELECT * FROM patient_links ORDER BY patient_id")
        split_by = _hashed([row[:3] for row in rows], links)
        classes = [(s.id, s.name, s.is_positive) for s in self.classes() if s.index is not None]
        learned = split_by
        if is_multi and (chosen := self.chosen_finding) is not None:
            columns = "r.id, f.value, r.patient_id, r.row, r.sha256"
            rows = self.db.all(f"SELECT {columns} {_CHOSEN} ORDER BY r.id", (chosen,))
            classes = [kind for kind in classes if kind[0] == chosen]
            learned = _hashed([row[:3] for row in rows], links)
        settings = json.dumps([classes, to_plain(self.image_contract)], sort_keys=True)
        everything = hashlib.sha256(f"{learned}\n{settings}".encode())
        everything.update(repr([row[3:] for row in rows]).encode())
        return everything.hexdigest()[:_DIGEST_DIGITS], split_by[:_DIGEST_DIGITS]


def _nothing_to_learn(left_out: dict[str, str]) -> DatasetError:
    if not left_out:
        return DatasetError(
            "No image shows a finding yet.", remedy="Mark findings, or add a label sheet."
        )
    name, reason = next(iter(left_out.items()))
    others = f" The other {len(left_out) - 1} can't be either." if len(left_out) > 1 else ""
    return DatasetError(
        f"“{name}” can't be learned: {reason}{others}",
        remedy="Mark more images, or make the split anew.",
    )


def _hashed(rows: Sequence[Any], links: Sequence[Any]) -> str:
    digest = hashlib.sha256(repr(rows).encode())
    if links:
        digest.update(repr(links).encode())
    return digest.hexdigest()


def _columns(rows: Sequence[Any]) -> tuple[tuple[Any, ...], ...]:
    return tuple(zip(*rows, strict=True)) or ((),) * 6


def _unit(origins: Sequence[str]) -> str:
    return Counter(origins).most_common(1)[0][0] if origins else "patient"


def _values(texts: Sequence[str], class_ids: Sequence[int]) -> NDArray[np.int8]:
    """Return findings as numbers, shape ``(N, K)``, each kind of text read once."""
    position = {class_id: k for k, class_id in enumerate(class_ids)}
    kinds = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    read = np.full((len(kinds), len(class_ids)), UNKNOWN, dtype=np.int8)
    for text, number in kinds.items():
        for pair in text.split():
            class_id, _, value = pair.partition("=")
            if value and int(class_id) in position:
                read[number, position[int(class_id)]] = int(value)
    return read[[kinds[text] for text in texts]]
