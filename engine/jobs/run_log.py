"""A run's events, kept as ``events.jsonl`` in its folder while they pass by."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from engine.contract.errors import ConfigError, EngineError
from engine.contract.events import COMPLETED, BatchFinished, Event, RunFinished, RunProgressed
from engine.contract.protocol import decode_event, encode_event
from engine.files import long_path
from engine.project.run_pace import RUN_LOG_NAME

_FLUSH_S: Final = 1.0


class RunLog:
    """Passes events on and appends them to the run's log.

    A full disk must not end a run for its log's sake: lines that can't be written wait for the
    next try.
    """

    def __init__(
        self,
        folder: Path,
        emit: Callable[[Event], None],
        require_there: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare.

        Args:
            folder: The run's.
            emit: Receives the events.
            require_there: Raises an ``EngineError`` while nothing may be written there.
        """
        self._path = long_path(folder / RUN_LOG_NAME)
        self._emit, self._require_there = emit, require_there
        self._waiting: list[str] = []
        self._flushed = 0.0

    def emit(self, event: Event) -> None:
        """Pass an event on and keep it."""
        self._emit(event)
        self._waiting.append(encode_event(event))
        is_frequent = isinstance(event, BatchFinished | RunProgressed)
        if not is_frequent or time.monotonic() - self._flushed > _FLUSH_S:
            self._flush()

    def _flush(self) -> None:
        text = "".join(f"{line}\n" for line in self._waiting)
        data = text.encode("utf-8", errors="backslashreplace")
        with contextlib.suppress(OSError, EngineError):
            self._require_there()
            with self._path.open("ab", buffering=0) as stream:
                end = stream.seek(0, os.SEEK_END)
                if stream.write(data) == len(data):
                    self._waiting.clear()
                else:  # a disk that fills up takes a part; half a line would spoil the log
                    stream.truncate(end)
        self._flushed = time.monotonic()

    def __enter__(self) -> Self:
        """Return the log."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write what is left."""
        if self._waiting:
            self._flush()


def has_completed(folder: Path) -> bool:
    """Return whether a run came to its end by itself, as far as its log tells.

    Args:
        folder: Of the run.
    """
    try:
        lines = (
            long_path(folder / RUN_LOG_NAME)
            .read_text(encoding="utf-8", errors="replace")
            .splitlines()
        )
        last = decode_event(lines[-1])
    except (OSError, IndexError, ConfigError):  # no log, or not of this version
        return False
    return isinstance(last, RunFinished) and last.outcome == COMPLETED
