"""Requests to a running job, honoured at its safe points."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator


class JobCanceled(Exception):  # noqa: N818 - a request that was honoured, not an error
    """The job was asked to end now; whether its state is kept is :attr:`Control.interrupted`."""


class Control:
    """Pause, stop, cancel and interrupt requests, set by one thread and honoured by the job's own.

    A job calls :meth:`safe_point` once per batch or file. Pausing blocks there; canceling raises
    there; stopping is read from :attr:`stop_requested`, since only the job knows what to keep.

    Attributes:
        n_moves: Safe points passed so far; a job whose number stands still may hang.
        is_waiting: Whether the job waits on purpose: it is paused, or the disk is full.
        waited_s: Seconds that it has waited so far.
    """

    def __init__(self) -> None:
        self.n_moves = 0
        self.is_waiting = False
        self.waited_s = 0.0
        self._on_pause: Callable[[], None] | None = None
        self._on_proceed: Callable[[], None] | None = None
        self._condition = threading.Condition()
        self._paused = False
        self._stop = False
        self._cancel = False
        self._interrupt = False
        self._n_requests = 0

    @property
    def n_requests(self) -> int:
        """How many requests have arrived."""
        return self._n_requests

    @property
    def stop_requested(self) -> bool:
        """Whether the job should end now and keep its best result."""
        return self._stop

    @property
    def cancel_requested(self) -> bool:
        """Whether the job should end now and keep nothing."""
        return self._cancel

    @property
    def interrupted(self) -> bool:
        """Whether the job should end now and leave its state to be resumed."""
        return self._interrupt

    @property
    def pause_requested(self) -> bool:
        """Whether the job should wait at its next safe point."""
        return self._paused

    def pause(self) -> None:
        """Ask the job to wait."""
        self._set(paused=True)

    def proceed(self) -> None:
        """Let a paused job go on."""
        self._set(paused=False)

    def stop(self) -> None:
        """Ask the job to end and keep its best result."""
        self._set(paused=False, stop=True)

    def cancel(self) -> None:
        """Ask the job to end and keep nothing."""
        self._set(paused=False, cancel=True)

    def interrupt(self) -> None:
        """Ask the job to end and leave its state to be resumed; at least a cancel for others."""
        self._set(paused=False, cancel=True, interrupt=True)

    def _set(
        self, *, paused: bool, stop: bool = False, cancel: bool = False, interrupt: bool = False
    ) -> None:
        with self._condition:
            self._paused = paused
            self._stop |= stop
            self._cancel |= cancel
            self._interrupt |= interrupt
            self._n_requests += 1
            self._condition.notify_all()

    def wait_for_request(self, seconds: float, *, since: int | None = None) -> None:
        """Wait until a request arrives, at most so long.

        Args:
            seconds: The longest wait.
            since: What :attr:`n_requests` was when the job last looked: what has arrived since
                then isn't waited for. None for what it is now.
        """
        with self._condition, self._waiting():
            seen = self._n_requests if since is None else since
            self._condition.wait_for(lambda: self._n_requests != seen, seconds)

    def raise_if_ending(self) -> None:
        """Honour a request to end while the job waits, and so makes nothing that could be kept.

        A stop then ends it as an interruption does: what it kept before is there to go on from.

        Raises:
            JobCanceled: If the job was asked to end in any way.
        """
        if self._stop and not self._cancel:
            self.interrupt()
        if self._cancel:
            raise JobCanceled

    def wait_point(self) -> None:
        """Pass a safe point of a wait: pause as at any other, and end as :meth:`raise_if_ending`.

        Raises:
            JobCanceled: If the job was asked to end in any way.
        """
        self.raise_if_ending()
        self.safe_point()

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        self.is_waiting, since = True, time.perf_counter()
        try:
            yield
        finally:
            self.waited_s += time.perf_counter() - since
            self.n_moves += 1
            self.is_waiting = False

    @contextlib.contextmanager
    def pausing(
        self, on_pause: Callable[[], None], on_proceed: Callable[[], None]
    ) -> Iterator[None]:
        """Say what happens around a pause at a safe point that doesn't say so itself."""
        before = self._on_pause, self._on_proceed
        self._on_pause, self._on_proceed = on_pause, on_proceed
        try:
            yield
        finally:
            self._on_pause, self._on_proceed = before

    def safe_point(
        self,
        on_pause: Callable[[], None] | None = None,
        on_proceed: Callable[[], None] | None = None,
    ) -> None:
        """Wait while paused, then raise if canceled.

        Args:
            on_pause: Called once before waiting, for example to save the state; if neither is
                given, what :meth:`pausing` said.
            on_proceed: Called once after waiting.

        Raises:
            JobCanceled: If the job was asked to cancel.
        """
        self.n_moves += 1
        if on_pause is None and on_proceed is None:
            on_pause, on_proceed = self._on_pause, self._on_proceed
        if self._paused and not self._cancel:
            if on_pause is not None:
                on_pause()
            with self._condition, self._waiting():
                self._condition.wait_for(lambda: not self._paused)
            if on_proceed is not None and not self._cancel:
                on_proceed()
        if self._cancel:
            raise JobCanceled
