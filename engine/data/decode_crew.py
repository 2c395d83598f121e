"""The processes of a decode pool: started, listened to, given up, and a lost disk waited for."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.contract.errors import EngineError, StorageError
from engine.data.decode_messages import DecodeSettings
from engine.data.decode_process import DecodeProcess, decode_command
from engine.hardware.threads import cgroup_cpus

MAX_PROCESSES: Final = 8
"""Each occupies about 70 MB; and one process enters what all of them read."""
_FILES_PER_PROCESS: Final = 50
"""Reading fewer takes less time than starting a process."""
_TASKS_OPEN: Final = 64
"""Of one process, answered or not: so far may one be ahead of another."""
_TICK_S: Final = 0.2
_PROBE_S: Final = 10.0
_GRACE_S: Final = 5.0
_MAX_STARTS: Final = 3
CRASHED, HUNG, HUGE, STALLED = "crashed", "hung", "huge", "stalled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When patience with a file or a disk ends.

    Attributes:
        decode_s: Seconds for one image beside others; what takes longer is tried again alone.
        decode_alone_s: Seconds for one image alone.
        memory_bytes: Of a process; includes about 70 MB of the program itself.
        tell_s: Seconds until the user hears that the disk is being waited for.
        stall_s: Seconds until a file that doesn't arrive is asked for anew.
        gone_s: Seconds until a source that can't be reached ends the import.
        retry_s: Seconds between two looks for a source.
    """

    decode_s: float = 20.0
    decode_alone_s: float = 60.0
    memory_bytes: int = (1 << 30) + (128 << 20)
    tell_s: float = 5.0
    stall_s: float = 30.0
    gone_s: float = 300.0
    retry_s: float = 2.0


class SourceGoneError(StorageError):
    """The folder of the files can't be reached and didn't come back in time."""


class Lost(Exception):  # noqa: N818 - what happened to a process, not an error
    """A process is gone; says whether it crashed, hung, stalled, or was too large."""


