"""The facts of a project and of this machine that a recommendation depends on."""

from __future__ import annotations

from dataclasses import replace

from engine.contract.backbones import BACKBONES
from engine.contract.config import RuntimeConfig
from engine.contract.recommendation import SetupFacts
from engine.hardware import place_run
from engine.hardware.preflight import SafePoint
from engine.models.weights import weights_info
from engine.project.setup_facts import data_facts
from engine.project.store import Project


def facts_of(
    project: Project, *, minutes: float | None = None, safe_point: SafePoint = lambda: None
) -> SetupFacts:
    """Return what the rules ask about a project on this machine.

    Args:
        project: With labelled images.
        minutes: Most time that training may take; None if that doesn't matter.
        safe_point: Called while the device is tried; may raise.
    """
    runtime, _ = place_run(RuntimeConfig(), safe_point=safe_point)  # what a training will find
    return replace(
        data_facts(project),
        device=runtime.device,
        threads=runtime.threads,
        minutes=minutes,
        weights={card.key: _state_of(card.key) for card in BACKBONES},
    )


def _state_of(key: str) -> str:
    """Return where a backbone's weights are; those that leave layers random are none to advise."""
    info = weights_info(key)
    return info.state if info.is_whole else "missing"
