"""How fast a training goes, and how long it still takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.trainer.time_left import TimeLeft

_N_RECENT: Final = 20  # batches over which the speed is taken


class Pace:
    """Follows a training by a clock that stands still while it waits.

    Attributes:
        left: The estimate of the time to the end.

    Args:
        clock: Seconds that don't pass while the run is paused or waits for room on the disk.
        left: Fed with every batch.
    """

    def __init__(self, clock: Callable[[], float], left: TimeLeft) -> None:
        self.left = left
        self._clock = clock
        self._recent = [(clock(), 0)]

    def begin(self, images: int) -> None:
        """Take the speed from here on; ``images`` have been learned from in all."""
        self._recent = [(self._clock(), images)]

    def skip(self, images: int) -> None:
        """Leave out what was done since the last batch, which was no learning."""
        self._recent.append((self._clock(), images))

    def batch(self, images: int) -> float:
        """Take in a batch; return images a second over the last ones."""
        now = self._clock()
        before, n_before = self._recent[-1]
        self.left.batch(now - before, images - n_before)
        self._recent = [*self._recent[-_N_RECENT:], (now, images)]
        then, n_then = self._recent[0]
        return (images - n_then) / max(now - then, 1e-9)
