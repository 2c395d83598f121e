"""The worker process: commands on standard input, events on the real standard output.

File descriptor 1 is pointed at standard error before anything else is loaded, so that a library
that prints can't break the stream. A thread reads standard input: requests reach the running job
at once, and the end of the input, which is how the window's death looks from here, ends the
process in the middle of whatever it does; so does an event that can't be written any more. That is
safe, since everything is written atomically.
Another thread says every two seconds whether the job moves, see :mod:`engine.pulse`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterable
from typing import Final, NoReturn, TextIO

from engine.contract.commands import Command
from engine.contract.control import Control
from engine.contract.errors import ConfigError
from engine.contract.protocol import DUMP_STACKS, Request, decode_message
from engine.lifeline import hold_lifeline
from engine.logs import log_folder
from engine.pulse import Pulse, open_stacks

ROLES: Final = ("data", "run", "decode")
_NICENESS: Final = 5
_MAX_LOG_BYTES: Final = 1_000_000


class _Inbox:
    """What arrives on standard input, sorted into commands and requests.

    A request is for the command that arrived last, even if that one hasn't begun: a cancel that
    closely follows a start must not be lost.
    """

    def __init__(self, pulse: Pulse) -> None:
        self.jobs: queue.Queue[tuple[Command, Control]] = queue.Queue()
        self._pulse = pulse
        self._control = Control()

    def receive(self, lines: Iterable[str]) -> None:
        """Take in lines until the input ends."""
        for line in lines:
            with contextlib.suppress(ConfigError):  # a line of another version asks for nothing
                message = decode_message(line)
                if not isinstance(message, Request):
                    self._control = Control()
                    self._pulse.expect(self._control)
                    self.jobs.put((message, self._control))
                elif message.name == DUMP_STACKS:
                    self._pulse.dump_stacks()
                else:
                    getattr(self._control, message.name)()


def claim_stdout() -> TextIO:
    """Return a stream on the real standard output and point descriptor 1 at standard error."""
    sys.stdout.flush()
    # File names on Linux may be no Unicode: what is left of them is written as JSON's own escape.
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace", newline="\n")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return stream


def main(role: str) -> int:
    """Serve commands until standard input ends.

    Args:
        role: ``data`` loads no torch and starts at once; ``run`` loads torch while it waits;
            ``decode`` serves a data worker and speaks another language, see
            ``engine.data.decode_messages``.
    """
    stream = claim_stdout()
    keep_crashes(role)
    _leave_the_end_to_the_window()
    if role == "decode":
        _decode(stream)
    hold_lifeline()
    pulse = Pulse(stream, open_stacks(role))
    inbox = _Inbox(pulse)
    threading.Thread(target=_listen, args=(inbox,), daemon=True).start()
    threading.Thread(target=pulse.beat, daemon=True).start()
    _be_nice()
    if role == "run":
        load_training()

    from engine.hardware.out_of_memory import release_memory
    from engine.run import execute

    while True:
        command, control = inbox.jobs.get()
        pulse.begin(control)
        execute(command, pulse.emit, control)
        pulse.end()
        release_memory()  # other programs may want it; the worker lives as long as the window


def _leave_the_end_to_the_window() -> None:
    """Outlive the signals that a log-off sends to every process: the window has the run saved.

    The end of the window closes standard input, and so ends this process.
    """
    for name in ("SIGTERM", "SIGHUP"):
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, signal.SIG_IGN)


def _decode(stream: TextIO) -> NoReturn:
    """Serve a decode pool until standard input ends; as nice as the program that started it."""
    from engine.data.decode_child import serve

    serve(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(stream.fileno()), "wb", buffering=0))


def _listen(inbox: _Inbox) -> None:
    # Raw descriptor: the window's death must end the process even while it computes.
    with open(0, encoding="utf-8", closefd=False) as stream:
        inbox.receive(stream)
    os._exit(0)


def keep_crashes(role: str) -> None:
    """Let a native crash leave its code locations in the log folder."""
    with contextlib.suppress(OSError):
        folder = log_folder()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"crash-{role}.log"
        # Several decode processes share theirs, and one that crashed is replaced at once; so do
        # command lines.
        is_shared = role in ("decode", "command") and path.exists()
        is_shared = is_shared and path.stat().st_size < _MAX_LOG_BYTES
        faulthandler.enable(path.open("a" if is_shared else "w", encoding="utf-8"))


def _be_nice() -> None:
    """Leave the processor to the window first."""
    with contextlib.suppress(Exception):
        import psutil

        process = psutil.Process()
        low = getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", _NICENESS)  # Windows has classes
        process.nice(low)


def load_training() -> None:
    """Load what training takes, which is seconds."""
    with contextlib.suppress(ImportError, OSError):  # the job that needs it reports a broken torch
        import engine.jobs.beginning  # noqa: F401
