"""The project's split: who is in training, validation and test."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from engine.contract.config_io import from_plain, to_plain
from engine.contract.records import SPLITS, SplitSummary
from engine.project.table import TableStore


class SplitStore(TableStore):
    """The split of a project; there is one at a time."""

    def save_split(self, assignment: Mapping[int, str | None], summary: SplitSummary) -> None:
        """Replace the split, as a whole or not at all.

        Args:
            assignment: ``train``, ``val``, ``test`` or None by record id; records that aren't named
                are in no split.
            summary: What is shown of it.

        Raises:
            ValueError: If a split has another name.
        """
        if unknown := set(assignment.values()) - {*SPLITS, None}:
            raise ValueError(f"no such split: {unknown}")
        with self.transaction():
            before = dict(self.db.all("SELECT id, split FROM records"))
            self.db.execute_many(
                "UPDATE records SET split = ? WHERE id = ?",
                [
                    (assignment.get(record), record)
                    for record, split in before.items()
                    if assignment.get(record) != split
                ],
            )
            self.db.execute(
                "INSERT OR REPLACE INTO split (id, at, summary, usable_digest) VALUES (1, ?, ?, ?)",
                (time.time(), json.dumps(to_plain(summary)), self.usable_digest()),
            )

    def split_summary(self) -> SplitSummary | None:
        """Return what is shown of the split, stale or not; None if there is none."""
        text = self.db.value("SELECT summary FROM split")
        if text is None:
            return None
        summary: SplitSummary = from_plain(SplitSummary, json.loads(text))
        return summary

    def split_is_stale(self) -> bool:
        """Return whether usable images, their labels or patients changed since the split was made.

        False if there is no split.
        """
        digest = self.db.value("SELECT usable_digest FROM split")
        return digest is not None and digest != self.usable_digest()

    def split_digest(self) -> str:
        """Return the split's digest, or an empty string without one."""
        summary = self.split_summary()
        return summary.digest if summary is not None else ""
