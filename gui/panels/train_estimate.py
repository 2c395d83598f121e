"""How long a run will take, as every page says it."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QCoreApplication

from engine.contract.config import ExperimentConfig
from engine.contract.methods import method_card
from engine.contract.recommendation import estimated_seconds, training_pace
from engine.contract.training_time import Pace, rough_seconds
from gui.messages import time_text
from gui.session import Session

__all__ = ["estimate_text", "pace_here", "rough_text", "run_seconds"]


def run_seconds(session: Session, config: ExperimentConfig) -> float | None:
    """Return at most about how long a run with some settings takes; None while unknown."""
    facts = session.advice.facts
    return None if facts is None or not facts.n_train else estimated_seconds(facts, config)


def pace_here(session: Session, config: ExperimentConfig, size_px: int | None = None) -> Pace:
    """Return how long an image takes with some settings.

    Args:
        session: Whose project and machine are asked.
        config: The settings.
        size_px: Side of the images, where they aren't those of the open project.
    """
    facts = session.advice.facts or session.advice.machine
    if size_px is not None:
        facts = replace(facts, size_px=size_px)
    return training_pace(facts, config)


def estimate_text(config: ExperimentConfig, seconds: float) -> str:
    """Return "about 12 min at most", or "about 10 s" of a run that can't stop early."""
    card = method_card(config.method.key)
    may_stop_early = card is None or card.may_stop_early
    text = _tr("about %s at most") if may_stop_early else _tr("about %s")
    return text % rough_text(seconds)


def rough_text(seconds: float) -> str:
    """Return an estimate without digits that nobody can know."""
    return time_text(rough_seconds(seconds))


def _tr(text: str) -> str:
    return QCoreApplication.translate("TrainEstimate", text)
