"""What is said where a network may know patients that it is measured on."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QLocale

from engine.contract.records import RunSummary
from engine.contract.seen_before import SeenBefore, SeenPart

__all__ = [
    "choice_text",
    "crossval_text",
    "folds_mark_text",
    "folds_text",
    "mark_text",
    "measured_text",
    "member_text",
    "remedy_text",
    "run_text",
    "test_text",
]


def mark_text(run: RunSummary) -> str:
    """Return a few words that mark a run whose results are or may be too good; else nothing."""
    if run.seen is None or not run.seen.is_doubtful:
        return ""
    return _mark(is_sure=run.seen.is_measured)


def folds_mark_text(seen: SeenBefore | None) -> str:
    """Return the same of a cross-validation by what its weights know."""
    if seen is None or (not (n_held_out := _n_held_out(seen)) and not seen.unknown):
        return ""
    return _mark(is_sure=n_held_out > 0)


def run_text(run: RunSummary) -> str:
    """Return whom the networks of a run knew before, in a sentence; nothing if nobody measured."""
    if run.seen is None:
        return ""
    text = _tr(
        "This run began from a network that had learned from the patients of {0} before: its "
        "results on them are too good."
    )
    return _told(run.seen, text)


def member_text(run: RunSummary) -> str:
    """Return the same of a run that is to be combined with others."""
    if run.seen is None:
        return ""
    text = _tr(
        "A marked run began from a network that had learned from the patients of {0} before: the "
        "combined results on them will be too good."
    )
    return _told(run.seen, text)


def choice_text(seen: SeenBefore | None) -> str:
    """Return whom the chosen weights know, in a sentence; nothing if nobody who is measured."""
    if seen is None:
        return ""
    text = _tr(
        "The chosen weights were pre-trained on the patients of {0}: results on them will be too "
        "good."
    )
    return _told(seen, text)


def crossval_text(seen: SeenBefore | None) -> str:
    """Return the same of a cross-validation, which predicts training patients, too."""
    if seen is None:
        return ""
    text = _tr(
        "The chosen weights were pre-trained on {0} of the {1} patients who are held out in turn: "
        "the result of a cross-validation with them will be too good."
    )
    return _told_of_held_out(seen, text)


def folds_text(seen: SeenBefore | None) -> str:
    """Return the same of a cross-validation whose networks are to be combined."""
    if seen is None:
        return ""
    text = _tr(
        "The marked cross-validation began from a network that had been pre-trained on {0} of the "
        "{1} patients who were held out in turn: the combined result will be too good."
    )
    return _told_of_held_out(seen, text)


def test_text(seen: SeenBefore | None) -> str:
    """Return whom a run knows of the test patients, before these are looked at."""
    if seen is None or seen.n_known_test == 0:
        return ""
    if seen.n_known_test is None:
        return _tr(seen.unknown)
    text = _tr(
        "This run began from a network that had learned from {0} of the {1} test patients before: "
        "the result will be too good."
    )
    return text.format(_number(seen.n_known_test), _number(seen.test.n_patients))


def measured_text(n_known: int | None, n_patients: int) -> str:
    """Return the same after the look.

    Args:
        n_known: Test patients that the network had learned from; None if nobody knows.
        n_patients: All of them.
    """
    if n_known == 0:
        return ""
    if n_known is None:
        return _tr(
            "Whether the network had learned from some of these patients before is not known: "
            "these results may be too good."
        )
    text = _tr(
        "The network had learned from {0} of these {1} patients before: these results are too good."
    )
    return text.format(_number(n_known), _number(n_patients))


def remedy_text() -> str:
    """Return what to do about it."""
    return _tr("Train with other weights, or measure on patients that are new to the network.")


def _told(seen: SeenBefore, text: str) -> str:
    """Put the images that are known into a sentence; or say why nobody knows."""
    if not seen.is_measured:
        return _tr(seen.unknown) if seen.unknown else ""
    parts = (
        (seen.val, _tr("{0} of the {1} validation images")),
        (seen.test, _tr("{0} of the {1} test images")),
    )
    counts = [_count(part, name) for part, name in parts if part.n_known]
    return text.format(_tr(" and of ").join(counts))


def _told_of_held_out(seen: SeenBefore, text: str) -> str:
    """Put the patients of a cross-validation into a sentence; or say why nobody knows."""
    if not (n_known := _n_held_out(seen)):
        return _tr(seen.unknown) if seen.unknown else ""
    return text.format(_number(n_known), _number(seen.train.n_patients + seen.val.n_patients))


def _n_held_out(seen: SeenBefore) -> int:
    return seen.train.n_known_patients + seen.val.n_known_patients


def _mark(*, is_sure: bool) -> str:
    return _tr("knows patients") if is_sure else _tr("may know patients")


def _count(part: SeenPart, text: str) -> str:
    return text.format(_number(part.n_known), _number(part.n_images))


def _number(value: int) -> str:
    return QLocale().toString(value)


def _tr(text: str) -> str:
    return QCoreApplication.translate("SeenWords", text)