class Crew:
    """Processes that decode, however many there are at the moment.

    Attributes:
        limits: When patience ends.
    """

    def __init__(
        self,
        on_wait: Callable[[str], None],
        safe_point: Callable[[], None],
        limits: Limits,
        command: Sequence[str] | None,
    ) -> None:
        """Start the first process; see ``DecodePool``."""
        self.limits = limits
        self._on_wait, self._safe_point = on_wait, safe_point
        self._command = command or decode_command()
        self._settings: DecodeSettings | None = None
        self._processes: list[DecodeProcess] = []
        self._n_failed_starts = 0
        self._looked_at = time.monotonic()
        self._start()

    def use(self, settings: DecodeSettings) -> None:
        """Say what is to be made of the files that follow."""
        self._settings = settings
        for process in self._processes:
            process.use(settings)

    def ready_for_more(self, n_ahead: int) -> DecodeProcess | None:
        """Return the process with the least to do, if it has done half of what it may have.

        One that is still starting is given work only while no other is there.
        """
        alive = self._processes
        ready = [process for process in alive if process.is_ready] or alive
        open_to_more = [process for process in ready if len(process.tasks) < _TASKS_OPEN]
        least = min(open_to_more, key=lambda process: process.n_unanswered, default=None)
        return None if least is None or least.n_unanswered > n_ahead // 2 else least

    def grow(self, n_given: int, n_most: int) -> None:
        """Start one more process if there is enough to do."""
        n_wanted = min(n_most, 1 + n_given // _FILES_PER_PROCESS)
        if len(self._processes) < n_wanted:
            self._start()

    def _start(self) -> None:
        self._processes.append(self._new_process())

    def _new_process(self) -> DecodeProcess:
        try:
            return DecodeProcess(self._command, self._settings)
        except OSError as error:
            raise _cannot_start() from error

    def give_up(self, process: DecodeProcess) -> None:
        """Let go of a process that is lost.

        Raises:
            EngineError: If processes end again and again before they can begin.
        """
        self._processes.remove(process)
        process.close()
        self._n_failed_starts = 0 if process.is_ready else self._n_failed_starts + 1
        if self._n_failed_starts >= _MAX_STARTS:
            raise _cannot_start()

    def answer(self, process: DecodeProcess, patience_s: float) -> tuple[dict[str, Any], Any]:
        """Return what a process says next about the task that it has had longest.

        Raises:
            Lost: If it died, or was ended because it hung, stalled or outgrew its memory.
        """
        waited_s = 0.0  # counted, since a job that is paused stops the clock too
        while True:
            message = self._next_message(process)
            if message is None:
                waited_s += _TICK_S
                if waited_s > max(patience_s, self.limits.stall_s) + _GRACE_S:
                    raise Lost(HUNG)  # not even its own clock answers
            elif message[0]["type"] != "busy":
                return message
            else:
                waited_s = 0.0
                self._judge(message[0], patience_s)

    def _next_message(self, process: DecodeProcess) -> tuple[dict[str, Any], Any] | None:
        """Return the next message, or None after a moment without one."""
        try:
            message = process.next_message(_TICK_S)
        except queue.Empty:
            self._safe_point()
            self._look_at_memory()
            return None
        if message is None:
            raise Lost(process.ended_for or CRASHED)
        return message

    def _judge(self, busy: dict[str, Any], patience_s: float) -> None:
        """Decide whether a process has been busy with one thing for too long."""
        seconds = busy["seconds"]
        if busy["phase"] == "decoding":
            if seconds > patience_s:
                raise Lost(HUNG)
            return
        if seconds > self.limits.tell_s:
            self._on_wait("The disk with the images doesn't answer; RadTune waits for it.")
        if seconds > self.limits.stall_s:
            raise Lost(STALLED)

    def look_at_memory(self) -> None:
        """End processes that take too much memory, every now and then."""
        now = time.monotonic()
        if now - self._looked_at >= _TICK_S:
            self._look_at_memory()

    def _look_at_memory(self) -> None:
        self._looked_at = time.monotonic()
        for process in self._processes:
            if process.memory_bytes() > self.limits.memory_bytes:
                process.end(HUGE)

    # --- a source that can't be reached ---------------------------------------------------------

    def wait_for(self, root: str) -> None:
        """Wait until a source can be reached.

        Raises:
            SourceGoneError: If that takes too long.
        """
        began = time.monotonic()
        while not self._is_there(root):
            if time.monotonic() - began > self.limits.gone_s:
                raise SourceGoneError(
                    "The folder of images isn't there any more, or its disk doesn't answer.",
                    remedy="Connect its disk again, then try again.",
                )
            self._on_wait(
                "The folder of images can't be reached; RadTune waits for it and goes on by itself "
                "when its disk is connected again."
            )
            end = time.monotonic() + self.limits.retry_s
            while time.monotonic() < end:
                self._safe_point()
                time.sleep(min(_TICK_S, self.limits.retry_s))

    def _is_there(self, root: str) -> bool:
        """Look for a source from a process of its own, since the look itself may never return."""
        process = self._new_process()
        try:
            process.probe(root)
            end = time.monotonic() + _PROBE_S
            while time.monotonic() < end:
                if (message := self._next_message(process)) is not None:
                    return bool(message[0].get("is_there"))
            return False
        except Lost:
            return False
        finally:
            process.close()

    def dismiss(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.close()
        self._processes.clear()


def n_processes() -> int:
    """Return how many processes decode at a time: one for every core that may be used."""
    if hasattr(os, "sched_getaffinity"):
        n_cores = len(os.sched_getaffinity(0))
    else:
        n_cores = os.cpu_count() or 1
    quota = cgroup_cpus()
    if quota is not None:
        n_cores = min(n_cores, max(1, round(quota)))
    return min(n_cores, MAX_PROCESSES)


def _cannot_start() -> EngineError:
    return EngineError(
        "The part of RadTune that reads images could not be started.",
        remedy="Close other programs and try again; if it happens again, reinstall RadTune.",
    )
