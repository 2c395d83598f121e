"""A QThread that runs one job on a borrowed worker."""

from __future__ import annotations

import threading
import time
from typing import Final

from PySide6.QtCore import QObject, QThread, Signal

from engine.contract.commands import Command
from engine.contract.events import BatchFinished, Event, JobProgressed, RunProgressed
from gui.worker.engine_client import EngineClient
from gui.worker.hang_watch import HangWatch
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
        self._watch = HangWatch()
        self._is_canceled = False
        self._held: Event | None = None
        self._passed_at = 0.0

    @property
    def command(self) -> Command:
        """The command it performs."""
        return self._command

    def run(self) -> None:
        """Perform the command."""
        self._client.perform(self._command, self._relay, self._requests, self._watch)

    @property
    def is_canceled(self) -> bool:
        """Whether it was asked to end and to keep nothing."""
        return self._is_canceled

    def request(self, name: str) -> None:
        """Ask the job to ``pause``, ``proceed``, ``stop``, ``cancel`` or be ``interrupt``-ed."""
        self._is_canceled |= name == "cancel"
        self._requests.add(name)

    @property
    def watch(self) -> HangWatch:
        """Whether the job moves."""
        return self._watch

    def ask_stacks(self) -> None:
        """Let the worker write to the log where it is."""
        self._client.ask_stacks(self._command)

    def end_hung(self) -> None:
        """End the worker, whatever it does; the job then ends as failed. Doesn't wait."""
        end = threading.Thread(target=self._client.end_hung, args=(self._command,), daemon=True)
        end.start()  # one that is stuck in a driver would hold up the window

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
