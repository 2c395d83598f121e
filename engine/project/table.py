"""What a run depends on: the usable images as arrays, and a hash of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.config_io import to_plain
from engine.project.classes import ClassStore

SPLIT_CODES: Final[dict[str | None, int]] = {"train": 0, "val": 1, "test": 2, None: -1}
_DIGEST_DIGITS: Final = 32

_USABLE: Final = """
    FROM records AS r
    JOIN classes AS c ON c.id = r.class_id
    JOIN patients AS p ON p.id = r.patient_id
    WHERE r.exclusion IS NULL AND NOT c.is_left_out
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingTable:
    """The usable images (labelled, not excluded, class not left out), by record id.

    Attributes:
        record_ids: Row ids in the project, int64, shape ``(N,)``, increasing.
        rows: Rows in the thumbnail and pixel segments, int64 ``(N,)``.
        labels: Class indices, int64 ``(N,)``, in ``[0, K)``.
        groups: What must stay on one side of a split, int64 ``(N,)``.
        patients: Row ids of patients, int64 ``(N,)``.
        split: int8 ``(N,)``: 0 train, 1 validation, 2 test, -1 none.
        class_names: K names in index order.
        positive: Index of the positive class of two, else None.
        unit: What most groups really are: ``patient``, ``study`` or ``file``.
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


class TableStore(ClassStore):
    """What runs depend on."""

    _digests: tuple[int, str, str] | None = None

    def training_table(self) -> TrainingTable:
        """Return the usable images as arrays."""
        with self.db.snapshot():
            rows = self.db.all(
                f"SELECT r.id, r.row, r.class_id, r.patient_id, r.split, p.origin {_USABLE} "
                "ORDER BY r.id"
            )
            in_use = [summary for summary in self.classes() if summary.index is not None]
        index = {summary.id: position for position, summary in enumerate(in_use)}
        columns = tuple(zip(*rows, strict=True)) or ((),) * 6
        ids, pixel_rows, class_ids, patients, splits, origins = columns
        return TrainingTable(
            record_ids=np.array(ids, dtype=np.int64),
            rows=np.array(pixel_rows, dtype=np.int64),
            labels=np.array([index[class_id] for class_id in class_ids], dtype=np.int64),
            groups=np.array(patients, dtype=np.int64),
            patients=np.array(patients, dtype=np.int64),
            split=np.array([SPLIT_CODES[split] for split in splits], dtype=np.int8),
            class_names=tuple(summary.name for summary in in_use),
            positive=next((s.index for s in in_use if s.is_positive), None),
            unit=Counter(origins).most_common(1)[0][0] if origins else "patient",
        )

    def data_digest(self) -> str:
        """Return a hash of everything in the project that a run's result depends on.

        Usable images (their bytes), labels, patients, class names and order, the positive class and
        the image contract; not the split, which has its own. Equal digests mean that a run would
        give the same result again.
        """
        return self._current_digests()[0]

    def usable_digest(self) -> str:
        """Return a hash of what a split depends on: usable images, their classes and patients."""
        return self._current_digests()[1]

    def _current_digests(self) -> tuple[str, str]:
        with self.db.snapshot():
            revision = self.data_revision()
            if self._digests is None or self._digests[0] != revision:
                self._digests = (revision, *self._digest_data())
        return self._digests[1], self._digests[2]

    def _digest_data(self) -> tuple[str, str]:
        rows = self.db.all(
            f"SELECT r.id, r.class_id, r.patient_id, r.row, r.sha256 {_USABLE} ORDER BY r.id"
        )
        usable = hashlib.sha256(repr([row[:3] for row in rows]).encode()).hexdigest()
        in_use = [(s.id, s.name, s.is_positive) for s in self.classes() if s.index is not None]
        settings = json.dumps([in_use, to_plain(self.image_contract)], sort_keys=True)
        everything = hashlib.sha256(f"{usable}\n{settings}".encode())
        everything.update(repr([row[3:] for row in rows]).encode())
        return everything.hexdigest()[:_DIGEST_DIGITS], usable[:_DIGEST_DIGITS]
