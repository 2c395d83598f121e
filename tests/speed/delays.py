"""How late the ticks of a timer come in the window's thread, and how much of that is its own work.

On a quiet machine the two agree. On a busy one a tick is late because another process had the
processor; the thread's own processor time still says what the window did to itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PySide6.QtCore import QEventLoop, QObject, Qt, QTimer

__all__ = ["Delays", "Lateness", "live_until"]

_INTERVAL_MS = 10
LIMIT_P99_MS, LIMIT_MAX_MS = 10.0, 60.0


@dataclass(slots=True)
class Lateness:
    """Ticks of one stretch of time, in milliseconds.

    Attributes:
        late: How much later than asked each tick came.
        own: Processor time of the window's thread before each tick.
    """

    late: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)

    @property
    def worst(self) -> float:
        """The longest delay."""
        return max(self.late, default=0.0)

    @property
    def worst_own(self) -> float:
        """The longest stretch of the window's own work."""
        return max(self.own, default=0.0)

    def describe(self) -> str:
        """Return percentiles of the delays, beside the limits, and of the window's own work."""
        median, p95, p99 = np.percentile(self.late, [50, 95, 99])
        own99 = np.percentile(self.own, 99)
        return (
            f"{len(self.late)} ticks, late by: median {median:.1f} ms, p95 {p95:.1f}, "
            f"p99 {p99:.1f} (limit {LIMIT_P99_MS:.0f}), max {self.worst:.1f} "
            f"(limit {LIMIT_MAX_MS:.0f}), {sum(x > LIMIT_MAX_MS for x in self.late)} over the "
            f"limit; own work before a tick: p99 {own99:.1f} ms, max {self.worst_own:.1f}"
        )


class Delays(QObject):
    """A timer that notes how late it comes; `begin` starts a new stretch."""

    def __init__(self) -> None:
        super().__init__()
        self.now = Lateness()
        self._asked_at = 0.0
        self._used = 0.0
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setSingleShot(True)  # an interval would catch up with what it missed
        self._timer.setInterval(_INTERVAL_MS)
        self._timer.timeout.connect(self._tick)

    def begin(self) -> Lateness:
        """Begin a stretch and return where its ticks are noted."""
        self.now = Lateness()
        self._ask()
        return self.now

    def end(self) -> None:
        """Stop measuring."""
        self._timer.stop()

    def _ask(self) -> None:
        self._asked_at, self._used = time.perf_counter(), time.thread_time()
        self._timer.start()

    def _tick(self) -> None:
        waited = (time.perf_counter() - self._asked_at) * 1e3
        self.now.late.append(max(0.0, waited - _INTERVAL_MS))
        self.now.own.append((time.thread_time() - self._used) * 1e3)
        self._ask()


def live_until(is_so: Callable[[], bool], timeout_s: float) -> bool:
    """Run the event loop as the program does until something is so; return whether it is."""
    loop, end = QEventLoop(), time.monotonic() + timeout_s
    watch = QTimer()
    watch.setInterval(50)
    watch.timeout.connect(lambda: loop.quit() if is_so() or time.monotonic() > end else None)
    watch.start()
    if not is_so():
        loop.exec()
    watch.stop()
    return is_so()
