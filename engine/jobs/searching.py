"""Jobs that try settings or combine runs; torch is loaded when one starts."""

from __future__ import annotations

from collections.abc import Callable

from engine.contract.commands import Combine, Crossval, LrRange, Search
from engine.contract.control import Control
from engine.contract.events import Event
from engine.contract.searching import (
    CrossvalResult,
    EnsembleResult,
    LrRangeResult,
    SearchResult,
)

Emit = Callable[[Event], None]


def cross_validate_settings(command: Crossval, emit: Emit, control: Control) -> CrossvalResult:
    """Measure settings on every training and validation image in turn."""
    from engine.jobs.crossval import cross_validate

    return cross_validate(command, emit, control)


def search(command: Search, emit: Emit, control: Control) -> SearchResult:
    """Look for the best settings within a time."""
    from engine.jobs.search import search_settings

    return search_settings(command, emit, control)


def find_learning_rate(command: LrRange, emit: Emit, control: Control) -> LrRangeResult:
    """Let the learning rate rise until training breaks."""
    from engine.jobs.learning_rate import find_rate

    return find_rate(command, emit, control)


def combine(command: Combine, emit: Emit, control: Control) -> EnsembleResult:
    """Make a run of several."""
    from engine.jobs.ensemble import combine_runs

    return combine_runs(command, emit, control)
