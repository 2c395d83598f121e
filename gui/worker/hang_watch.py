"""Tells a job that hangs from one that is slow, paused, or only starting."""

from __future__ import annotations

import threading
from typing import Final

from engine.contract.heartbeat import STARTING, WAITING, Heartbeat

__all__ = ["IDLE_LIMIT_S", "PATIENT_LIMIT_S", "TICK_S", "HangWatch"]

TICK_S: Final = 5.0
"""Time between two looks."""
IDLE_LIMIT_S: Final = 120.0
"""A job that neither moves nor computes, or whose worker is silent, hangs after so long."""
PATIENT_LIMIT_S: Final = 600.0
"""One that computes, or hasn't begun (libraries are loaded from a slow disk), after so long."""
_BUSY_SHARE: Final = 0.2
"""Share of one processor above which a worker counts as computing."""


class HangWatch:
    """Counts how long a job has stood still; fed by the thread that reads, asked by the window's.

    Time is counted in looks and not by the clock: a computer that slept must not seem to have hung.

    Args:
        idle_limit_s: See :data:`IDLE_LIMIT_S`.
        patient_limit_s: See :data:`PATIENT_LIMIT_S`.
    """

    def __init__(
        self,
        *,
        idle_limit_s: float = IDLE_LIMIT_S,
        patient_limit_s: float = PATIENT_LIMIT_S,
    ) -> None:
        self._limits = (idle_limit_s, patient_limit_s)
        self._lock = threading.Lock()
        self._is_begun = False
        self._is_started = False
        self._beat: Heartbeat | None = None
        self._first: Heartbeat | None = None
        self._is_silent = True
        self._still_s = 0.0
        self._silent_s = 0.0

    @property
    def is_started(self) -> bool:
        """Whether the worker has begun with the job; before, it may have to load libraries."""
        with self._lock:
            return self._is_started

    @property
    def still_s(self) -> float:
        """Seconds without progress."""
        with self._lock:
            return max(self._still_s, self._silent_s)

    def begin(self) -> None:
        """Begin to count: a job that waits for its turn stands still for good reason."""
        with self._lock:
            self._is_begun = True

    def take(self, beat: Heartbeat) -> None:
        """Note a heartbeat."""
        with self._lock:
            self._is_started |= beat.state != STARTING
            moved = self._first is None or beat.n_moves != self._first.n_moves
            if moved or beat.state == WAITING or beat.state != self._first_state():
                self._first, self._still_s = beat, 0.0
            self._beat, self._is_silent, self._silent_s = beat, False, 0.0

    def take_event(self) -> None:
        """Note an event of the job, which is progress."""
        with self._lock:
            self._is_started = True
            self._first, self._still_s, self._silent_s = None, 0.0, 0.0

    def look(self, seconds: float = TICK_S) -> bool:
        """Return whether the job hangs.

        Args:
            seconds: Time since the last look, as long as the computer was awake.
        """
        with self._lock:
            if not self._is_begun:
                return False
            if self._is_silent:
                self._silent_s += seconds
            self._is_silent = True
            if self._beat is not None and self._beat.state == WAITING:
                return self._silent_s >= self._limits[0]
            self._still_s += seconds
            idle_limit, patient_limit = self._limits
            if self._beat is None or self._beat.state == STARTING:
                return max(self._still_s, self._silent_s) >= patient_limit
            if self._silent_s >= idle_limit:
                return True
            return self._still_s >= (patient_limit if self._is_busy() else idle_limit)

    def be_patient(self) -> None:
        """Wait twice as long from now on: the user thinks that it only takes long."""
        with self._lock:
            self._limits = (self._limits[0] * 2, self._limits[1] * 2)
            self._still_s = self._silent_s = 0.0
            self._first = self._beat

    def _first_state(self) -> str:
        return self._first.state if self._first is not None else ""

    def _is_busy(self) -> bool:
        """Return whether the worker has computed for most of the time since the last progress."""
        if self._beat is None or self._first is None or self._still_s <= 0:
            return False
        return self._beat.cpu_s - self._first.cpu_s >= _BUSY_SHARE * self._still_s
