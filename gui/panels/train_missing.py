"""What keeps the next run from starting, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from engine.contract.methods import NEEDS_WEIGHTS, NEEDS_WEIGHTS_REMEDY
from gui.panels.image_size import unfit_size
from gui.session import Session
from gui.stages import Stage

__all__ = ["Missing", "missing_for_training"]


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that has to be done before a run can start.

    Attributes:
        what: What is missing.
        action: Text of the button that leads there.
        stage: Where it leads.
        remedy: What else to know, or empty.
    """

    what: str
    action: str
    stage: Stage
    remedy: str = ""


def missing_for_training(session: Session) -> Missing | None:
    """Return the first thing that keeps a run from starting; None if one could."""
    return _missing_in_project(session) or _missing_in_choices(session)


def _missing_in_project(session: Session) -> Missing | None:
    facts = session.facts()
    if not facts.n_images or not facts.can_split:
        what = _tr("Training needs labelled images of at least two classes.")
        return Missing(what, _tr("Go to the data"), Stage.DATA)
    if not facts.has_split:
        what = _tr("Divide the patients first: some to learn from, some to test.")
        return Missing(what, _tr("Make a split"), Stage.SPLIT)
    if facts.is_split_stale:
        what = _tr("Images or labels have changed since the split was made.")
        return Missing(what, _tr("Make a new split"), Stage.SPLIT)
    if facts.is_finding_missing:
        what = _tr(
            "No finding can be learned yet: each must be present in some images of every part "
            "and absent in others."
        )
        return Missing(what, _tr("Choose what to learn"), Stage.DATA)
    return None


def _missing_in_choices(session: Session) -> Missing | None:
    action = _tr("Go to the model")
    if (error := unfit_size(session)) is not None:
        return Missing(_tr(error.message), action, Stage.MODEL, _tr(error.remedy))
    if (lacking := session.method_without_weights) is not None:
        what = _tr(NEEDS_WEIGHTS).format(_tr(lacking.title))
        return Missing(what, action, Stage.MODEL, _tr(NEEDS_WEIGHTS_REMEDY))
    if (name := session.unmatched_class) is not None:
        what = _tr("No class of the chosen classifier stands for “%s”.") % name
        remedy = _tr(
            "Match one on the Model page, leave that class out of the project, or let the "
            "averages of your classes answer."
        )
        return Missing(what, action, Stage.MODEL, remedy)
    return None


def _tr(text: str) -> str:
    return QCoreApplication.translate("TrainPanel", text)
