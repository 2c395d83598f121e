"""The states of a run in its project's history, and which may follow which: one pure table."""

from __future__ import annotations

from typing import Final

from engine.contract.events import CANCELED, COMPLETED, FAILED, OUTCOMES, STOPPED

RUNNING: Final = "running"
PAUSED: Final = "paused"
INTERRUPTED: Final = "interrupted"
STATES: Final = (RUNNING, PAUSED, INTERRUPTED, *OUTCOMES)
UNDER_WAY: Final = (RUNNING, PAUSED)
"""States that only a living worker gives sense to: without one the run was interrupted."""
RESUMABLE: Final = (INTERRUPTED, FAILED)

_ENDS: Final = frozenset({INTERRUPTED, *OUTCOMES})
FOLLOWERS: Final[dict[str, frozenset[str]]] = {
    # A run that goes on after its worker was killed by the same window still says "running".
    RUNNING: frozenset({RUNNING, PAUSED}) | _ENDS,
    # A full disk may have refused to note that the run went on, so any end may follow a pause.
    PAUSED: frozenset({RUNNING, PAUSED}) | _ENDS,
    INTERRUPTED: frozenset({RUNNING, INTERRUPTED}),
    FAILED: frozenset({RUNNING, FAILED}),
    COMPLETED: frozenset({COMPLETED}),
    STOPPED: frozenset({STOPPED}),
    CANCELED: frozenset({CANCELED}),
}


def may_follow(before: str, after: str) -> bool:
    """Return whether a run in the state ``before`` may become ``after``; a repetition may.

    Raises:
        ValueError: If either is no state of a run.
    """
    if before not in FOLLOWERS or after not in FOLLOWERS:
        raise ValueError(f"no such state of a run: {before if before not in FOLLOWERS else after}")
    return after in FOLLOWERS[before]
