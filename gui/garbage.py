"""Collects garbage in the window's thread only."""

from __future__ import annotations

import gc
from typing import Final

from PySide6.QtCore import QObject, QTimer

__all__ = ["GarbageCollector"]

_INTERVAL_MS: Final = 1000


class GarbageCollector(QObject):
    """Takes the place of Python's automatic collection, which runs in whichever thread allocates.

    A widget in a cycle of references that another thread collects is destroyed in that thread,
    while the window's own is in the middle of Qt: within seconds the program crashes. The
    generations and their thresholds stay Python's.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        gc.disable()
        self._clock = QTimer(self)
        self._clock.setInterval(_INTERVAL_MS)
        self._clock.timeout.connect(_collect)
        self._clock.start()


def _collect() -> None:
    """Collect the oldest generation that is due, and with it all younger ones."""
    due = [count > most for count, most in zip(gc.get_count(), gc.get_threshold(), strict=True)]
    if any(due):
        gc.collect(max(generation for generation, is_due in enumerate(due) if is_due))
