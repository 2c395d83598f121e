"""Says once that jobs compute on the processor although there is a graphics card."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QObject

from engine.contract.events import Event, Warned
from gui.session import Session
from gui.widgets.message_bar import MessageBar, MessageKind

__all__ = ["FallbackNotice"]

_OF_A_RUN: Final = "train"
_TOLD_ON_ITS_CARD: Final = frozenset({_OF_A_RUN, "robustness"})
_UNASKED: Final = frozenset({"refit_head"})
"""Jobs that begin by themselves, again and again: they tell only what nothing else has told."""


class FallbackNotice(QObject):
    """Shows why a job doesn't use the graphics card, once for each kind of job in a project.

    Each kind tells how long it takes, so the newest message takes the place of the one before.

    Args:
        session: Whose runs and jobs are listened to.
        messages: Where the messages are shown.
        parent: Owner.
    """

    def __init__(self, session: Session, messages: MessageBar, parent: QObject) -> None:
        super().__init__(parent)
        self._messages = messages
        self._message = 0
        self._told: dict[str, set[str]] = {}  # kinds of jobs by cause
        session.runs.event_received.connect(self._on_run_event)
        session.jobs.warned.connect(self._on_warned)
        session.project_changed.connect(self._on_project)

    def _on_project(self) -> None:
        self._told.clear()

    def _on_run_event(self, event: Event) -> None:
        if isinstance(event, Warned):
            self._on_warned(_OF_A_RUN, event)

    def _on_warned(self, kind: str, warned: Warned) -> None:
        if not warned.cause:
            return
        kinds = self._told.setdefault(warned.cause, set())
        is_known = bool(kinds) if kind in _UNASKED else kind in kinds
        kinds.add(kind)
        if is_known or kind in _TOLD_ON_ITS_CARD:
            return
        self._messages.dismiss(self._message)
        self._message = self._messages.show_message(
            MessageKind.WARNING, warned.message, warned.remedy
        )
