"""A screen for smoke tests: look at the window of a program, and close it as its cross does."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dev_setup import say

if TYPE_CHECKING:
    from PIL.Image import Image

_SIZE: Final = "1366x768x24"
_CARDINAL: Final = 6  # X's number for the type of _NET_WM_PID
_CLIENT_MESSAGE: Final = 33


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Where windows open.

    Attributes:
        can_look: Whether pictures can be taken and windows be closed here.
        environment: What a program needs to open its windows here.
        display: X11's name of it; None where there is no X11.
    """

    can_look: bool
    environment: dict[str, str] = field(default_factory=dict)
    display: str | None = None

    def picture(self) -> Image:
        """Return what is on the screen."""
        from PIL import ImageGrab

        return ImageGrab.grab(xdisplay=self.display)

    def close_window(self, pid: int) -> None:
        """Ask the windows of a process to close, as a click on their cross does."""
        if self.display is None:
            subprocess.run(["taskkill", "/PID", str(pid)], capture_output=True, check=False)
        else:
            with _X11(self.display) as x:
                x.close_windows_of(pid)


@contextlib.contextmanager
def open_screen() -> Iterator[Screen]:
    """Give a screen to test on: a virtual one where that can be had, so that nobody is disturbed.

    On Debian and Ubuntu root installs Xvfb for it. Where there is neither Xvfb nor a display, Qt
    draws into memory, and the window can't be looked at from outside.
    """
    if sys.platform == "win32":
        yield Screen(can_look=True)
    elif sys.platform == "darwin":
        yield Screen(can_look=False)
    elif _provide_xvfb():
        with _xvfb() as display:
            yield _x11_screen(display)
    elif "DISPLAY" in os.environ:
        yield _x11_screen(os.environ["DISPLAY"])
    else:
        say("No virtual screen (install xvfb to have one): the window draws into memory.")
        yield Screen(can_look=False, environment={"QT_QPA_PLATFORM": "offscreen"})


def _x11_screen(display: str) -> Screen:
    environment = {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb"}
    return Screen(can_look=True, environment=environment, display=display)


def _provide_xvfb() -> bool:
    """Return whether Xvfb is there, installing it where that is possible without asking."""
    may_install = sys.platform == "linux" and shutil.which("apt-get") and os.geteuid() == 0
    if may_install and shutil.which("Xvfb") is None:
        say("Installing xvfb, a virtual screen")
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "xvfb"]):
            subprocess.run(
                ["apt-get", "-q", *arguments], env=env, stdin=subprocess.DEVNULL,
                capture_output=True, check=False,
            )  # fmt: skip
    return shutil.which("Xvfb") is not None


@contextlib.contextmanager
def _xvfb() -> Iterator[str]:
    """Run a virtual screen and give its name; it ends with the block."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", _SIZE, "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as stream:
            yield f":{stream.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


class ClientMessage(ctypes.Structure):
    """X11's ``XClientMessageEvent``."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("padding", ctypes.c_long * 24),  # the library copies a whole XEvent, which is larger
    )


class _X11:
    """A connection to an X server, with what it takes to close another program's window."""

    def __init__(self, display: str) -> None:
        self._name = display
        self._x: Any = ctypes.CDLL(ctypes.util.find_library("X11") or "libX11.so.6")
        self._x.XOpenDisplay.restype = ctypes.c_void_p
        self._x.XInternAtom.restype = self._x.XDefaultRootWindow.restype = ctypes.c_ulong
        self._display = ctypes.c_void_p()

    def __enter__(self) -> _X11:
        self._display = ctypes.c_void_p(self._x.XOpenDisplay(self._name.encode()))
        if not self._display:
            raise OSError(f"the X server {self._name} does not answer")
        return self

    def __exit__(self, *_: object) -> None:
        self._x.XCloseDisplay(self._display)

    def close_windows_of(self, pid: int) -> None:
        """Send ``WM_DELETE_WINDOW`` to each window that says it belongs to the process."""
        root = self._x.XDefaultRootWindow(self._display)
        for window in self._windows_below(root):
            if self._pid_of(window) == pid:
                self._send_delete(window)
        self._x.XSync(self._display, 0)

    def _windows_below(self, window: int) -> Iterator[int]:
        children = ctypes.POINTER(ctypes.c_ulong)()
        count, ignored = ctypes.c_uint(), ctypes.c_ulong()
        self._x.XQueryTree(
            self._display, ctypes.c_ulong(window), ctypes.byref(ignored), ctypes.byref(ignored),
            ctypes.byref(children), ctypes.byref(count),
        )  # fmt: skip
        found = [children[i] for i in range(count.value)]
        if found:
            self._x.XFree(children)
        for child in found:
            yield child
            yield from self._windows_below(child)  # a window manager puts them into frames

    def _pid_of(self, window: int) -> int | None:
        value = ctypes.POINTER(ctypes.c_ulong)()
        count, ignored = ctypes.c_ulong(), ctypes.c_ulong()
        self._x.XGetWindowProperty(
            self._display, ctypes.c_ulong(window), self._atom("_NET_WM_PID"), ctypes.c_long(0),
            ctypes.c_long(1), 0, ctypes.c_ulong(_CARDINAL), ctypes.byref(ignored),
            ctypes.byref(ctypes.c_int()), ctypes.byref(count), ctypes.byref(ignored),
            ctypes.byref(value),
        )  # fmt: skip
        if not value:
            return None
        pid = int(value[0]) if count.value else None
        self._x.XFree(value)
        return pid

    def _send_delete(self, window: int) -> None:
        event = ClientMessage(type=_CLIENT_MESSAGE, window=window, format=32)
        event.message_type = self._atom("WM_PROTOCOLS").value
        event.data[0] = self._atom("WM_DELETE_WINDOW").value
        self._x.XSendEvent(
            self._display, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(event)
        )

    def _atom(self, name: str) -> ctypes.c_ulong:
        return ctypes.c_ulong(self._x.XInternAtom(self._display, name.encode(), 0))
