"""What audits found, what the user accepted, and the changes that one click makes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from engine.contract.config_io import from_plain, to_plain
from engine.contract.errors import DatasetError
from engine.contract.records import AuditReport, Finding
from engine.project.labels import exclude
from engine.project.runs import RunStore

EXCLUDE: Final = "exclude"
LINK_PATIENTS: Final = "link_patients"
CROP: Final = "crop"
REMEDIES: Final = (EXCLUDE, LINK_PATIENTS, CROP)
"""Keys of the changes that a click on a finding makes."""

_REASONS: Final = {
    "exact_duplicates": "copy of another image",
    "label_conflict": "same image with two labels",
    "blank_images": "blank image",
    "inverted_images": "inverted image",
    "padded_images": "mostly border",
    "burned_in": "text burned into the image",
}
_COPIES: Final = ("exact_duplicates", "near_duplicates", "label_conflict")
_OTHER_REASON: Final = "found by the audit"
_IDS_PER_QUERY: Final = 900  # below the 999 parameters that old SQLite builds allow
_DIGEST_DIGITS: Final = 32


class FindingStore(RunStore):
    """The newest audit of a project, the notes on its findings, and patients kept together."""

    def audit_digest(self) -> str:
        """Return hashes of what an audit looks at: images, labels, patients, pixels; and split."""
        with self.db.snapshot():
            parts = (self.data_digest(), self.usable_digest())
            split = self.split_digest()
        data = hashlib.sha256("|".join(parts).encode()).hexdigest()[:_DIGEST_DIGITS]
        return f"{data}|{split}"

    def save_audit(self, report: AuditReport, *, digest: str | None = None) -> None:
        """Keep a report instead of the one before.

        Args:
            report: What was found; notes in it are not kept, see :meth:`accept_finding`.
            digest: :meth:`audit_digest` from before the audit looked, so that a label that was
                changed meanwhile makes it stale; None takes the present one.
        """
        numbered = tuple(
            replace(finding, id=number, note=None)
            for number, finding in enumerate(report.findings, start=1)
        )
        text = json.dumps(to_plain(replace(report, findings=numbered)))
        with self.transaction():
            self.db.execute(
                "INSERT OR REPLACE INTO audits (id, at, data_digest, report) VALUES (1, ?, ?, ?)",
                (time.time(), digest or self.audit_digest(), text),
            )

    def audit(self) -> AuditReport | None:
        """Return the newest report with the notes on its findings; None before the first audit."""
        with self.db.snapshot():
            text = self.db.value("SELECT report FROM audits")
            if text is None:
                return None
            rows = self.db.all("SELECT kind, key, note FROM accepted_findings")
        notes = {(kind, key): note for kind, key, note in rows}
        report: AuditReport = from_plain(AuditReport, json.loads(text))
        findings = (replace(f, note=notes.get((f.kind, f.key))) for f in report.findings)
        return replace(report, findings=tuple(findings))

    def audit_is_stale(self) -> bool:
        """Return whether what an audit looks at changed since; False without an audit.

        A first split, made after the audit, leaves it fresh, unless there are copies of images,
        which could now lie on two sides.
        """
        row = self.db.one("SELECT data_digest, report FROM audits")
        if row is None:
            return False
        (data, _, split), (data_now, _, split_now) = (
            text.partition("|") for text in (row[0], self.audit_digest())
        )
        if data != data_now:
            return True
        if split == split_now:
            return False
        kinds = {finding["kind"] for finding in json.loads(row[1])["findings"]}
        return bool(split) or not kinds.isdisjoint(_COPIES)

    def accept_finding(self, kind: str, key: str, note: str) -> None:
        """Note why a finding is all right; later audits that find the same keep the note."""
        with self.transaction():
            self.db.execute(
                "INSERT OR REPLACE INTO accepted_findings (kind, key, at, note) "
                "VALUES (?, ?, ?, ?)",
                (kind, key, time.time(), note.strip()),
            )

    def reopen_finding(self, kind: str, key: str) -> None:
        """Take an acceptance back."""
        with self.transaction():
            self.db.execute("DELETE FROM accepted_findings WHERE kind = ? AND key = ?", (kind, key))

    def patient_links(self) -> dict[int, int]:
        """Return the patients that are kept with another one, and that other one."""
        return dict(self.db.all("SELECT patient_id, with_patient FROM patient_links"))

    def link_patients(self, pairs: Iterable[tuple[int, int]]) -> int:
        """Keep patients on one side of every later split, as if they were one.

        Links chain. The present split becomes stale.

        Args:
            pairs: Row ids of patients.

        Returns:
            How many patients are now kept with another one that weren't before.

        Raises:
            ValueError: If there is no such patient.
        """
        with self.transaction():
            before = self.patient_links()
            after = _joined([*before.items(), *pairs])
            known = {row[0] for row in self.db.all("SELECT id FROM patients")}
            if unknown := {*after.keys(), *after.values()} - known:
                raise ValueError(f"there is no patient {unknown}")
            self._replace_links(after)
        return len(after) - len(before)

    def unlink_patients(self, patients: Iterable[int]) -> None:
        """Let patients be divided by themselves again; others of their group stay together."""
        leaving = {int(patient) for patient in patients}
        with self.transaction():
            groups: dict[int, list[int]] = {}
            for patient, root in self.patient_links().items():
                groups.setdefault(root, [root]).append(patient)
            kept = [sorted(set(members) - leaving) for members in groups.values()]
            pairs = [(member, members[0]) for members in kept for member in members[1:]]
            self._replace_links(_joined(pairs))

    def _replace_links(self, links: Mapping[int, int]) -> None:
        self.db.execute("DELETE FROM patient_links")
        self.db.execute_many(
            "INSERT INTO patient_links (patient_id, with_patient) VALUES (?, ?)", links.items()
        )
        self.note_data_change()

    def apply_remedy(self, finding: Finding) -> str:
        """Make the change that a finding offers, and return a sentence on what was done.

        Exclusions are a step of the history that can be undone. Other remedies settle the finding:
        it leaves the report, and a later audit tells whether it is really gone.

        Raises:
            DatasetError: If the finding offers none.
            ValueError: If one of its images doesn't exist any more.
        """
        if finding.remedy == EXCLUDE:
            exclude(self, finding.remedy_records, _REASONS.get(finding.kind, _OTHER_REASON))
            n = len(finding.remedy_records)
            return f"{n:,} image{' is' if n == 1 else 's are'} now excluded."
        if finding.remedy == LINK_PATIENTS:
            with self.transaction():
                n = self.link_patients(self._patients_of(finding.pairs))
                self._settle(finding)
            return f"{n:,} patient{' is' if n == 1 else 's are'} now kept with another one."
        if finding.remedy == CROP:
            with self.transaction():
                self.image_contract = replace(self.image_contract, fit="center_crop")
                self._settle(finding)
            return "The images are now cropped to their centre square."
        raise DatasetError(
            "Nothing can be done about this finding with one click.",
            remedy="Follow its advice, or accept it with a note.",
        )

    def _patients_of(self, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        pairs = list(pairs)
        ids = sorted({record for pair in pairs for record in pair})
        patient_of: dict[int, int] = {}
        for start in range(0, len(ids), _IDS_PER_QUERY):
            part = ids[start : start + _IDS_PER_QUERY]
            marks = ",".join("?" * len(part))
            patient_of.update(
                self.db.all(f"SELECT id, patient_id FROM records WHERE id IN ({marks})", part)
            )
        if missing := set(ids) - patient_of.keys():
            raise ValueError(f"there is no record {missing}")
        return [(patient_of[first], patient_of[second]) for first, second in pairs]

    def _settle(self, finding: Finding) -> None:
        """Take a finding out of the report, which stays as old as it is."""
        text = self.db.value("SELECT report FROM audits")
        if text is None:
            return
        report: AuditReport = from_plain(AuditReport, json.loads(text))
        left = tuple(f for f in report.findings if (f.kind, f.key) != (finding.kind, finding.key))
        self.db.execute(
            "UPDATE audits SET report = ?", (json.dumps(to_plain(replace(report, findings=left))),)
        )


def _joined(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Return the smallest member of its group for every other member (union-find)."""
    parents: dict[int, int] = {}

    def root(item: int) -> int:
        while (parent := parents.setdefault(item, item)) != item:
            parents[item] = parents[parent]
            item = parent
        return item

    for first, second in pairs:
        low, high = sorted((root(int(first)), root(int(second))))
        parents[high] = low
    return {item: root(item) for item in sorted(parents) if root(item) != item}
