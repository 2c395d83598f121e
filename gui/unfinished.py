"""Offers to go on with a run that was cut off, by a crash or by closing the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from PySide6.QtCore import QObject, QTimer, Signal

from engine.contract.errors import EngineError, RunError
from engine.contract.events import FAILED, Event, RunFinished, RunStarted
from engine.contract.records import RunSummary
from engine.contract.run_states import INTERRUPTED, UNDER_WAY
from gui.messages import cut_off_text, goes_on_text
from gui.preferences import Preferences
from gui.run_state import RunState
from gui.session import Session
from gui.widgets.message_bar import MessageAction, MessageBar, MessageKind

__all__ = ["UnfinishedRuns"]

_AGAIN_MS: Final = 2_000
_MOST_LOOKS: Final = 15


@dataclass(frozen=True, slots=True)
class _Found:
    """A run that was under way when a window ended, and what its project says of it.

    Attributes:
        name: Its project's.
        summary: What the history says; None while that can't be known, since the project isn't
            there yet or somebody is at it.
        is_over: Whether there is no reason to remember it any more.
    """

    project: Path
    run: str
    name: str = ""
    summary: RunSummary | None = None
    is_over: bool = False


class UnfinishedRuns(QObject):
    """Remembers the run that is under way, and offers it at the next start, or in its project.

    Args:
        session: Whose runs are remembered.
        preferences: Where.
        messages: Where the offers are made.
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
        self._offers: dict[Path, int] = {}
        self._is_to_offer = False
        self._failed = ""
        self._n_looks = 0
        session.runs.event_received.connect(self._on_event)
        session.runs.state_changed.connect(self._on_state)
        session.project_changed.connect(self._on_project)
        session.snapshot_changed.connect(self._on_snapshot)

    def offer_last(self) -> None:
        """At the start of the program: offer the runs that were cut off when it last ended."""
        remembered = self._preferences.unfinished_runs
        if unoffered := [(p, run) for p, run in remembered if p not in self._offers]:
            self._session.background.do(partial(_find, unoffered), self._on_found)

    def _on_found(self, all_found: list[_Found]) -> None:
        for found in reversed(all_found):  # the newest is offered last, and stands above the others
            if found.is_over:
                self._preferences.forget_unfinished(found.project, found.run)
            elif found.summary is not None and self._session.folder is None:
                self._offer(found.project, found.summary, found.name)
        if self._session.folder is not None:
            return  # a project that is opened offers its own
        if any(found.summary is None and not found.is_over for found in all_found):
            self._n_looks += 1  # a worker may take seconds to notice that its window is gone
            if self._n_looks < _MOST_LOOKS:
                QTimer.singleShot(_AGAIN_MS, self, self.offer_last)

    def _on_project(self) -> None:
        self._is_to_offer = self._session.folder is not None
        self._withdraw()

    def _on_snapshot(self) -> None:
        folder, runs = self._session.folder, self._session.snapshot.runs
        if folder is None:
            return
        if self._failed:
            self._forget_failed(folder, runs)
        if not self._is_to_offer or any(run.state in UNDER_WAY for run in runs):
            return  # read before the run had ended
        self._is_to_offer = False
        if (run := self._cut_off(folder, runs)) is not None:
            self._offer(folder, run)

    def _cut_off(self, folder: Path, runs: Sequence[RunSummary]) -> RunSummary | None:
        """Return the run of the open project that can be gone on with, if one was cut off."""
        remembered = dict(self._preferences.unfinished_runs).get(folder)
        cut_off = [run for run in runs if run.id == remembered]
        cut_off += [run for run in runs[:1] if run.state == INTERRUPTED]
        return next((run for run in cut_off if run.is_resumable), None)

    def _forget_failed(self, folder: Path, runs: Sequence[RunSummary]) -> None:
        """Forget a run whose failure the Train page tells; a worker's death is told and kept."""
        state = next((run.state for run in runs if run.id == self._failed), FAILED)
        if state not in UNDER_WAY:
            if state == FAILED:
                self._preferences.forget_unfinished(folder, self._failed)
            self._failed = ""

    def _offer(self, project: Path, run: RunSummary, name: str = "") -> None:
        if self._session.runs.state.is_busy:
            return
        what = cut_off_text(run.state)
        if name and run.state == FAILED:
            what = self.tr("The training in “%s” failed.") % name
        elif name:
            what = self.tr("The training in “%s” was interrupted.") % name
        reason = run.error or "" if run.state == FAILED else ""
        self._messages.dismiss(self._offers.get(project, 0))
        self._offers[project] = self._messages.show_message(
            MessageKind.INFO,
            what,
            f"{reason} {goes_on_text(run)}".strip(),
            (
                MessageAction(
                    self.tr("Continue training"), partial(self.chosen.emit, project, run.id)
                ),
            ),
        )

    def _withdraw(self) -> None:
        for number in self._offers.values():
            self._messages.dismiss(number)
        self._offers.clear()

    def _on_state(self, state: RunState) -> None:
        if state.is_busy:
            # What is being read may be older than this run, and would still call it interrupted.
            self._is_to_offer = False
            self._failed = ""
            self._withdraw()

    def _on_event(self, event: Event) -> None:
        folder = self._session.folder
        if folder is None:
            return
        if isinstance(event, RunStarted):
            self._preferences.add_unfinished(folder, event.run)
        elif isinstance(event, RunFinished):
            if self._session.runs.was_cut_off(event):
                self._is_to_offer = bool(event.run)  # should the window live on
            elif event.outcome == FAILED:
                self._failed = event.run
            else:
                self._preferences.forget_unfinished(folder, event.run)


def _find(remembered: Sequence[tuple[Path, str]]) -> list[_Found]:
    """Look whether runs can go on."""
    return [_find_one(project, run) for project, run in remembered]


def _find_one(project: Path, run: str) -> _Found:
    from engine.project.lock import is_in_use
    from engine.project.store import Project, has_project

    # A drive that isn't there yet may come; another window may still need to remember its run.
    later = _Found(project, run)
    try:
        if not has_project(project) or is_in_use(project):
            return later
        with Project.open(project, read_only=True) as opened:
            summary = opened.run_summary(run, has_worker=False)
            return _Found(project, run, opened.name, summary, is_over=not summary.is_resumable)
    except (RunError, ValueError):
        return _Found(project, run, is_over=True)
    except EngineError:
        return later
