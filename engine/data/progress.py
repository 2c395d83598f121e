"""Progress of a job over many files, about ten times a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from engine.contract.events import Event, JobProgressed

Emit = Callable[[Event], None]
_INTERVAL_S: Final = 0.1
_WARM_UP_S: Final = 0.5


class Progress:
    """Counts items of one stage and reports them with their rate and the time left."""

    def __init__(self, emit: Emit, kind: str, stage: str, total: int = 0) -> None:
        """Report that the stage began.

        Args:
            emit: Takes the events.
            kind: The command's name.
            stage: Plain words for people.
            total: Number of items; 0 when unknown.
        """
        self._emit, self._kind, self._stage, self._total = emit, kind, stage, total
        self._done = 0
        self._began = self._last = time.monotonic()
        self._report(self._began)

    def step(self) -> None:
        """Count one item."""
        self._done += 1
        now = time.monotonic()
        if now - self._last >= _INTERVAL_S or self._done == self._total:
            self._report(now)

    def _report(self, now: float) -> None:
        self._last = now
        elapsed = now - self._began
        per_s = self._done / elapsed if elapsed > _WARM_UP_S and self._done else None
        left = (self._total - self._done) / per_s if per_s and self._total else None
        self._emit(
            JobProgressed(
                kind=self._kind,
                stage=self._stage,
                done=self._done,
                total=self._total,
                per_s=per_s,
                seconds_left=left,
            )
        )
