"""Hears that the system ends the session or the program, where no window is closed by anybody.

At log-off and shutdown Qt closes no window: it only tells :attr:`QGuiApplication.commitDataRequest`
(a session manager on Linux, ``WM_QUERYENDSESSION`` on Windows). Elsewhere a signal comes, or
Windows closes the console that the program was started from.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from PySide6.QtCore import QObject, QSocketNotifier, Signal
from PySide6.QtGui import QGuiApplication, QSessionManager

__all__ = ["CONSOLE_ENDS", "SystemEnd"]

CONSOLE_ENDS: Final = frozenset({2, 5, 6})
"""Windows's CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT and CTRL_SHUTDOWN_EVENT."""
_CONSOLE_S: Final = 30.0
"""More than Windows waits for the answer to such an event, which is 5 s."""
_BY_CONSOLE: Final = b"\0"  # the number of no signal
_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # the last two: a closed terminal

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    def _listen_to_console(answer: Callable[[int], bool]) -> object:
        """Let Windows ask about console events, and return what must live as long as it may."""
        called_back = ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.DWORD)(answer)
        ctypes.WinDLL("kernel32").SetConsoleCtrlHandler(called_back, True)
        return called_back


class SystemEnd(QObject):
    """Tells the window that the system ends it.

    A handler of Python's runs only when Python does, which an idle window may not do for a second,
    and in the middle of whatever that is. So the number of a signal goes through a pair of
    sockets, which wakes Qt, and what is to be done is done in a slot.

    Args:
        app: What is to end.

    Signals:
        save_wanted: The session is about to end, unless something stops it: what isn't saved when
            the slots return may be lost.
        end_wanted: The program is to end now.
    """

    save_wanted = Signal()
    end_wanted = Signal()

    def __init__(self, app: QGuiApplication) -> None:
        super().__init__(app)
        self._is_over = threading.Event()
        self._before: dict[int, Any] = {}
        self._console: object = None
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)
        notifier = QSocketNotifier(self._woken.fileno(), QSocketNotifier.Type.Read, self)
        notifier.activated.connect(self._on_woken)
        app.commitDataRequest.connect(self._on_commit)

    def listen(self) -> None:
        """Take signals and console events from now on; only in Python's main thread."""
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup's
                self._before[number] = signal.signal(number, _leave_to_the_socket)
        if sys.platform == "win32":
            self._console = _listen_to_console(self.answer_console)

    def answer_console(self, event: int) -> bool:
        """Answer a console event, in a thread of Windows's: returning ends the process.

        Returns:
            Whether the event was for us; Ctrl-C, for one, becomes a signal.
        """
        if event not in CONSOLE_ENDS:
            return False
        self._wake.send(_BY_CONSOLE)
        self._is_over.wait(_CONSOLE_S)
        return True

    def finish(self) -> None:
        """Say that all is saved, and give the signals back."""
        self._is_over.set()
        if self._before:
            signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _on_woken(self) -> None:
        numbers = b""
        with contextlib.suppress(BlockingIOError):
            numbers = self._woken.recv(64)
        if any(number in self._before or number == _BY_CONSOLE[0] for number in numbers):
            self.end_wanted.emit()

    def _on_commit(self, _manager: QSessionManager) -> None:
        self.save_wanted.emit()


def _leave_to_the_socket(number: int, frame: FrameType | None) -> None:
    """Keep a signal from ending the process; Python writes its number to the socket by itself."""
