"""A pipe whose other end the window holds: when the window is gone, the system ends the worker.

A worker also ends when its standard input does, but that takes a thread that can run Python code.
Native code that hangs with the interpreter in its hands lets none run; the signal that Linux sends
when the other end of a pipe closes needs none. On Windows a job object does the same. Elsewhere
such a worker lives until its native code returns.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from engine.contract.heartbeat import LIFELINE_VARIABLE


def hold_lifeline() -> None:
    """End this process at once when the other end of its lifeline closes, if it has one."""
    if sys.platform != "linux" or not (name := os.environ.pop(LIFELINE_VARIABLE, "")):
        return
    import fcntl
    import select

    with contextlib.suppress(ValueError, OSError):  # then the end of standard input has to do
        descriptor = int(name)
        os.set_inheritable(descriptor, False)
        signal.signal(signal.SIGIO, signal.SIG_DFL)  # its default is to end the process
        fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)
        poll = select.poll()
        poll.register(descriptor, select.POLLHUP)
        if poll.poll(0):  # the window died before anybody listened
            os._exit(0)
