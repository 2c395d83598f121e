"""One decode process as the program sees it: started quietly, spoken to by lines, ended with it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from engine.data.decode_messages import DecodeSettings, Job, receive

_WAITING_BYTES: Final = 8 << 20
"""What comes next waits in the process, so that large images don't fill the memory."""
_PAUSE_S: Final = 0.01
_GRACE_S: Final = 0.5
_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
_ANSWERS: Final = ("done", "failed")
Message = tuple[dict[str, Any], memoryview]


def decode_command() -> list[str]:
    """Return the command line of a decode process, from source or from the built app."""
    start = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "engine"]
    return [*start, "worker", "--role", "decode"]


class Task:
    """A job on its way through the pool.

    Attributes:
        n_frames: Frames of it that have arrived already.
        process: What works on it now, or worked on it last.
    """

    __slots__ = ("job", "n_frames", "process")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.n_frames = 0
        self.process: DecodeProcess | None = None


class DecodeProcess:
    """A child process with pipes.

    Standard error goes nowhere: codecs print there what they like. Crashes leave their code
    locations in the engine's own log.

    Attributes:
        tasks: What it was given, in order, up to the last answer that was taken.
        is_ready: Whether it has begun to work.
        ended_for: Why this side ended it; empty if it ended by itself.
    """

    def __init__(self, command: Sequence[str], settings: DecodeSettings | None) -> None:
        """Start the process; it takes a moment until it is ready.

        Raises:
            OSError: If the system refuses.
        """
        self.tasks: deque[Task] = deque()
        self.is_ready = False
        self.ended_for = ""
        self._is_closed = False
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        # Each of these is written by one thread alone.
        self._n_given = self._n_answered = self._n_bytes_put = self._n_bytes_taken = 0
        self._settings: DecodeSettings | None = None
        self._memory: Any = None
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, **_import_path(), **_ONE_THREAD},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            start_new_session=os.name != "nt",  # Ctrl-C in a terminal is for the program alone
        )
        if settings is not None:
            self.use(settings)
        threading.Thread(target=self._listen, name="decode", daemon=True).start()

    @property
    def n_unanswered(self) -> int:
        """How many tasks it still has to do, whether or not answers have been taken."""
        return self._n_given - self._n_answered

    def use(self, settings: DecodeSettings) -> None:
        """Say what is to be made of the files that follow."""
        if settings != self._settings:
            self._settings = settings
            self._send({"type": "settings", "settings": settings.to_json()})

    def give(self, tasks: Sequence[Task]) -> None:
        """Hand over tasks, less the frames that have arrived already."""
        messages = []
        for task in tasks:
            task.process = self
            self.tasks.append(task)
            job = task.job.to_json() | {"n_done": task.n_frames}
            messages.append({"type": "decode", "job": job})
        self._n_given += len(messages)
        self._send(*messages)

    def probe(self, root: str) -> None:
        """Ask whether a folder can be reached."""
        self._send({"type": "probe", "root": root})

    def _send(self, *messages: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        lines = "".join(json.dumps(message) + "\n" for message in messages)
        with contextlib.suppress(OSError, ValueError):  # that it is dead shows when it is read
            self._process.stdin.write(lines.encode())

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            while True:
                message = _next_message(cast(BinaryIO, stream))
                if message is not None and message[0]["type"] == "ready":
                    self.is_ready = True
                    continue
                self._put(message)
                if message is None:
                    return

    def _put(self, message: Message | None) -> None:
        if message is not None:
            plain, payload = message
            self._n_answered += plain["type"] in _ANSWERS or plain.get("is_last", False)
            self._n_bytes_put += len(payload)
        self._messages.put(message)
        while self._n_bytes_put - self._n_bytes_taken > _WAITING_BYTES and not self._is_closed:
            time.sleep(_PAUSE_S)

    def next_message(self, patience_s: float) -> Message | None:
        """Return what it said next; None if it ended after all that.

        Raises:
            queue.Empty: If it says nothing for so many seconds.
        """
        message = self._messages.get(timeout=patience_s)
        if message is not None:
            self._n_bytes_taken += len(message[1])
        return message

    def memory_bytes(self) -> int:
        """Return the memory it occupies; 0 if the system doesn't say."""
        import psutil

        with contextlib.suppress(psutil.Error):
            if self._memory is None:
                self._memory = psutil.Process(self._process.pid)
            return int(self._memory.memory_info().rss)
        return 0

    def end(self, reason: str) -> None:
        """Kill it; what it had said already can still be read."""
        self.ended_for = self.ended_for or reason
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """Kill it and let go. One that waits for a dead disk can't be killed; it is left behind."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()


def _next_message(stream: BinaryIO) -> Message | None:
    try:
        return receive(stream)
    except (OSError, ValueError):  # what a process wrote that was killed in the middle
        return None


def _import_path() -> dict[str, str]:
    """Let the child find ``engine`` where this process found it, also without an install."""
    if getattr(sys, "frozen", False):
        return {}
    root = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": root if not known else os.pathsep.join([root, known])}
