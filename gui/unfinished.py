"""Offers to go on with a run that was cut off, by a crash or by closing the window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from PySide6.QtCore import QObject, QTimer, Signal

from engine.contract.errors import EngineError, RunError
from engine.contract.events import COMPLETED, STOPPED, Event, RunFinished, RunStarted
from engine.contract.run_states import INTERRUPTED, UNDER_WAY
from gui.messages import interrupted_text
from gui.preferences import Preferences
from gui.run_state import RunState
from gui.session import Session
from gui.widgets.message_bar import MessageAction, MessageBar, MessageKind

__all__ = ["UnfinishedRuns"]

_AGAIN_MS: Final = 2_000
_MOST_LOOKS: Final = 15


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """A run that was under way when the program last ended.

    Attributes:
        name: Its project's.
        can_go_on: Whether it was cut off, left something to go on from, and nobody is at it.
        is_over: Whether there is no reason to remember it any more.
    """

    project: Path
    run: str
    name: str = ""
    can_go_on: bool = False
    is_over: bool = True


class UnfinishedRuns(QObject):
    """Remembers the run that is under way, and offers it at the next start, or in its project.

    Args:
        session: Whose runs are remembered.
        preferences: Where.
        messages: Where the offer is made.
        parent: Owner.

    Signals:
        chosen: Folder of a project and id of the run to go on with.
    """

    chosen = Signal(Path, str)

    def __init__(
        self, session: Session, preferences: Preferences, messages: MessageBar, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._preferences = preferences
        self._messages = messages
        self._message = 0
        self._is_new_project = False
        self._n_looks = 0
        session.runs.event_received.connect(self._on_event)
        session.runs.state_changed.connect(self._on_state)
        session.project_changed.connect(self._on_project)
        session.snapshot_changed.connect(self._on_snapshot)

    def offer_last(self) -> None:
        """At the start of the program: offer the run that was cut off when it last ended."""
        if (unfinished := self._preferences.unfinished_run) is not None:
            self._session.background.do(partial(_find, *unfinished), self._on_found)

    def _on_found(self, found: _Unfinished) -> None:
        if found.is_over:
            self._preferences.unfinished_run = None
        elif self._session.folder is not None:
            return  # a project that is opened offers its own
        elif not found.can_go_on:  # a worker may take seconds to notice that its window is gone
            self._n_looks += 1
            if self._n_looks < _MOST_LOOKS:
                QTimer.singleShot(_AGAIN_MS, self, self.offer_last)
        else:
            what = self.tr("The training in “%s” was interrupted.") % found.name
            self._offer(what, found.project, found.run)

    def _on_project(self) -> None:
        self._is_new_project = self._session.folder is not None
        self._messages.dismiss(self._message)

    def _on_snapshot(self) -> None:
        folder, runs = self._session.folder, self._session.snapshot.runs
        if not self._is_new_project or folder is None:
            return
        self._is_new_project = False
        if runs and runs[0].state == INTERRUPTED and runs[0].is_resumable:
            self._offer(interrupted_text(), folder, runs[0].id)

    def _offer(self, what: str, project: Path, run: str) -> None:
        if self._session.runs.state.is_busy:
            return
        self._messages.dismiss(self._message)
        self._message = self._messages.show_message(
            MessageKind.INFO,
            what,
            self.tr("It can go on from its last saved state."),
            (MessageAction(self.tr("Continue training"), partial(self.chosen.emit, project, run)),),
        )

    def _on_state(self, state: RunState) -> None:
        if state.is_busy:
            # What is being read may be older than this run, and would still call it interrupted.
            self._is_new_project = False
            self._messages.dismiss(self._message)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, RunStarted) and self._session.folder is not None:
            self._preferences.unfinished_run = (self._session.folder, event.run)
        elif isinstance(event, RunFinished):
            is_canceled = self._session.runs.state is RunState.CANCELING
            if is_canceled or event.outcome in (COMPLETED, STOPPED):
                self._preferences.unfinished_run = None


def _find(project: Path, run: str) -> _Unfinished:
    """Look whether a run can go on."""
    from engine.project.lock import is_in_use
    from engine.project.store import Project, has_project

    # A drive that isn't there yet may come; another window may still need to remember its run.
    later = _Unfinished(project, run, is_over=False)
    if not has_project(project) or is_in_use(project):
        return later
    try:
        with Project.open(project, read_only=True) as opened:
            summary = opened.run_summary(run)
            is_cut_off = summary.state in (*UNDER_WAY, INTERRUPTED) and not summary.is_stale
            can_go_on = is_cut_off and opened.has_saved_state(run)
            return _Unfinished(project, run, opened.name, can_go_on, is_over=not can_go_on)
    except (RunError, ValueError):
        return _Unfinished(project, run)
    except EngineError:
        return later
