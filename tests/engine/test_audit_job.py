"""The audit as a job, and what a project keeps of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.audit import checks
from engine.audit.checks import CHECKS, Check
from engine.contract.commands import Audit, MakeSplit
from engine.contract.control import Control
from engine.contract.errors import DatasetError
from engine.contract.events import CANCELED, COMPLETED, Event, JobFinished, JobProgressed
from engine.contract.records import AuditReport, Finding
from engine.jobs import audit as audit_job
from engine.project.labels import exclude, set_labels
from engine.project.store import Project
from engine.run import execute
from tests.helpers.audit_study import import_study, study_of
from tests.helpers.tiny_study import run_job


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """Return a project with a copy across the split and a blank image."""
    made = study_of(40)
    made[6] = replace(made[6], values=made[4].values)
    made[9] = replace(made[9], values=np.zeros((50, 50), dtype=np.uint8))
    return import_study(tmp_path, made)


def audit(folder: Path, control: Control | None = None):
    events: list[Event] = []
    finished = execute(Audit(project=str(folder)), events.append, control or Control())
    assert isinstance(finished, JobFinished)
    return finished, events


def finding(**changes) -> Finding:
    return replace(
        Finding(kind="shortcut", key="height", severity="high", n=3, sentence="It does."),
        **changes,
    )


def stored(project: Project) -> AuditReport:
    kept = project.audit()
    assert kept is not None
    return kept


def report(*findings: Finding) -> AuditReport:
    return AuditReport(findings=findings, n_images=40, checks={"x": ""}, data_digest="")


def test_the_whole_audit_says_what_is_wrong_worst_first_and_keeps_it(faulty):
    finished, events = audit(faulty)
    assert finished.outcome == COMPLETED, finished.error
    kinds = [found["kind"] for found in finished.result["findings"]]
    assert kinds[0] == "exact_duplicates"
    assert "blank_images" in kinds
    assert not {"shortcut", "near_duplicates", "label_suspects", "inverted_images"} & set(kinds)
    assert finished.result["n_images"] == 40
    assert list(finished.result["checks"].values()) == [""] * len(CHECKS)
    stages = [event.stage for event in events if isinstance(event, JobProgressed)]
    assert {"Looking for copies", "Looking for wrong labels"} <= set(stages)
    with Project.open(faulty, read_only=True) as project:
        kept = project.audit()
        assert kept is not None
        assert [found.kind for found in kept.findings] == kinds
        assert [found.id for found in kept.findings] == list(range(1, len(kinds) + 1))
        assert not project.audit_is_stale()


def test_a_check_that_cannot_be_made_is_named_and_the_others_are_made(faulty, monkeypatch):
    def fail(study):
        raise DatasetError("The disk is away.", remedy="Connect it.")

    broken = tuple(
        Check(check.name, check.stage, fail) if check.name == "labels" else check
        for check in CHECKS
        if check.name in ("copies", "labels")
    )
    monkeypatch.setattr(audit_job, "CHECKS", broken)
    finished, _ = audit(faulty)
    assert finished.outcome == COMPLETED
    assert finished.result["checks"]["labels"] == "The disk is away. Connect it."
    assert finished.result["checks"]["copies"] == ""


def test_a_canceled_audit_leaves_the_report_before(faulty):
    with Project.open(faulty) as project:
        project.save_audit(report(finding()))
    control = Control()
    control.cancel()
    finished, _ = audit(faulty, control)
    assert finished.outcome == CANCELED
    with Project.open(faulty) as project:
        assert stored(project).findings[0].key == "height"


def test_checks_without_a_network_come_first():
    names = [check.name for check in checks.CHECKS]
    assert len(set(names)) == len(names)
    assert names[-2:] == ["near_copies", "labels"]


def test_notes_outlive_audits_and_can_be_taken_back(faulty):
    with Project.open(faulty) as project:
        assert project.audit() is None
        assert not project.audit_is_stale()
        project.save_audit(report(finding(), finding(key="width")))
        project.accept_finding("shortcut", "height", " two scanners, known ")
        project.save_audit(report(finding(sentence="It still does."), finding(key="width")))
        noted, other = stored(project).findings
        assert (noted.note, other.note) == ("two scanners, known", None)
        project.reopen_finding("shortcut", "height")
        assert stored(project).findings[0].note is None


def test_an_audit_is_stale_when_labels_exclusions_split_or_fit_change(faulty):
    with Project.open(faulty) as project:
        ids = [record.id for record in project.records()]
        changes = (
            lambda: set_labels(project, ids[:1], project.classes()[1].id),
            lambda: exclude(project, ids[1:2], "blurred"),
            lambda: project.link_patients([(1, 2)]),
            lambda: setattr(
                project, "image_contract", replace(project.image_contract, fit="center_crop")
            ),
        )
        for change in changes:
            project.save_audit(report())
            assert not project.audit_is_stale()
            change()
            assert project.audit_is_stale()


@pytest.mark.parametrize(
    ("kind", "is_split_before", "is_stale"),
    [
        ("shortcut", False, False),
        ("exact_duplicates", False, True),
        ("near_duplicates", False, True),
        ("shortcut", True, True),
    ],
)
def test_a_first_split_leaves_an_audit_fresh_unless_there_are_copies(
    faulty, kind, is_split_before, is_stale
):
    def split(seed: int) -> None:
        run_job(MakeSplit(project=str(faulty), fractions=(0.6, 0.2, 0.2), seed=seed))

    if is_split_before:
        split(1)
    with Project.open(faulty) as project:
        if not is_split_before:
            project.db.execute("DELETE FROM split")
        project.save_audit(report(finding(kind=kind)))
    split(2)
    with Project.open(faulty, read_only=True) as project:
        assert project.audit_is_stale() is is_stale


def test_a_label_changed_while_the_audit_looked_makes_it_stale(faulty):
    with Project.open(faulty) as project:
        digest = project.audit_digest()
        record = project.records()[0].id
        set_labels(project, [record], project.classes()[1].id)
        project.save_audit(report(), digest=digest)
        assert project.audit_is_stale()


def test_linked_patients_chain_and_part_again(faulty):
    with Project.open(faulty) as project:
        assert project.link_patients([(5, 3), (3, 9)]) == 2
        assert project.patient_links() == {5: 3, 9: 3}
        assert project.link_patients([(9, 1)]) == 1
        assert project.patient_links() == {3: 1, 5: 1, 9: 1}
        groups = dict(
            zip(
                project.training_table().patients.tolist(),
                project.training_table().groups.tolist(),
                strict=True,
            )
        )
        assert groups[5] == groups[9] == groups[1]
        assert groups[5] != groups[7]
        project.unlink_patients([1])
        assert project.patient_links() == {5: 3, 9: 3}
        project.unlink_patients([5, 9])
        assert project.patient_links() == {}
        with pytest.raises(ValueError, match="no patient"):
            project.link_patients([(1, 9999)])


def test_a_remedy_that_settles_a_finding_takes_it_out_of_the_report(faulty):
    with Project.open(faulty) as project:
        ids = [record.id for record in project.records()]
        pair = finding(
            kind="near_duplicates", remedy="link_patients", pairs=((ids[0], ids[4]),), key="k"
        )
        crop = finding(remedy="crop")
        project.save_audit(report(pair, crop, finding(key="width")))
        project.apply_remedy(pair)
        project.apply_remedy(crop)
        assert [found.key for found in stored(project).findings] == ["width"]
        assert project.image_contract.fit == "center_crop"
        assert project.audit_is_stale()
        with pytest.raises(DatasetError, match="one click"):
            project.apply_remedy(finding(key="width"))
