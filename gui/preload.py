"""Loads what later pages need while the user looks at the first one."""

from __future__ import annotations

import importlib
import threading
from typing import Final

__all__ = ["Preloader"]

_MODULES: Final = (
    "numpy",
    "gui.panels.importing",
    "gui.panels.data",
    "gui.panels.split",
    "pyqtgraph",  # the slow one: a third of a second, for the plots
    "gui.panels.model",
    "gui.panels.train",
    "gui.panels.evaluate",
    "gui.panels.apply",
)


class Preloader:
    """Imports modules on a thread of its own, so that opening a page doesn't stop the window.

    Nothing is made there: widgets belong to the window's thread.
    """

    def __init__(self) -> None:
        self._is_over = False
        self._thread = threading.Thread(target=self._load, name="preload", daemon=True)

    def start(self) -> None:
        """Begin, once."""
        if not self._thread.is_alive() and not self._is_over:
            self._thread.start()

    def stop(self) -> None:
        """End after the module in hand and wait for that: no import may outlive the program."""
        self._is_over = True
        if self._thread.is_alive():
            self._thread.join()

    def _load(self) -> None:
        for name in _MODULES:
            if self._is_over:
                return
            importlib.import_module(name)
        self._is_over = True
