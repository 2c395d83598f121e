"""Loading what the plots need before the first one is wanted."""

from __future__ import annotations

import importlib
import threading

__all__ = ["preload_plots"]

_MODULES = ("numpy", "pyqtgraph")


def preload_plots() -> threading.Thread:
    """Import NumPy and pyqtgraph beside the running window, and return the thread that does.

    Call it once after the first page is painted. Without it the first plot imports them itself
    and the window stands still for about half a second.
    """
    thread = threading.Thread(target=_load, name="preload-plots", daemon=True)
    thread.start()
    return thread


def _load() -> None:
    for name in _MODULES:
        importlib.import_module(name)
