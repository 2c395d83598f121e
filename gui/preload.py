"""Makes what later pages need while the user looks at the first one.

Modules are imported and the first worker is started on a thread of its own; pages are built in the
window's thread, one at a time, when it has nothing else to do.
"""

from __future__ import annotations

import gc
import importlib
import threading
from collections.abc import Callable, Sequence
from typing import Final

from PySide6.QtCore import QObject, QTimer

__all__ = ["Preloader"]

_MODULES: Final = (
    "numpy",
    "engine.project.store",
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
        self._thread = threading.Thread(target=self._load, name="preload", daemon=True)
        self._clock = QTimer(self)
        self._clock.setInterval(_PAUSE_MS)
        self._clock.timeout.connect(self._build_next)

    def start(self) -> None:
        """Begin, once."""
        if not self._clock.isActive() and self._pieces and not self._is_stopped:
            self._thread.start()
            self._clock.start()

    def stop(self) -> None:
        """End after the module in hand and wait for that: no import may outlive the program."""
        self._is_stopped = True
        self._clock.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _load(self) -> None:
        self._first()
        for name in _MODULES:
            if self._is_stopped:
                return
            importlib.import_module(name)

    def _build_next(self) -> None:
        if self._thread.is_alive():
            return
        self._pieces.pop(0)()
        if not self._pieces:
            self._clock.stop()
            # What was made lives as long as the program; to look through all of it for garbage
            # again and again would stop the window for a blink each time.
            gc.freeze()
