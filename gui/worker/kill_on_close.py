"""Workers that die with the window, also when it is killed.

Everywhere a worker ends when its standard input closes. Where it hangs inside a driver call, a job
object makes sure on Windows, and on Linux a pipe whose closing the system tells by a signal.
PR_SET_PDEATHSIG would fire when the thread that started the worker ends, not when the window does.
"""

from __future__ import annotations

import os
import subprocess
import sys

from engine.contract.heartbeat import LIFELINE_VARIABLE

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes
    from functools import cache

    _KILL_ON_JOB_CLOSE = 0x2000
    _EXTENDED_LIMIT_INFORMATION = 9

    class _BasicLimits(ctypes.Structure):
        _fields_ = [
            ("PerProcessUserTimeLimit", wintypes.LARGE_INTEGER),
            ("PerJobUserTimeLimit", wintypes.LARGE_INTEGER),
            ("LimitFlags", wintypes.DWORD),
            ("MinimumWorkingSetSize", ctypes.c_size_t),
            ("MaximumWorkingSetSize", ctypes.c_size_t),
            ("ActiveProcessLimit", wintypes.DWORD),
            ("Affinity", ctypes.c_size_t),
            ("PriorityClass", wintypes.DWORD),
            ("SchedulingClass", wintypes.DWORD),
        ]

    class _ExtendedLimits(ctypes.Structure):
        _fields_ = [
            ("BasicLimitInformation", _BasicLimits),
            ("IoInfo", ctypes.c_ulonglong * 6),
            ("ProcessMemoryLimit", ctypes.c_size_t),
            ("JobMemoryLimit", ctypes.c_size_t),
            ("PeakProcessMemoryUsed", ctypes.c_size_t),
            ("PeakJobMemoryUsed", ctypes.c_size_t),
        ]

    @cache  # the handle lives as long as this process: closing it would kill the workers
    def _job() -> int:
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.CreateJobObjectW.restype = wintypes.HANDLE
        job = kernel.CreateJobObjectW(None, None)
        limits = _ExtendedLimits()
        limits.BasicLimitInformation.LimitFlags = _KILL_ON_JOB_CLOSE
        kernel.SetInformationJobObject(
            wintypes.HANDLE(job),
            _EXTENDED_LIMIT_INFORMATION,
            ctypes.byref(limits),
            ctypes.sizeof(limits),
        )
        return int(job)

    def _add_to_job(process: subprocess.Popen[bytes]) -> None:
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        handle = int(process._handle)  # type: ignore[attr-defined]
        kernel.AssignProcessToJobObject(wintypes.HANDLE(_job()), wintypes.HANDLE(handle))


def kill_with_parent(process: subprocess.Popen[bytes]) -> None:
    """Make the child die with this process where closing its input might not be enough."""
    if os.name == "nt" and sys.platform == "win32":
        _add_to_job(process)


class Lifeline:
    """A pipe that nothing is written to; on Linux its closing ends the worker that holds on to it.

    Attributes:
        descriptors: What the child inherits.
        environment: What tells the child.
    """

    def __init__(self) -> None:
        self.descriptors: tuple[int, ...] = ()
        self.environment: dict[str, str] = {}
        self._kept = -1
        if sys.platform == "linux":
            read, self._kept = os.pipe()
            self.descriptors = (read,)
            self.environment = {LIFELINE_VARIABLE: str(read)}

    def hand_over(self) -> None:
        """Close what only the child needs; after it was started, or couldn't be."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = ()

    def cut(self) -> None:
        """Close the pipe; for a worker that has ended."""
        if self._kept >= 0:
            os.close(self._kept)
            self._kept = -1
