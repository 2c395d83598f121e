"""How the findings of an audit read: how serious, what kind, what a click does, how many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Final

from PySide6.QtCore import QCoreApplication, QLocale

from engine.contract.records import AuditReport, Finding, ImageRecord
from gui.tokens import ColorToken
from gui.widgets.counts import images_text

__all__ = [
    "REMEDY_ICONS",
    "FindingState",
    "check_title",
    "checks_text",
    "concerned",
    "count_text",
    "finding_state",
    "finding_text",
    "kind_title",
    "ordered",
    "remedy_text",
    "severity_color",
    "severity_icon",
    "severity_word",
    "state_text",
    "summary_text",
]

_ICONS: Final = {"high": "error", "medium": "warning", "low": "eye", "info": "info"}
_COLORS: Final[dict[str, ColorToken]] = {"high": "bad", "medium": "warning"}
REMEDY_ICONS: Final = {"exclude": "cancel", "link_patients": "link", "crop": "crop"}
"""Icons of the buttons that carry out a remedy, by its key."""


class FindingState(Enum):
    """What has become of a finding."""

    OPEN = auto()
    DONE = auto()
    ACCEPTED = auto()


def finding_state(finding: Finding, by_id: Mapping[int, ImageRecord]) -> FindingState:
    """Return whether a finding is open, accepted, or settled by images that were excluded since."""
    if finding.note is not None:
        return FindingState.ACCEPTED

    def is_gone(record_id: int) -> bool:
        record = by_id.get(record_id)
        return record is None or record.excluded is not None

    named = finding.remedy_records or finding.records
    if finding.pairs:
        is_done = all(is_gone(a) or is_gone(b) for a, b in finding.pairs)
    else:
        is_done = bool(named) and all(is_gone(record) for record in named)
    return FindingState.DONE if is_done else FindingState.OPEN


def ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings as they came, those that were accepted last."""
    return tuple(sorted(findings, key=lambda finding: finding.note is not None))


def severity_icon(severity: str) -> str:
    """Return the sign of a severity; each has a shape of its own."""
    return _ICONS.get(severity, "info")


def severity_color(severity: str) -> ColorToken:
    """Return the colour of a severity's sign and word."""
    return _COLORS.get(severity, "secondary")


def severity_word(severity: str) -> str:
    """Return how serious a finding is, in a word."""
    words = {
        "high": _tr("Serious"),
        "medium": _tr("Important"),
        "low": _tr("Worth a look"),
        "info": _tr("Good to know"),
    }
    return words.get(severity, severity)


def kind_title(kind: str) -> str:
    """Return what a kind of finding is called."""
    titles = {
        "unreadable": _tr("Files left out"),
        "unlabelled": _tr("No label"),
        "identifying_names": _tr("Names of files"),
        "split_leak": _tr("Patients on two sides"),
        "patients_apart": _tr("Patients kept apart"),
        "unknown_patients": _tr("Unknown patients"),
        "patient_in_classes": _tr("Patients in several classes"),
        "class_counts": _tr("Size of the classes"),
        "class_imbalance": _tr("Uneven classes"),
        "blank_images": _tr("Blank"),
        "inverted_images": _tr("Inverted"),
        "padded_images": _tr("Mostly border"),
        "size_outliers": _tr("Unusual size"),
        "shape_outliers": _tr("Unusual shape"),
        "window_outliers": _tr("Unusual window"),
        "small_images": _tr("Few pixels"),
        "few_of_a_kind": _tr("Few of a kind"),
        "exact_duplicates": _tr("Copies"),
        "label_conflict": _tr("One picture, two labels"),
        "near_duplicates": _tr("Near copies"),
        "shortcut": _tr("Shortcut"),
        "burned_in": _tr("Burned-in text"),
        "label_suspects": _tr("Doubtful labels"),
    }
    return titles.get(kind) or _spelled(kind)


