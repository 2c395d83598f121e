"""The row of a run in its project's history, kept current while the run is computed."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any

from engine.contract.errors import EngineError
from engine.contract.run_states import RUNNING
from engine.logs import log_failure
from engine.project.store import Project


class RunNotes:
    """Writes what becomes of a run into its row; only for whoever computes that run.

    A full disk or a busy database must not end a run for its history's sake: what is refused waits
    for the next note.
    """

    def __init__(self, project: Project, run: str) -> None:
        self._project, self._run = project, run
        self._unsaved: dict[str, Any] = {}

    def note(self, **facts: Any) -> None:
        """Keep the row current, as far as that is possible now; never raises.

        Args:
            facts: As ``Project.update_run`` takes them.
        """
        self._unsaved |= facts
        try:
            with contextlib.suppress(EngineError):
                self._save()
        except (ValueError, sqlite3.Error) as failure:  # ours, not the user's; the run goes on
            log_failure(failure)

    def end(self, **facts: Any) -> None:
        """Note how the run ended; can be repeated until it works.

        Raises:
            ProjectBusyError: If another program is writing to the project.
            StorageError: If the disk is full or can't be written.
        """
        self._unsaved |= facts
        self._save()

    def _save(self) -> None:
        with self._project.transaction():
            if "state" in self._unsaved:
                # It may still say what it said before this run went on, if that note was refused;
                # not every state may follow that one.
                self._project.update_run(self._run, state=RUNNING)
            self._project.update_run(self._run, **self._unsaved)
        self._unsaved.clear()
