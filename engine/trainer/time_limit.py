"""A training that ends when its time is up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine.contract.control import Control


class TimeIsUp(Exception):  # noqa: N818 - an end that was asked for, not an error
    """The time was up before there was anything to keep."""


class TimedControl(Control):
    """Another control's requests, and a stop of its own when the time is up.

    Time spent paused doesn't count. While :attr:`is_strict`, nothing worth keeping exists yet, and
    a safe point after the time raises instead of letting the job come to a stop.

    Attributes:
        is_strict: Whether safe points raise when the time is up.
    """

    def __init__(self, inner: Control, seconds: float | None = None) -> None:
        super().__init__()
        self._inner = inner
        self._started = time.perf_counter()
        self._limit_s = math.inf if seconds is None else seconds
        self.is_strict = False

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning without those that were spent paused."""
        return time.perf_counter() - self._started - self.waited_s

    @property
    def left_s(self) -> float | None:
        """Seconds until the time is up, at least 0; None without a limit."""
        return None if math.isinf(self._limit_s) else max(0.0, self._limit_s - self.elapsed_s)

    @property
    def is_time_up(self) -> bool:
        """Whether the time is up."""
        return self.elapsed_s >= self._limit_s

    @property
    def n_requests(self) -> int:
        """How many requests have arrived."""
        return self._inner.n_requests

    @property
    def stop_requested(self) -> bool:
        """Whether the job should end now and keep its best result."""
        return self._inner.stop_requested or self.is_time_up

    @property
    def cancel_requested(self) -> bool:
        """Whether the job should end now and keep nothing."""
        return self._inner.cancel_requested

    @property
    def interrupted(self) -> bool:
        """Whether the job should end now and leave its state to be resumed."""
        return self._inner.interrupted

    @property
    def pause_requested(self) -> bool:
        """Whether the job should wait at its next safe point."""
        return self._inner.pause_requested

    @contextmanager
    def pausing(
        self, on_pause: Callable[[], None], on_proceed: Callable[[], None]
    ) -> Iterator[None]:
        """Say what happens around a pause at a safe point that doesn't say so itself."""
        with self._inner.pausing(on_pause, on_proceed):
            yield

    def wait_for_request(self, seconds: float, *, since: int | None = None) -> None:
        """Wait until a request arrives, at most so long."""
        before = time.perf_counter()
        self._inner.wait_for_request(seconds, since=since)
        self.waited_s += time.perf_counter() - before

    def raise_if_ending(self) -> None:
        """Honour a request to end while the job waits; that the time is up is none.

        Raises:
            JobCanceled: If the job was asked to end in any way.
        """
        self._inner.raise_if_ending()

    def safe_point(
        self,
        on_pause: Callable[[], None] | None = None,
        on_proceed: Callable[[], None] | None = None,
    ) -> None:
        """Wait while paused, then raise if canceled, or if strict and the time is up.

        Raises:
            JobCanceled: If the job was asked to cancel.
            TimeIsUp: If nothing is to be kept yet and the time is up, or a stop was asked for.
        """
        if self._inner.pause_requested:
            before = time.perf_counter()
            self._inner.safe_point(on_pause, on_proceed)
            self.waited_s += time.perf_counter() - before
        else:
            self._inner.safe_point()
        if self.is_strict and self.stop_requested:
            raise TimeIsUp
