"""The signs of life of a worker, and its stacks in the log when it hangs.

Nothing here uses signals, so that it works on Windows. A thread sends the heartbeats. Code that
keeps the interpreter to itself keeps that thread from running, too: then faulthandler's own thread,
which needs no interpreter, writes the stacks.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import threading
import time
from collections.abc import Callable
from typing import Final, TextIO

from engine.contract.control import Control
from engine.contract.events import Event
from engine.contract.heartbeat import BEAT_S, STARTING, WAITING, WORKING, Heartbeat
from engine.contract.protocol import encode_event, encode_heartbeat
from engine.logs import log_folder

_STUCK_S: Final = 90.0
"""Without a heartbeat for so long the stacks are written unasked; less than the window waits."""
_MAX_LOG_BYTES: Final = 1_000_000


class Pulse:
    """Writes a worker's events, and heartbeats between them while a job is in hand.

    Args:
        stream: The worker's standard output.
        stacks: Where stacks go; None where the log folder can't be written.
    """

    def __init__(self, stream: TextIO, stacks: TextIO | None) -> None:
        self._stream = stream
        self._stacks = stacks
        self._lock = threading.Lock()
        self._has_job = threading.Event()
        self._control = Control()
        self._is_begun = False
        self._n_events = 0

    def expect(self, control: Control) -> None:
        """Say that a job has arrived, which may have to wait until libraries are loaded."""
        if not self._has_job.is_set():
            self._control, self._is_begun, self._n_events = control, False, 0
            self._has_job.set()

    def begin(self, control: Control) -> None:
        """Say that a job begins."""
        self._control, self._is_begun, self._n_events = control, True, 0
        self._has_job.set()

    def end(self) -> None:
        """Say that the job has ended: an idle worker is silent."""
        self._has_job.clear()

    def emit(self, event: Event) -> None:
        """Write an event of the job."""
        self._n_events += 1
        self._write(encode_event(event))

    def heartbeat(self) -> Heartbeat:
        """Return how the job in hand stands."""
        state = WORKING if self._is_begun else STARTING
        if self._control.is_waiting:
            state = WAITING
        return Heartbeat(
            state=state,
            n_moves=self._control.n_moves + self._n_events,
            cpu_s=round(time.process_time(), 2),
        )

    def beat(self, wait: Callable[[float], None] = time.sleep) -> None:
        """Send heartbeats for ever; for a thread of its own."""
        while True:
            self._has_job.wait()
            if self._stacks is not None:
                faulthandler.dump_traceback_later(_STUCK_S, file=self._stacks)
            self._write(encode_heartbeat(self.heartbeat()))
            wait(BEAT_S)
            if not self._has_job.is_set():
                faulthandler.cancel_dump_traceback_later()

    def dump_stacks(self) -> None:
        """Write to the log where each thread is."""
        if self._stacks is not None:
            with contextlib.suppress(OSError):
                self._stacks.write(time.strftime("%Y-%m-%d %H:%M:%S no progress\n"))
                self._stacks.flush()
                faulthandler.dump_traceback(self._stacks)

    def _write(self, line: str) -> None:
        with self._lock:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except OSError:
                # The window is gone, and its other pipes go next. A run must not call that a
                # failure of its own: cut off here, it can go on.
                os._exit(0)


def open_stacks(role: str) -> TextIO | None:
    """Open the log of where a worker of this role hung; None where it can't be written."""
    with contextlib.suppress(OSError):
        folder = log_folder()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"hang-{role}.log"
        is_long = path.exists() and path.stat().st_size > _MAX_LOG_BYTES
        return path.open("w" if is_long else "a", encoding="utf-8")
    return None
