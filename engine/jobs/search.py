"""Looking for the best settings within a time, by the validation images alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from engine.contract.backbones import BACKBONES, backbone_card
from engine.contract.commands import Search
from engine.contract.config import BackboneConfig
from engine.contract.config_io import to_plain
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import ConfigError
from engine.contract.events import Event
from engine.contract.methods import METHODS, method_card
from engine.contract.searching import SearchResult
from engine.jobs.candidates import DEFAULT_METHODS, Start, make_candidates
from engine.jobs.going_on import tell_changed_versions
from engine.jobs.run_checks import checked_table
from engine.jobs.run_warnings import scarcity_warnings
from engine.jobs.search_rounds import SearchRounds
from engine.methods.registry import METHOD_KEYS
from engine.models.registry import check_size
from engine.models.weights import FILE, MADE, PRETRAINED, added_weights, weights_info
from engine.project.access import open_alone
from engine.project.searching import SEARCH, begin_or_go_on, save_result

Emit = Callable[[Event], None]
_NO_BACKBONE_REMEDY: Final = "Choose some that 'radtune-engine backbones' lists."


def search_settings(command: Search, emit: Emit, control: Control) -> SearchResult:
    """Try settings until the time is over, or go on with a search that was interrupted.

    Raises:
        ConfigError: If there is nothing to choose from.
        EngineError: If the data don't allow training.
        JobCanceled: If canceled, and then nothing is kept; or interrupted, and then the same
            command goes on.
        RunError: If nothing could be trained, or there was no time to try anything.
    """
    with open_alone(Path(command.project), owner="a search") as project:
        base = replace(command.config, image=project.image_contract)
        table = checked_table(project)
        starts = starting_weights(command.backbones, base.backbone, base.image.size_px)
        methods = _methods(command.methods)
        candidates = make_candidates(base, starts, methods)
        asked = {
            "minutes": command.minutes,
            "config": to_plain(base),
            "backbones": [to_plain(start.backbone) for start in starts],
            "methods": methods,
            "weights": [_digest(start.backbone) for start in starts],
        }
        name = begin_or_go_on(project, SEARCH, asked)
        tell_changed_versions(project, name, emit)
        for warned in scarcity_warnings("", table):
            emit(warned)
        try:
            work = SearchRounds(
                project,
                name,
                table,
                candidates,
                minutes=command.minutes,
                emit=emit,
                control=control,
            )
            result = work.run()
            work.bench.patiently(lambda: save_result(project, asked, result))
        except JobCanceled:
            if not control.interrupted:
                shutil.rmtree(project.run_folder(name), ignore_errors=True)
            raise
        return result


def starting_weights(wanted: Sequence[str], preferred: BackboneConfig, size_px: int) -> list[Start]:
    """Return the pre-trained weights to try, those of the preferred backbone first.

    Of each backbone the default ones and every file that was added for it. What a pre-training on
    the user's own projects made is tried only if it is asked for: it may have learned from images
    that this project validates on, and would then look better than it is.

    Args:
        wanted: Keys of backbones, or ``file:ID`` for certain weights; empty takes all.
        preferred: Of the starting settings.
        size_px: Side of the images; backbones that can't take it are left out unless asked for.

    Raises:
        ConfigError: If one is unknown, can't take the images, or none has weights here.
    """
    named = [item for item in wanted if item.startswith(FILE)]
    starts = [_named_file(item) for item in named]
    keys = [key for key in wanted if key not in named]
    for key in keys:
        if backbone_card(key) is None:
            raise ConfigError(f"There is no backbone called {key!r}.", remedy=_NO_BACKBONE_REMEDY)
        check_size(key, size_px)
    if not wanted:
        keys = [card.key for card in BACKBONES if size_px % card.size_step_px == 0]
    for key in keys:
        starts += [start for start in _of_backbone(key, preferred) if start not in starts]
    if not starts:
        raise ConfigError(
            "None of the chosen backbones has pre-trained weights on this computer.",
            remedy="Choose EfficientNet-Lite0, or add a weights file first.",
        )
    return sorted(
        starts,
        key=lambda start: (start.backbone != preferred, start.backbone.key != preferred.key),
    )


def _of_backbone(key: str, preferred: BackboneConfig) -> list[Start]:
    default = weights_info(key)
    starts = []
    if default.state != "missing":
        starts.append(Start(backbone=BackboneConfig(key=key, weights=PRETRAINED)))
    for item in added_weights(key):
        backbone = BackboneConfig(key=key, weights=f"{FILE}{item.id}")
        is_default = default.state == "added" and item.digest == default.digest
        if not is_default and (item.kind != MADE or backbone == preferred):
            starts.append(Start(backbone=backbone, name=item.name))
    return starts


def _named_file(wanted: str) -> Start:
    for item in added_weights():
        if wanted == f"{FILE}{item.id}":
            return Start(backbone=BackboneConfig(key=item.backbone, weights=wanted), name=item.name)
    raise ConfigError(
        f"No added weights are called {wanted!r}.",
        remedy="Choose some that 'radtune-engine weights list' shows.",
    )


def _digest(backbone: BackboneConfig) -> str:
    return weights_info(backbone.key, backbone.weights).digest


def _methods(wanted: Sequence[str]) -> list[str]:
    for key in wanted:
        if key not in METHOD_KEYS or method_card(key) is None:
            raise ConfigError(
                f"There is no method called {key!r}.",
                remedy=f"Choose from: {', '.join(card.key for card in METHODS)}.",
            )
    return list(wanted) or [key for key in DEFAULT_METHODS if key in METHOD_KEYS]
