"""Decodes files in processes of their own, so that none can end the program.

As many processes as cores work through the files. One that dies over a file, hangs, or takes too
much memory costs that file alone: it is set aside and tried once more at the end, alone in a fresh
process, before it counts as unreadable. A disk that stops answering or is gone is waited for.
"""

from __future__ import annotations

import os
import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from engine.contract.errors import EngineError, StorageError
from engine.data.decode_messages import DecodedFrame, DecodeSettings, Job
from engine.data.decode_process import DecodeProcess, Task, decode_command
from engine.hardware.threads import cgroup_cpus

MAX_PROCESSES: Final = 8
"""Each occupies about 70 MB; and one process enters what all of them read."""
_FILES_PER_PROCESS: Final = 50
"""Reading fewer takes less time than starting a process."""
_TASKS_AHEAD: Final = 8
_TASKS_OPEN: Final = 64
"""Of one process, answered or not: so far may one be ahead of another."""
_TICK_S: Final = 0.2
_PROBE_S: Final = 10.0
_MAX_STARTS: Final = 3


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


@dataclass(frozen=True, slots=True)
class Finished:
    """All frames of a job have been decoded."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A job failed for good; frames of it that came before don't count.

    Attributes:
        kind: As in ``SkippedFile``.
        stamp: Size and time of change of the file, where they could be asked for.
    """

    reason: str
    kind: str = "unreadable"
    stamp: tuple[int, int] | None = None


Outcome = DecodedFrame | Finished | Failed
_CRASHED, _HUNG, _HUGE, _STALLED = "crashed", "hung", "huge", "stalled"


class _Lost(Exception):  # noqa: N818 - what happened to a process, not an error
    """A process is gone, and what for."""


