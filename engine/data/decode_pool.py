"""Decodes files in processes of their own, so that none can end the program.

As many processes as cores work through the files. One that dies over a file, hangs, or takes too
much memory costs that file alone: it is set aside and tried once more at the end, alone in a fresh
process, before it counts as unreadable. A disk that stops answering or is gone is waited for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from engine.data.decode_crew import (
    CRASHED,
    HUGE,
    HUNG,
    STALLED,
    Crew,
    Limits,
    Lost,
    SourceGoneError,
    n_processes,
)
from engine.data.decode_messages import DecodedFrame, DecodeSettings, Job
from engine.data.decode_process import Task

__all__ = [
    "DecodePool",
    "Failed",
    "Finished",
    "Limits",
    "Outcome",
    "SourceGoneError",
    "n_processes",
]

_TASKS_AHEAD: Final = 8


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


class DecodePool:
    """Decodes files; a context manager that ends its processes."""

    def __init__(
        self,
        *,
        on_wait: Callable[[str], None] = lambda sentence: None,
        safe_point: Callable[[], None] = lambda: None,
        limits: Limits | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        """Start the first process, so that it is ready when the first file is.

        Args:
            on_wait: Told in a sentence when a disk is being waited for.
            safe_point: Called at least every 0.2 s; may raise to give up.
            limits: When patience ends.
            command: Starts a process.

        Raises:
            EngineError: If the system refuses to start it.
        """
        self._crew = Crew(on_wait, safe_point, limits or Limits(), command)

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
            SourceGoneError: If the source is gone and doesn't come back in time.
        """
        self._crew.use(settings)
        again: list[Task] = []
        yield from _Pass(self._crew, (Task(job) for job in jobs), again).run()
        if again:
            self._crew.dismiss()  # each of these has a fresh process, and the memory, for itself
            yield from _Pass(self._crew, iter(again), None).run()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._crew.dismiss()


class _Pass:
    """One way through the files: all beside one another, or one after the other alone."""

    def __init__(self, crew: Crew, tasks: Iterator[Task], again: list[Task] | None) -> None:
        """Prepare.

        Args:
            crew: The processes.
            tasks: The files.
            again: Takes files to be tried again; None tries each alone, for the last time.
        """
        self._crew = crew
        self._new = tasks
        self._returned: deque[Task] = deque()
        self._order: deque[Task] = deque()
        self._again = again
        self._n_given = 0
        is_alone = again is None
        self._n_ahead = 1 if is_alone else _TASKS_AHEAD
        self._n_processes = 1 if is_alone else n_processes()
        limits = crew.limits
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
                plain, payload = self._crew.answer(task.process, self._patience_s)
            except Lost as lost:
                yield from self._lose(task, str(lost))
                continue
            self._crew.look_at_memory()
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
        self._crew.grow(self._n_given + 1, self._n_processes)
        while (process := self._crew.ready_for_more(self._n_ahead)) is not None:
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
        self._crew.give_up(process)
        others = [other for other in process.tasks if other is not task]
        lost = set(map(id, process.tasks))
        self._order = deque(other for other in self._order if id(other) not in lost)
        self._returned.extendleft(reversed(others))
        if not was_ready:
            self._returned.appendleft(task)
            return
        if reason == STALLED:
            self._crew.wait_for(task.job.root)
        yield from self._try_again(task, _FINAL[reason])

    def _fail(self, task: Task, plain: dict[str, Any]) -> Iterator[tuple[Job, Outcome]]:
        if plain.get("is_source_gone"):
            self._crew.wait_for(task.job.root)
            self._returned.appendleft(task)
            return
        stamp = plain["stamp"]
        failed = Failed(plain["reason"], plain["kind"], None if stamp is None else tuple(stamp))
        if plain.get("may_pass"):
            yield from self._try_again(task, failed)
        else:
            yield task.job, failed

    def _try_again(self, task: Task, failed: Failed) -> Iterator[tuple[Job, Outcome]]:
        if self._again is None:
            yield task.job, failed
        else:
            self._again.append(task)


_FINAL: Final = {
    CRASHED: Failed("Quarantined: decoding this file crashed the image reader twice."),
    HUNG: Failed("Quarantined: decoding this file doesn't come to an end."),
    HUGE: Failed("Quarantined: decoding this file takes more than 1 GB of memory."),
    STALLED: Failed("The disk doesn't deliver this file."),
}
