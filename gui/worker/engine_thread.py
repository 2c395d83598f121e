"""A QThread that runs one job on a borrowed worker."""

from __future__ import annotations

import time
from typing import Final

from PySide6.QtCore import QObject, QThread, Signal

from engine.contract.commands import Command
from engine.contract.events import BatchFinished, Event, JobProgressed, RunProgressed
from gui.worker.engine_client import EngineClient
from gui.worker.requests import JobRequests

_MIN_INTERVAL_S: Final = 0.04


class EngineThread(QThread):
    """Performs one command and relays its events as Qt signals.

    ``run`` is one blocking call; it ends in exactly one finished event, however the job ended.
    Progress that comes faster than the window can show is thinned to the newest of each moment;
    all other events pass, in order.
    """

    event_received = Signal(object)

    def __init__(
        self, client: EngineClient, command: Command, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._client = client
        self._command = command
        self._requests = JobRequests()
        self._held: Event | None = None
        self._passed_at = 0.0

    @property
    def command(self) -> Command:
        """The command it performs."""
        return self._command

    def run(self) -> None:
        """Perform the command."""
        self._client.perform(self._command, self._relay, self._requests)

    def request(self, name: str) -> None:
        """Ask the job to ``pause``, ``proceed``, ``stop``, ``cancel`` or be ``interrupt``-ed."""
        self._requests.add(name)

    def _relay(self, event: Event) -> None:
        tells_more = isinstance(event, JobProgressed) and bool(event.facts)
        if isinstance(event, BatchFinished | JobProgressed | RunProgressed) and not tells_more:
            now = time.monotonic()
            if now - self._passed_at < _MIN_INTERVAL_S:
                self._held = event
                return
            self._held, self._passed_at = None, now
        elif self._held is not None:
            held, self._held = self._held, None
            self.event_received.emit(held)
        self.event_received.emit(event)
