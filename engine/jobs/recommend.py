"""Saying what to try first with a project."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.contract.backbones import backbone_card
from engine.contract.commands import PrepareImages, RecommendSetup
from engine.contract.config_io import to_plain
from engine.contract.control import Control
from engine.contract.events import Event
from engine.contract.methods import method_card
from engine.contract.recommendation import Recommendation, SetupFacts, recommend_setup
from engine.contract.shell import train_line
from engine.contract.training_time import rough_time
from engine.jobs.image_size import prepare_images
from engine.jobs.splitting import require_two_classes
from engine.project.store import Project
from engine.recommend.setup import facts_of


def recommend_for_project(
    command: RecommendSetup, emit: Callable[[Event], None], control: Control
) -> dict[str, Any]:
    """Return a recommendation as plain values, with ``facts`` behind it and ``sentences``.

    If asked to, the images are prepared at the recommended size.

    Raises:
        DatasetError: If there is nothing to tell apart yet, or originals can't be read.
        JobCanceled: If canceled; the project then keeps its image size.
        ProjectError: If there is no project.
    """
    with Project.open(Path(command.project), read_only=True) as project:
        require_two_classes(project.training_table())
        facts = facts_of(project, minutes=command.minutes, safe_point=control.wait_point)
    found = recommend_setup(facts)
    size_px = int(found.size_px.value)
    if command.apply and size_px != facts.size_px:
        wanted = PrepareImages(project=command.project, size_px=size_px)
        prepare_images(wanted, emit, control, kind="recommend_setup")
    plain: dict[str, Any] = to_plain(found)
    return {**plain, "facts": to_plain(facts), "sentences": list(_sentences(found, facts, command))}


def _sentences(found: Recommendation, facts: SetupFacts, command: RecommendSetup) -> Iterator[str]:
    """Yield the recommendation for people, a line for each part, and how to follow it."""
    backbone, method = str(found.backbone.value), str(found.method.value)
    backbone_title, method_title = backbone_card(backbone), method_card(method)
    yield f"Backbone: {backbone_title.title if backbone_title else backbone}. {found.backbone.why}"
    yield f"Method: {method_title.title if method_title else method}. {found.method.why}"
    yield f"Image size: {found.size_px.value} px. {found.size_px.why}"
    yield f"Preset: {str(found.preset.value).capitalize()}. {found.preset.why}"
    yield f"Time: about {rough_time(60 * found.minutes)} at most."
    imbalance = str(found.imbalance.value).replace("_", " ").capitalize()
    yield f"Imbalance: {imbalance}. {found.imbalance.why}"
    yield from found.notes
    if found.size_px.value != facts.size_px and not command.apply:
        yield "Repeat this with --apply to prepare the images at that size."
    yield f"To follow it: {train_line(command.project, found.config())}"