def check_title(name: str) -> str:
    """Return what a check looks for."""
    titles = {
        "files": _tr("Files that were left out"),
        "unlabelled": _tr("Images without a label"),
        "names": _tr("Names of people, dates and numbers in file names"),
        "patients": _tr("Patients on two sides of the split"),
        "patient_ids": _tr("Whether patients are known"),
        "classes_of_patients": _tr("Patients in several classes"),
        "class_counts": _tr("Enough patients of each class"),
        "class_imbalance": _tr("Classes of very different size"),
        "blank": _tr("Blank images"),
        "inverted": _tr("Inverted images"),
        "padded": _tr("Images that are mostly border"),
        "size": _tr("Unusual sizes"),
        "shape": _tr("Unusual shapes"),
        "window": _tr("Unusual grey windows"),
        "resolution": _tr("Fewer pixels than the network sees"),
        "kinds": _tr("Few images of another format, modality or view"),
        "copies": _tr("Copies"),
        "shortcuts": _tr("Sizes, devices, dates and sheet columns that tell the class"),
        "borders": _tr("Borders that tell the class"),
        "corners": _tr("Corners that tell the class"),
        "text_in_header": _tr("Burned-in text, as the header says"),
        "text": _tr("Burned-in text, as seen"),
        "near_copies": _tr("Near copies"),
        "labels": _tr("Doubtful labels"),
    }
    return titles.get(name) or _spelled(name)


def count_text(finding: Finding) -> str:
    """Return how many images, or files, a finding is about; empty where that isn't the point."""
    if not finding.n:
        return ""
    if finding.kind == "unreadable":
        one, many = _tr("1 file"), _tr("%s files")
        return one if finding.n == 1 else many % QLocale().toString(finding.n)
    return images_text(finding.n)


def concerned(finding: Finding) -> tuple[int, ...]:
    """Return the images of a finding, those of its pairs and of its remedy included."""
    paired = (record for pair in finding.pairs for record in pair)
    return tuple(dict.fromkeys((*finding.records, *paired, *finding.remedy_records)))


def remedy_text(finding: Finding) -> str:
    """Return what one click would do, such as "Exclude the 3 copies"; empty without a remedy."""
    n = len(finding.remedy_records)
    match finding.remedy:
        case "":
            return ""
        case "exclude" if finding.kind == "exact_duplicates":
            if n == 1:
                return _tr("Exclude the copy")
            return _tr("Exclude the %s copies") % QLocale().toString(n)
        case "exclude":
            if n == 1:
                return _tr("Exclude the image")
            return _tr("Exclude the %s images") % QLocale().toString(n)
        case "link_patients":
            return _tr("Keep these patients together")
        case "crop":
            return _tr("Crop instead of padding")
        case other:
            return _spelled(other)


def state_text(finding: Finding, state: FindingState) -> str:
    """Return what has become of a finding; empty while it is open."""
    if state is FindingState.ACCEPTED:
        return _tr("Accepted: %s") % finding.note
    return _tr("Done: excluded since") if state is FindingState.DONE else ""


def finding_text(finding: Finding, state: FindingState) -> str:
    """Return all of a finding's line in the list, as a screen reader says it."""
    parts = [f"{severity_word(finding.severity)}: {kind_title(finding.kind)}", finding.sentence]
    if counted := count_text(finding):
        parts.append(counted)
    if said := state_text(finding, state):
        parts.append(said)
    return ". ".join(part.rstrip(".") for part in parts)


def checks_text(report: AuditReport) -> str:
    """Return "12 checks made, 2 not possible"."""
    n_failed = sum(1 for reason in report.checks.values() if reason)
    n_made = len(report.checks) - n_failed
    locale = QLocale()
    made = _tr("1 check made") if n_made == 1 else _tr("%s checks made") % locale.toString(n_made)
    return f"{made}, {_tr('%s not possible') % locale.toString(n_failed)}" if n_failed else made


def summary_text(report: AuditReport, by_id: Mapping[int, ImageRecord]) -> str:
    """Return "2 serious, 3 worth a look, 1 accepted · 1,115 images"."""
    states = [(finding.severity, finding_state(finding, by_id)) for finding in report.findings]
    locale = QLocale()
    counts = [
        (word, sum(1 for found in states if found == (severity, FindingState.OPEN)))
        for severity, word in (
            ("high", _tr("%s serious")),
            ("medium", _tr("%s important")),
            ("low", _tr("%s worth a look")),
            ("info", _tr("%s good to know")),
        )
    ]
    for word, state in (
        (_tr("%s done"), FindingState.DONE),
        (_tr("%s accepted"), FindingState.ACCEPTED),
    ):
        counts.append((word, sum(1 for _, found in states if found is state)))
    parts = [word % locale.toString(n) for word, n in counts if n]
    said = ", ".join(parts) if parts else _tr("Nothing found")
    return f"{said} · {images_text(report.n_images)}"


def _spelled(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _tr(text: str) -> str:
    return QCoreApplication.translate("FindingWords", text)
