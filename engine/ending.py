"""How a command at a terminal is asked to end, and what is then said of going on with it."""

from __future__ import annotations

import atexit
import os
import signal
from types import FrameType
from typing import Final

from engine.contract.commands import KIND_OF, RESUMABLE_KINDS, Command, Resume, Train
from engine.contract.control import Control
from engine.contract.shell import PROGRAM, shell_line

INTERRUPTED: Final = 130
"""The exit code."""
_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # the last two: a closed terminal


class Hurried(BaseException):
    """Asked to end at once, wherever the program is."""


class Ending:
    """Lets the first Ctrl-C or TERM end a job at its next safe point, the second one at once.

    While the program loads there is nothing to lose, so the first one ends that at once. A third
    one doesn't even wait for the second to clean up.

    Attributes:
        control: Of the job.
    """

    def __init__(self, control: Control) -> None:
        self.control = control
        self._has_begun = False
        self._n_more = 0

    def heed_signals(self) -> None:
        """Take the signals from now on."""
        taken = []
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, self._handle)
                taken.append(number)
        # What has printed its result has ended: the interpreter would die of a signal as it leaves.
        atexit.register(lambda: [signal.signal(number, signal.SIG_IGN) for number in taken])

    def begins(self) -> None:
        """Say that the job begins, which may have something to keep."""
        self._has_begun = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.control.interrupted:
            self.control.interrupt()
            if self._has_begun:
                return
            raise Hurried
        self._n_more += 1
        if self._n_more > 1:
            os._exit(INTERRUPTED)
        raise Hurried


def way_on(command: Command | None, run: str = "") -> str:
    """Return what to do after a command was interrupted, as a sentence.

    Args:
        command: The command; None if it wasn't understood yet.
        run: Id of the run that it began or went on with, if it did.
    """
    anyway: tuple[str, ...] = ()
    if isinstance(command, Resume):
        run = command.run
        anyway = ("--anyway",) if command.anyway else ()
    if isinstance(command, Train | Resume) and run:
        words = (PROGRAM, "resume", "--project", command.project, "--run", run, *anyway)
        return f"Go on with: {shell_line(words)}"
    if command is not None and KIND_OF[type(command)] in RESUMABLE_KINDS:
        return "Give the same command again when you like: it goes on where it was."
    return "Start it again when you like."
