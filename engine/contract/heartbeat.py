"""What a worker says of itself every few seconds while it has a job: that the work moves.

A process that answers may still hang inside a step, so a heartbeat carries a number that only the
job's own thread advances, and the processor time that tells a slow step from one that stands still.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STARTING: Final = "starting"
WORKING: Final = "working"
WAITING: Final = "waiting"
STATES: Final = (STARTING, WORKING, WAITING)
BEAT_S: Final = 2.0
"""Time between two heartbeats."""
LIFELINE_VARIABLE: Final = "RADTUNE_LIFELINE"
"""Names the descriptor of a pipe that only the window's life keeps open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A sign of life of a worker that has a job.

    Attributes:
        state: ``starting`` until the job begins, which may have to wait for libraries to load;
            ``waiting`` while it is paused or the disk is full; else ``working``.
        n_moves: Grows with every safe point and every event of the job.
        cpu_s: Processor time of the worker since it began, all threads together.
    """

    state: str
    n_moves: int
    cpu_s: float
