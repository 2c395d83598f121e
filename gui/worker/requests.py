"""Requests to one job: held until its command has been sent, dropped after its end."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["JobRequests"]


class JobRequests:
    """Carries requests to the job they are meant for, and to no other.

    A worker takes a request for the job it has in hand, so one that is sent while another job
    runs, before the own one has begun or after it has ended, would hit the wrong one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[str] = []
        self._send: Callable[[str], None] | None = None
        self._is_over = False

    @property
    def is_canceled_early(self) -> bool:
        """Whether the job was asked to end before it began."""
        with self._lock:
            return "cancel" in self._held or "interrupt" in self._held

    def add(self, name: str) -> None:
        """Send a request now if the job runs, when it begins if it doesn't yet, else never."""
        with self._lock:
            if self._send is not None:
                self._send(name)
            elif not self._is_over:
                self._held.append(name)

    def begin(self, send: Callable[[str], None]) -> None:
        """Send what was held, and from now on everything at once."""
        with self._lock:
            for name in self._held:
                send(name)
            self._held.clear()
            self._send = send

    def end(self) -> None:
        """Take no more requests."""
        with self._lock:
            self._is_over = True
            self._send = None
