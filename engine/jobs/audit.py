"""Looking for what ruins a classifier, before one is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.audit.checks import CHECKS
from engine.audit.study import Study, require_images
from engine.contract.commands import Audit
from engine.contract.control import Control
from engine.contract.errors import EngineError, StorageError
from engine.contract.events import Event
from engine.contract.records import SEVERITIES, AuditReport, Finding
from engine.data.progress import Progress
from engine.project.access import open_alone
from engine.project.store import Project

KIND: Final = "audit"
Emit = Callable[[Event], None]


def audit_project(command: Audit, emit: Emit, control: Control) -> AuditReport:
    """Make every check, keep the report in the project, and return it with the user's notes.

    A check that can't be made is named in the report with the reason; the others are made.

    Raises:
        DatasetError: If there are no labelled images.
        JobCanceled: If the user canceled; the report before stays.
        ProjectError: If the project can't be opened.
        StorageError: If the disk is full or read-only.
    """
    with open_alone(Path(command.project), owner="an audit") as project:
        digest = project.audit_digest()
        report = look_at(project, emit, control)
        project.save_audit(report, digest=digest)
        kept = project.audit()
    assert kept is not None
    return kept


def look_at(project: Project, emit: Emit, control: Control) -> AuditReport:
    """Make every check on a project and return what was found, the worst first."""
    study = Study(project, control=control)
    require_images(study)
    study.warn = emit
    findings: list[Finding] = []
    checks: dict[str, str] = {}
    for check in CHECKS:
        study.tick = _Ticker(emit, control, check.stage)
        try:
            findings += check.find(study)
            checks[check.name] = ""
        except StorageError:
            raise
        except EngineError as error:
            checks[check.name] = f"{error.message} {error.remedy}"
    return AuditReport(
        findings=tuple(sorted(findings, key=_badness)),
        n_images=len(study),
        checks=checks,
        data_digest=project.data_digest(),
    )


def _badness(finding: Finding) -> tuple[int, bool, float, int]:
    """Sort by severity; across the split before within, then by how telling and how many."""
    return (
        SEVERITIES.index(finding.severity),
        not finding.key.startswith("across_splits"),
        -finding.figures.get("auroc", 0.0),
        -finding.n,
    )


class _Ticker:
    """Reports how far a check is and honours requests."""

    def __init__(self, emit: Emit, control: Control, stage: str) -> None:
        self._emit, self._control, self._stage = emit, control, stage
        self._progress = Progress(emit, KIND, stage)
        self._total = self._done = 0
        control.safe_point()

    def __call__(self, done: int, total: int) -> None:
        self._control.safe_point()
        if total != self._total or done < self._done:  # another loop of the same check
            self._progress = Progress(self._emit, KIND, self._stage, total)
            self._total, self._done = total, 0
        self._progress.step(done - self._done)
        self._done = done
