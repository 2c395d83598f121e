"""Makes what later pages need while the user looks at the first one.

Modules are imported and the first worker is started on a thread of its own; pages are built in the
window's thread, one at a time, when it has nothing else to do.

Qt's classes come first: Python's are made when they are first named, and one that is made in
another thread while the window works with Qt now and then ends the program.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Final

from PySide6.QtCore import QObject, QTimer

__all__ = ["Preloader"]

_WITHOUT_QT: Final = ("numpy", "engine.project.store")
_QT: Final = (
    "PySide6.QtCore",
    "PySide6.QtGui",
    "PySide6.QtWidgets",
    "PySide6.QtSvg",
    "PySide6.QtOpenGL",
    "PySide6.QtOpenGLWidgets",
    "PySide6.QtTest",
)
_WITH_QT: Final = (
    "gui.panels.importing",
    "gui.panels.data",
    "gui.panels.audit",
    "gui.panels.split",
    "pyqtgraph",  # the slow one: a third of a second, for the plots
    "gui.panels.model",
    "gui.panels.train",
    "gui.panels.evaluate",
    "gui.panels.apply",
)
_PAUSE_MS: Final = 60
"""Between two pieces, so that whatever the user does comes in between."""
_SHORT_PAUSE_MS: Final = 20
_SLICE_S: Final = 0.008


class Preloader(QObject):
    """Imports modules, then builds pages, so that opening one doesn't stop the window.

    Args:
        first: Done on the thread before anything is imported; starts a worker.
        pieces: Done in the window's thread, each shorter than a blink, after the imports.
        parent: Owner.
    """

    def __init__(
        self,
        first: Callable[[], None],
        pieces: Sequence[Callable[[], object]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._first = first
        self._pieces = list(pieces)
        self._is_stopped = False
        self._classes = _make_classes()
        self._has_classes = threading.Event()
        self._thread = threading.Thread(target=self._load, name="preload", daemon=True)
        self._clock = QTimer(self)
        self._clock.setInterval(_SHORT_PAUSE_MS)
        self._clock.timeout.connect(self._go_on)

    def start(self) -> None:
        """Begin, once."""
        if not self._clock.isActive() and self._pieces and not self._is_stopped:
            self._thread.start()
            self._clock.start()

    def stop(self) -> None:
        """End after the module in hand and wait for that: no import may outlive the program."""
        self._is_stopped = True
        self._has_classes.set()  # or the thread would wait for ever
        self._clock.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _load(self) -> None:
        self._first()
        self._import(_WITHOUT_QT)
        self._has_classes.wait()
        self._import(_WITH_QT)

    def _import(self, names: Sequence[str]) -> None:
        for name in names:
            if self._is_stopped:
                return
            import_module(name)

    def _go_on(self) -> None:
        """Make the next of Qt's classes for the part of a frame, then pages."""
        if self._has_classes.is_set():
            self._build_next()
            return
        end = time.perf_counter() + _SLICE_S
        while time.perf_counter() < end:
            if next(self._classes, None) is None:
                self._has_classes.set()
                self._clock.setInterval(_PAUSE_MS)
                return

    def _build_next(self) -> None:
        if self._thread.is_alive():
            return
        self._pieces.pop(0)()
        if not self._pieces:
            self._clock.stop()
            # What was made lives as long as the program; to look through all of it for garbage
            # again and again would stop the window for a blink each time.
            gc.freeze()


def _make_classes() -> Iterator[str]:
    """Make Qt's classes known to Python, and yield the name of each."""
    for name in _QT:
        try:
            module = import_module(name)
        except ImportError:  # nothing that is built needs it
            continue
        for attribute in dir(module):
            getattr(module, attribute)
            yield attribute
