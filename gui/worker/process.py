"""One worker process: started quietly, spoken to by lines, ended with the window."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from gui.worker.kill_on_close import Lifeline, kill_with_parent

_GRACE_S: Final = 3.0


class Worker(Protocol):
    """What the client needs of a worker; tests script one."""

    @property
    def is_alive(self) -> bool:
        """Whether it can still be spoken to."""
        ...

    def send(self, line: str) -> None:
        """Send one line; a dead worker is noticed by whoever reads."""
        ...

    def lines(self) -> Iterator[str]:
        """Yield lines until the worker ends."""
        ...

    def close(self, *, is_patient: bool) -> None:
        """End the worker, after its work in hand if patient."""
        ...

    def kill(self) -> None:
        """End the worker at once, whatever it does; whoever reads its lines notices."""
        ...


def worker_command(role: str) -> list[str]:
    """Return the command line that starts a worker, from source or from the built app."""
    if getattr(sys, "frozen", False):
        name = "radtune-engine.exe" if os.name == "nt" else "radtune-engine"
        return [str(Path(sys.executable).with_name(name)), "worker", "--role", role]
    return [sys.executable, "-m", "engine", "worker", "--role", role]


class WorkerProcess:
    """A child process with pipes.

    Standard error goes nowhere: libraries print file names there, and those may hold patients'
    names. Crashes leave their code locations in the engine's own log.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self._lifeline = lifeline = Lifeline()
        extra = {**lifeline.environment, **(environment or {})}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **_import_path(), **extra},
                pass_fds=lifeline.descriptors,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                start_new_session=os.name != "nt",  # Ctrl-C in a terminal is for the window alone
            )
        except OSError:
            lifeline.cut()
            raise
        finally:
            lifeline.hand_over()
        kill_with_parent(self._process)
        self._write_lock = threading.Lock()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def send(self, line: str) -> None:
        """Send one line; that the worker is dead shows when it is read."""
        stdin = self._process.stdin
        assert stdin is not None
        with self._write_lock, contextlib.suppress(OSError, ValueError):
            stdin.write(line.encode() + b"\n")
            stdin.flush()

    def lines(self) -> Iterator[str]:
        """Yield lines until the process ends."""
        stdout = self._process.stdout
        assert stdout is not None
        for line in stdout:
            yield line.decode("utf-8", errors="replace")

    def close(self, *, is_patient: bool) -> None:
        """Close its input, which ends it; kill it if it doesn't end in time."""
        if is_patient:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError):
            stdin.close()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._lifeline.cut()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        # One that is stuck inside a driver ends only when the driver lets go of it: not waited for.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)


def _import_path() -> dict[str, str]:
    """Let the child find ``engine`` where this process found ``gui``, also without an install."""
    if getattr(sys, "frozen", False):
        return {}
    root = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": root if not known else os.pathsep.join([root, known])}
