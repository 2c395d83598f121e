"""What a project held when it was last read; pages draw from it, never from the database.

``engine.project`` is imported where it is used: it brings NumPy, and the first paint needs neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.contract.events import COMPLETED, STOPPED
from engine.contract.records import (
    AuditReport,
    ClassSummary,
    ImageRecord,
    RunSummary,
    SkippedFile,
    SplitSummary,
)
from engine.contract.seen_before import SeenBefore
from gui.itemmodels.image_query import SearchTexts
from gui.itemmodels.label_states import MarkCounts, count_marks, left_out_findings

if TYPE_CHECKING:
    from engine.project.store import Project

__all__ = ["Snapshot", "read_changes", "read_snapshot"]

_FINISHED: Final = (COMPLETED, STOPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a project held when it was last read; pages draw from it, never from the database.

    Attributes:
        audit: What the newest audit found, with the notes of what was accepted since.
        is_audit_stale: Whether the data have changed since.
        can_undo, can_redo: Whether there is a change of labels or classes to take back or repeat.
        patient_sources: Where they came from, in the words of ``PatientRule``; empty if unknown.
        patient_units: What patient ids really tell apart: ``patient``, ``study`` or ``file``.
        task: What an image has: ``single`` class, ``multi`` findings, or an ``ordinal`` grade.
        marks: By class id how often a finding is present, absent and unknown in images that aren't
            excluded; empty unless images have several findings.
        findings_left_out: Findings that a run on all of them leaves out, with the reason; empty
            unless all are to be learned.
        seen: Whom weights that were pre-trained on this project know of it, by their SHA-256.
        by_name: The records in the order of their names.
        texts: What words are looked for in, in the order of ``by_name``.
    """

    folder: Path | None = None
    records: tuple[ImageRecord, ...] = ()
    classes: tuple[ClassSummary, ...] = ()
    skipped: tuple[SkippedFile, ...] = ()
    split: SplitSummary | None = None
    is_split_stale: bool = False
    audit: AuditReport | None = None
    is_audit_stale: bool = False
    runs: tuple[RunSummary, ...] = ()
    n_patients: int = 0
    can_undo: bool = False
    can_redo: bool = False
    patient_sources: tuple[str, ...] = ()
    patient_units: dict[str, int] = field(default_factory=dict)
    task: str = "single"
    marks: dict[int, MarkCounts] = field(default_factory=dict)
    findings_left_out: dict[str, str] = field(default_factory=dict)
    seen: dict[str, SeenBefore] = field(default_factory=dict)
    by_id: dict[int, ImageRecord] = field(default_factory=dict)
    by_name: tuple[ImageRecord, ...] = ()
    texts: SearchTexts = field(default_factory=SearchTexts)

    @property
    def is_multi(self) -> bool:
        """Whether images have several findings."""
        return self.task == "multi"

    @property
    def is_ordinal(self) -> bool:
        """Whether the classes are grades."""
        return self.task == "ordinal"

    @property
    def learned(self) -> ClassSummary | None:
        """The one of several findings that runs learn; None where they learn all at once."""
        return next((c for c in self.classes if c.is_positive), None) if self.is_multi else None

    @property
    def trained_names(self) -> tuple[str, ...]:
        """What runs tell apart, in index order, as a training table names it."""
        if (learned := self.learned) is not None:
            return (f"no {learned.name}", learned.name)
        in_use = (c.name for c in self.classes if c.index is not None)
        return tuple(name for name in in_use if name not in self.findings_left_out)

    @property
    def can_split(self) -> bool:
        """Whether there are classes to be kept in balance, or findings."""
        n_classes = sum(1 for c in self.classes_in_use if c.n_images)
        return n_classes >= (1 if self.is_multi else 2)

    @property
    def is_finding_missing(self) -> bool:
        """Whether there is no finding to learn that is present in some images, absent in others."""
        if not self.is_multi:
            return False
        if self.learned is None:
            return not self.trained_names
        marks = self.marks[self.learned.id]
        return not (marks.n_present and marks.n_absent)

    @property
    def suspects(self) -> tuple[int, ...]:
        """Images whose label the newest audit doubts, the most doubtful first."""
        findings = self.audit.findings if self.audit is not None else ()
        doubtful = (f.records for f in findings if f.kind == "label_suspects")
        return tuple(dict.fromkeys(record for records in doubtful for record in records))

    @property
    def classes_in_use(self) -> tuple[ClassSummary, ...]:
        """Classes that are not left out, in index order."""
        return tuple(c for c in self.classes if not c.is_left_out)

    @property
    def finished_runs(self) -> tuple[RunSummary, ...]:
        """Runs with weights worth keeping, newest first."""
        return tuple(run for run in self.runs if run.state in _FINISHED)

    def class_of(self, record: ImageRecord) -> ClassSummary | None:
        """Return a record's class."""
        return next((c for c in self.classes if c.id == record.class_id), None)


