"""What the results page says of the test set: before it is looked at, and after."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QLocale

from engine.contract.records import RunSummary
from engine.contract.results import EvaluationResult
from gui.itemmodels.run_words import number_text
from gui.itemmodels.seen_words import measured_text
from gui.seen_before import is_certain
from gui.session import Session
from gui.snapshot import Snapshot
from gui.widgets.counts import images_text, patients_text

__all__ = ["known_text", "ready_text", "tested_text"]


def ready_text(session: Session, run: RunSummary | None) -> str:
    """Return what a look at the test set means, on how many images, and how many there were."""
    snapshot = session.snapshot
    split = snapshot.split
    patients = split.n_patients.get("test", 0) if split else 0
    text = _tr("The run is measured on {0} of {1}.")
    if run is not None and run.seen and run.seen.n_known_test == 0 and is_certain(session, run):
        text = _tr("The run is measured on {0} of {1} that it has never seen.")
    text += " " + _tr(
        "Comparing many runs by their test results makes the best one look better than it is, so "
        "choose by validation and look once. Looks at the test set with this run so far: {2}."
    )
    looks = QLocale().toString(run.looks if run else 0)
    return text.format(images_text(_n_test(snapshot)), patients_text(patients), looks)


def known_text(result: EvaluationResult, run: RunSummary | None) -> str:
    """Return whom of the tested patients the network knew, in a sentence; else nothing."""
    n_known = result.n_known
    if n_known == 0 and run is not None and run.seen and not run.is_stale:
        n_known = run.seen.n_known_test  # results of earlier versions don't say it
    return measured_text(n_known, result.n_patients)


def tested_text(result: EvaluationResult) -> str:
    """Return on what a result was measured, how often that was looked at, and the threshold."""
    parts = [
        _tr("Test: {0} of {1}").format(
            images_text(result.n_images), patients_text(result.n_patients)
        ),
        _looks_text(result.looks),
    ]
    if result.threshold is not None:
        locked = _tr("threshold {0} fixed on validation")
        parts.append(locked.format(number_text(result.threshold, 2)))
    return " · ".join(parts)


def _n_test(snapshot: Snapshot) -> int:
    if not snapshot.is_multi:
        return sum(snapshot.split.counts.get("test", {}).values()) if snapshot.split else 0
    learned = [snapshot.learned] if snapshot.learned is not None else snapshot.classes_in_use
    ids = [finding.id for finding in learned]
    return sum(
        1
        for record in snapshot.records
        if record.split == "test"
        and record.excluded is None
        and any(record.findings.get(finding) is not None for finding in ids)
    )


def _looks_text(looks: int) -> str:
    if looks == 1:
        return _tr("looked at once")
    return _tr("looked at {0} times").format(QLocale().toString(looks))


def _tr(text: str) -> str:
    return QCoreApplication.translate("EvaluatePanel", text)
