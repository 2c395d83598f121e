"""Slow work of the window, done one after the other off its thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Final

from PySide6.QtCore import QObject, QTimer, Signal
from shiboken6 import isValid

from engine.contract.errors import EngineError

__all__ = ["Background"]

_LOOK_MS: Final = 5


class Background(QObject):
    """One thread that works through what it is given, in order.

    The thread touches Python's objects only: the last reference to one of Qt's must not go there.
    So the window looks for results while any are due.

    Signals:
        failed: The :class:`EngineError` that a piece of work raised.
    """

    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="background")
        self._due: deque[tuple[Future[Any], Callable[[Any], object]]] = deque()
        self._look = QTimer(self)
        self._look.setInterval(_LOOK_MS)
        self._look.timeout.connect(self._hand_over)

    @property
    def is_busy(self) -> bool:
        """Whether a result is still to be handed over."""
        return bool(self._due)

    def do(self, work: Callable[[], Any], take: Callable[[Any], object]) -> None:
        """Do something slow.

        Args:
            work: May raise :class:`EngineError`, which ends in :attr:`failed`.
            take: Gets the result in the window's thread; if it is a method of a QObject, only
                while that lives.
        """
        self._due.append((self._thread.submit(work), take))
        self._look.start()

    def wait(self) -> None:
        """Let all of it be done; the results are handed over later, as always."""
        wait([future for future, _ in self._due])

    def _hand_over(self) -> None:
        while self._due and self._due[0][0].done():
            future, take = self._due.popleft()
            try:
                result = future.result()
            except EngineError as error:
                self.failed.emit(error)
            else:
                owner = getattr(take, "__self__", None)
                if not isinstance(owner, QObject) or isValid(owner):
                    take(result)
        if not self._due:
            self._look.stop()