def read_snapshot(folder: Path, *, has_worker: bool = False) -> Snapshot:
    """Read everything the pages show; for a thread of its own, since it can take a second.

    Args:
        folder: Of the open project.
        has_worker: Whether a run is under way; else one that is marked so was cut off.
    """
    from engine.project.store import Project

    with Project.open(folder, read_only=True) as project:
        records = tuple(project.records())
        # Two sorts by plain values take half the time of one by pairs, and hold up the window's
        # thread less.
        by_name = sorted(sorted(records, key=attrgetter("frame")), key=_folded_path)
        images = _Images(records, tuple(by_name), SearchTexts(by_name))
        return _snapshot(project, folder, images, project.audit(), has_worker=has_worker)


class _Images(NamedTuple):
    """The records by id and by name, and what words are looked for in."""

    records: tuple[ImageRecord, ...]
    by_name: tuple[ImageRecord, ...]
    texts: SearchTexts


def _folded_path(record: ImageRecord) -> str:
    return record.path.casefold()


def read_changes(
    before: Snapshot, folder: Path, changed: Sequence[int], *, has_worker: bool = False
) -> Snapshot:
    """Read a project after some records changed; the others are taken from ``before``.

    Reading 100,000 records takes most of a second, too long for a label key. No records at all
    means that a finding of the audit was accepted or opened again.
    """
    from engine.project.store import Project

    with Project.open(folder, read_only=True) as project:
        if not changed:
            images = _Images(before.records, before.by_name, before.texts)
            return _snapshot(project, folder, images, project.audit(), has_worker=has_worker)
        fresh = {record.id: record for record in project.records(changed)}
        records, by_name = (
            tuple([fresh.get(record.id, record) for record in order])
            for order in (before.records, before.by_name)
        )
        # Neither the order of names nor the text depends on what a user decides.
        images = _Images(records, by_name, before.texts)
        return _snapshot(project, folder, images, before.audit, has_worker=has_worker)


def _snapshot(
    project: Project,
    folder: Path,
    images: _Images,
    audit: AuditReport | None,
    *,
    has_worker: bool,
) -> Snapshot:
    from engine.project.classes import MULTI
    from engine.project.known_patients import seen_by_weights, with_origins
    from engine.project.labels import can_redo, can_undo

    classes, task = project.classes(), project.task
    included = (record for record in images.records if record.excluded is None)
    units = project.db.all("SELECT origin, count(*) FROM patients GROUP BY origin")
    return Snapshot(
        folder=folder,
        records=images.records,
        classes=classes,
        skipped=tuple(project.skipped()),
        split=project.split_summary(),
        is_split_stale=project.split_is_stale(),
        audit=audit,
        is_audit_stale=project.audit_is_stale(),
        runs=with_origins(project, project.runs(has_worker=has_worker)),
        seen=seen_by_weights(project),
        n_patients=len({record.patient_id for record in images.records}),
        can_undo=can_undo(project),
        can_redo=can_redo(project),
        patient_sources=project.patient_sources(),
        patient_units=dict(units),
        task=task,
        marks=count_marks(included, classes) if task == MULTI else {},
        findings_left_out=left_out_findings(images.records, classes) if task == MULTI else {},
        by_id={record.id: record for record in images.records},
        by_name=images.by_name,
        texts=images.texts,
    )