class DecodePool:
    """Processes that decode files; a context manager that ends them."""

    def __init__(
        self,
        *,
        on_wait: Callable[[str], None] = lambda sentence: None,
        safe_point: Callable[[], None] = lambda: None,
        limits: Limits | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        """Start the first process, which is ready when the first file is.

        Args:
            on_wait: Told in a sentence when a disk is being waited for.
            safe_point: Called at least every 0.2 s; may raise to give up.
            limits: When patience ends.
            command: Starts a process.

        Raises:
            EngineError: If the system refuses to start it.
        """
        self._on_wait = on_wait
        self._safe_point = safe_point
        self._limits = limits or Limits()
        self._command = command or decode_command()
        self._settings: DecodeSettings | None = None
        self._processes: list[DecodeProcess] = []
        self._n_failed_starts = 0
        self._looked_at = time.monotonic()
        self._start()

    def decode(
        self, jobs: Iterable[Job], settings: DecodeSettings
    ) -> Iterator[tuple[Job, Outcome]]:
        """Decode files and yield their frames, then whether they finished or failed.

        In the order of the jobs, except that files come later that had to be tried again.

        Args:
            jobs: What to decode; asked for when there is room.
            settings: What to make of every file.

        Raises:
            EngineError: If processes can't be started.
            StorageError: If the source is gone and doesn't come back in time.
        """
        self._settings = settings
        for process in self._processes:
            process.use(settings)
        again: list[Task] = []
        yield from _Pass(self, (Task(job) for job in jobs), again).run()
        if again:
            self._end_all()  # each of these has a fresh process, and the memory, for itself
            yield from _Pass(self, iter(again), None).run()

    # --- processes, for a pass ------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        """When patience ends."""
        return self._limits

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
            _Lost: If it died, or was ended because it hung, stalled or outgrew its memory.
        """
        began = time.monotonic()
        while True:
            message = self._next_message(process)
            if message is None:
                if time.monotonic() - began > max(patience_s, self._limits.stall_s) + 5:
                    raise _Lost(_HUNG)  # not even its own clock answers
            elif message[0]["type"] != "busy":
                return message
            else:
                began = time.monotonic()
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
            raise _Lost(process.ended_for or _CRASHED)
        return message

    def _judge(self, busy: dict[str, Any], patience_s: float) -> None:
        """Decide whether a process has been busy with one thing for too long."""
        seconds = busy["seconds"]
        if busy["phase"] == "decoding":
            if seconds > patience_s:
                raise _Lost(_HUNG)
            return
        if seconds > self._limits.tell_s:
            self._on_wait("The disk with the images doesn't answer; RadTune waits for it.")
        if seconds > self._limits.stall_s:
            raise _Lost(_STALLED)

    def look_at_memory(self) -> None:
        """End processes that take too much memory, every now and then."""
        now = time.monotonic()
        if now - self._looked_at >= _TICK_S:
            self._look_at_memory()

    def _look_at_memory(self) -> None:
        self._looked_at = time.monotonic()
        for process in self._processes:
            if process.memory_bytes() > self._limits.memory_bytes:
                process.end(_HUGE)

    # --- a source that can't be reached ---------------------------------------------------------

    def wait_for(self, root: str) -> None:
        """Wait until a source can be reached.

        Raises:
            StorageError: If that takes too long.
        """
        began = time.monotonic()
        while not self._is_there(root):
            if time.monotonic() - began > self._limits.gone_s:
                raise StorageError(
                    "The folder of images isn't there any more, or its disk doesn't answer.",
                    remedy="Connect its disk again, then import it again: what was read so far is "
                    "kept, and the import goes on where it stopped.",
                )
            self._on_wait(
                "The folder of images can't be reached; RadTune waits for it and goes on by itself "
                "when its disk is connected again."
            )
            end = time.monotonic() + self._limits.retry_s
            while time.monotonic() < end:
                self._safe_point()
                time.sleep(min(_TICK_S, self._limits.retry_s))

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
        except _Lost:
            return False
        finally:
            process.close()

    def _end_all(self) -> None:
        for process in self._processes:
            process.close()
        self._processes.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end_all()


class _Pass:
    """One way through the files: all beside one another, or one after the other alone."""

    def __init__(self, pool: DecodePool, tasks: Iterator[Task], again: list[Task] | None) -> None:
        """Prepare.

        Args:
            pool: Has the processes.
            tasks: The files.
            again: Takes files to be tried again; None tries each alone, for the last time.
        """
        self._pool = pool
        self._new = tasks
        self._returned: deque[Task] = deque()
        self._order: deque[Task] = deque()
        self._again = again
        self._n_given = 0
        is_alone = again is None
        self._n_ahead = 1 if is_alone else _TASKS_AHEAD
        self._n_processes = 1 if is_alone else n_processes()
        limits = pool.limits
        self._patience_s = limits.decode_alone_s if is_alone else limits.decode_s

    def run(self) -> Iterator[tuple[Job, Outcome]]:
        """Yield what comes of the files."""
        while True:
            self._hand_out()
            if not self._order:
                return
            task = self._order[0]
            assert task.process is not None
            try:
                plain, payload = self._pool.answer(task.process, self._patience_s)
            except _Lost as lost:
                yield from self._lose(task, str(lost))
                continue
            self._pool.look_at_memory()
            is_frame = plain["type"] == "frame"
            is_over = not is_frame or plain["is_last"]
            if is_over:
                self._order.popleft()
                task.process.tasks.popleft()
                self._hand_out()  # first of all, so that nobody waits while this is dealt with
            if is_frame:
                task.n_frames += 1
                yield task.job, DecodedFrame.from_message(plain, payload)
            if plain["type"] == "failed":
                yield from self._fail(task, plain)
            elif is_over:
                yield task.job, Finished()

    def _hand_out(self) -> None:
        """Keep every process supplied."""
        self._pool.grow(self._n_given + 1, self._n_processes)
        while (process := self._pool.ready_for_more(self._n_ahead)) is not None:
            tasks = [*self._next_tasks(self._n_ahead - process.n_unanswered)]
            if not tasks:
                return
            process.give(tasks)
            self._order += tasks
            self._n_given += len(tasks)

    def _next_tasks(self, n: int) -> Iterator[Task]:
        for _ in range(n):
            task = self._returned.popleft() if self._returned else next(self._new, None)
            if task is None:
                return
            yield task

    def _lose(self, task: Task, reason: str) -> Iterator[tuple[Job, Outcome]]:
        """Go on without a process: its first task is to blame, those behind it are not."""
        process = task.process
        assert process is not None
        was_ready = process.is_ready
        self._pool.give_up(process)
        others = [other for other in process.tasks if other is not task]
        lost = set(map(id, process.tasks))
        self._order = deque(other for other in self._order if id(other) not in lost)
        self._returned.extendleft(reversed(others))
        if not was_ready:
            self._returned.appendleft(task)
            return
        if reason == _STALLED:
            self._pool.wait_for(task.job.root)
        yield from self._try_again(task, reason, _FINAL[reason])

    def _fail(self, task: Task, plain: dict[str, Any]) -> Iterator[tuple[Job, Outcome]]:
        if plain.get("is_source_gone"):
            self._pool.wait_for(task.job.root)
            self._returned.appendleft(task)
            return
        stamp = plain["stamp"]
        failed = Failed(plain["reason"], plain["kind"], None if stamp is None else tuple(stamp))
        if plain.get("may_pass"):
            yield from self._try_again(task, plain["reason"], failed)
        else:
            yield task.job, failed

    def _try_again(self, task: Task, trouble: str, failed: Failed) -> Iterator[tuple[Job, Outcome]]:
        if self._again is None:
            yield task.job, failed
        else:
            task.trouble = trouble
            self._again.append(task)


_FINAL: Final = {
    _CRASHED: Failed("Quarantined: decoding this file crashed the image reader twice."),
    _HUNG: Failed("Quarantined: decoding this file doesn't come to an end."),
    _HUGE: Failed("Quarantined: decoding this file takes more than 1 GB of memory."),
    _STALLED: Failed("The disk doesn't deliver this file."),
}


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
