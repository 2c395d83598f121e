"""Says that a run or another job makes no progress, and offers what can be done about it."""

from __future__ import annotations

import math
from functools import partial

from PySide6.QtCore import QObject

from engine.contract.commands import KIND_OF
from engine.contract.events import JobFinished
from gui.run_state import RunState
from gui.session import Session
from gui.widgets.message_bar import MessageAction, MessageBar, MessageKind
from gui.worker.engine_thread import EngineThread

__all__ = ["HangNotice"]


class HangNotice(QObject):
    """Shows a message while something hangs, and takes it back when it moves again.

    Args:
        session: Whose run and jobs are watched.
        messages: Where the messages are shown.
        parent: Owner.
    """

    def __init__(self, session: Session, messages: MessageBar, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._messages = messages
        self._of_run = 0
        self._of_jobs: dict[str, int] = {}
        session.runs.state_changed.connect(self._on_run_state)
        session.jobs.stood_still.connect(self._on_job_still)
        session.jobs.ended.connect(self._on_job_ended)

    def _on_run_state(self, state: RunState) -> None:
        if state is not RunState.HUNG:
            self._messages.dismiss(self._of_run)
            return
        runs = self._session.runs
        self._of_run = self._messages.show_message(
            MessageKind.WARNING,
            self.tr("The training has made no progress for %s.") % self._time(runs.still_s),
            self.tr(
                "It may only be slow. End it and go on from the last saved state, or wait. "
                "RadTune's log says where it hangs."
            ),
            (
                MessageAction(self.tr("End and continue"), runs.restart),
                MessageAction(self.tr("Keep waiting"), runs.keep_waiting),
            ),
        )

    def _on_job_still(self, thread: EngineThread) -> None:
        number = self._messages.show_message(
            MessageKind.WARNING,
            self.tr("What RadTune is busy with has made no progress for %s.")
            % self._time(thread.watch.still_s),
            self.tr("It may only be slow. Wait, or end it and try again."),
            (
                MessageAction(self.tr("End it"), thread.end_hung),
                MessageAction(self.tr("Keep waiting"), partial(_be_patient, thread)),
            ),
        )
        self._of_jobs[KIND_OF[type(thread.command)]] = number

    def _on_job_ended(self, finished: JobFinished) -> None:
        self._messages.dismiss(self._of_jobs.pop(finished.kind, 0))

    def _time(self, seconds: float) -> str:
        minutes = max(1, math.floor(seconds / 60))
        return self.tr("%d minutes") % minutes if minutes > 1 else self.tr("a minute")


def _be_patient(thread: EngineThread) -> None:
    thread.watch.be_patient()
