"""What the dialog of a pre-training says of projects and of a result."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QCoreApplication, QLocale

from gui.panels.pretrain_projects import Candidate, Problem
from gui.widgets.counts import decimal_text, images_text

__all__ = ["details_text", "result_text"]


def details_text(candidate: Candidate) -> str:
    """Return what a project has to offer, or why it can't be chosen."""
    match candidate.problem:
        case Problem.UNREADABLE:
            return candidate.detail
        case Problem.ONE_CLASS:
            return _tr("Holds no two labelled classes to tell apart.")
        case Problem.NOT_DIVIDED:
            return _tr("Not divided into training, validation and test: open it and make a split.")
        case _:
            return _tr("{0} to learn from, {1} classes: {2}").format(
                images_text(candidate.n_train),
                QLocale().toString(len(candidate.classes)),
                ", ".join(candidate.classes),
            )


def result_text(result: dict[str, Any]) -> str:
    """Return what came of a pre-training that was completed."""
    parts = [
        _tr("{0}: {1}").format(share["name"], decimal_text(share["val_auroc"], 3))
        for share in result.get("projects", ())
    ]
    n_left_out = sum(int(share["n_left_out"]) for share in result.get("projects", ()))
    text = _tr(
        "“{0}” is ready and can be chosen on the Model page. AUROC on the validation images of "
        "what it learned from: {1}."
    ).format(result.get("name", ""), ", ".join(parts))
    if n_left_out:
        equal = _tr("%s equal to a test image of one of the projects were left out.")
        text += " " + equal % images_text(n_left_out)
    return text


def _tr(text: str) -> str:
    return QCoreApplication.translate("PretrainDialog", text)
