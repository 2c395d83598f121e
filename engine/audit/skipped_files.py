"""Files that the import left out, and images without a label."""

from __future__ import annotations

from collections import Counter
from typing import Final

from engine.audit.study import Study
from engine.contract.records import Finding, SkippedFile
from engine.data.phrases import count_of, verb

KIND: Final = "unreadable"
UNLABELLED_KIND: Final = "unlabelled"
_MOST_REASONS: Final = 3
_ABOUT: Final = {
    "unreadable": (
        "low",
        "could not be read as an image",
        "Repair or export them again, then import once more; if most are of one class, what is "
        "missing may tell the classes apart.",
    ),
    "not_image": ("info", "hold no image", "Nothing is wrong with them; they are left out."),
    "unmatched": (
        "low",
        "have no partner: rows of the sheet without their file, or files without a row",
        "Check that the sheet and the folder belong together.",
    ),
}


def find_skipped_files(study: Study) -> list[Finding]:
    """Say which files were left out, with the reasons."""
    skipped = study.project.skipped()
    findings = []
    for kind in _ABOUT:
        files = [file for file in skipped if file.kind == kind]
        if files:
            findings.append(_finding(kind, files))
    return findings


def _finding(kind: str, files: list[SkippedFile]) -> Finding:
    severity, what, advice = _ABOUT[kind]
    n = len(files)
    if n == 1:
        what = what.replace("have no", "has no").replace("hold no", "holds no")
    reasons = Counter(file.reason.rstrip(".") for file in files).most_common(_MOST_REASONS)
    listed = "; ".join(f"{reason} ({count:,})" for reason, count in reasons)
    return Finding(
        kind=KIND,
        key=kind,
        severity=severity,
        n=n,
        sentence=f"{count_of(n, 'file')} {what}. {'Most often: ' if n > 1 else ''}{listed}.",
        advice=advice,
    )


def find_unlabelled(study: Study) -> list[Finding]:
    """Say how many images have no label and so are not used."""
    n = study.project.counts().n_unlabelled
    if n == 0:
        return []
    return [
        Finding(
            kind=UNLABELLED_KIND,
            key="",
            severity="info",
            n=n,
            sentence=f"{count_of(n, 'image', 'has')} no label and {verb(n, 'is')} not used.",
            advice="Label them in the grid, or leave them.",
        )
    ]
