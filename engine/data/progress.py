"""Progress of a job over many files, about ten times a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from engine.contract.events import Event, JobProgressed, Warned

Emit = Callable[[Event], None]
_INTERVAL_S: Final = 0.1
_WARM_UP_S: Final = 0.5


class Progress:
    """Counts items of one stage and reports them with their rate and the time left."""

    def __init__(
        self, emit: Emit, kind: str, stage: str, total: int = 0, *, n_before: int = 0
    ) -> None:
        """Report that the stage began.

        Args:
            emit: Takes the events.
            kind: The command's name.
            stage: Plain words for people.
            total: Number of items; 0 when unknown.
            n_before: Items that were finished earlier, and so say nothing about the rate.
        """
        self._emit, self._kind, self._stage, self._total = emit, kind, stage, total
        self._done = self._n_before = n_before
        self._began = self._last = time.monotonic()
        self._report(self._began, stage)

    def step(self, n_items: int = 1) -> None:
        """Count items."""
        self._done += n_items
        now = time.monotonic()
        if now - self._last >= _INTERVAL_S or self._done == self._total:
            self._report(now, self._stage)

    def say(self, words: str) -> None:
        """Report what is going on instead of the stage, until the next item."""
        self._report(time.monotonic(), words)

    def _report(self, now: float, stage: str) -> None:
        self._last = now
        elapsed, n_new = now - self._began, self._done - self._n_before
        per_s = n_new / elapsed if elapsed > _WARM_UP_S and n_new else None
        left = (self._total - self._done) / per_s if per_s and self._total else None
        self._emit(
            JobProgressed(
                kind=self._kind,
                stage=stage,
                done=self._done,
                total=self._total,
                per_s=per_s,
                seconds_left=left,
            )
        )


class SilenceWatch:
    """Says so when a disk doesn't answer while this thread itself waits for it.

    A context manager around work that calls :meth:`sign_of_life` again and again.
    """

    def __init__(self, emit: Emit, *, after_s: float) -> None:
        """Prepare.

        Args:
            emit: Takes a ``Warned``, from another thread, while this one is stuck.
            after_s: Seconds of silence until then.
        """
        self._emit, self._after_s = emit, after_s
        self._last = time.monotonic()
        self._ended = threading.Event()

    def sign_of_life(self) -> None:
        """Say that the disk answers."""
        self._last = time.monotonic()

    def _watch(self) -> None:
        told_for = 0.0
        while not self._ended.wait(min(1.0, self._after_s)):
            last = self._last
            if time.monotonic() - last > self._after_s and told_for != last:
                told_for = last
                self._emit(
                    Warned(
                        message="The disk with the images doesn't answer; RadTune waits for it.",
                        remedy="Check the connection to the disk.",
                    )
                )

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="silence", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
