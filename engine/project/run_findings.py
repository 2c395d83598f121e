"""Which of several findings a run learned."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.contract.recipe import RECIPE_NAME
from engine.contract.targets import SIGMOID
from engine.project.classes import MULTI

if TYPE_CHECKING:
    from engine.project.store import Project

ALL: Final = "all"
"""Stands for all findings at once, where none has this name."""


def chosen_name(project: Project) -> str:
    """Return which finding a project learns now: its name, or :data:`ALL`; empty without any."""
    if project.task != MULTI:
        return ""
    chosen = project.chosen_finding
    return next((c.name for c in project.classes() if c.id == chosen), ALL)


def learned_findings(folder: Path) -> tuple[str, ...]:
    """Return what a run of a project with several findings an image learned, by its recipe.

    One name where it learned one finding; all names where it learned them at once. Empty while
    there is no recipe yet, or where it can't be read.

    Args:
        folder: Of the run.
    """
    path = folder / RECIPE_NAME
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return ()
    return _read(path, changed)


@lru_cache(maxsize=1024)
def _read(path: Path, changed: int) -> tuple[str, ...]:
    """Read a recipe once: the history is read again after every change of a label."""
    del changed
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        names, positive = tuple(map(str, plain["classes"])), plain.get("positive")
        if plain.get("activation") == SIGMOID:
            return names
        return (names[positive],)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return ()
