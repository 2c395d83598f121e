"""What is recommended for the open project, in step with its images, its split and the machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QObject, QTimer, Signal

from engine.contract.recommendation import Recommendation, SetupFacts, recommend_setup
from gui.next_run import weights_to_advise

if TYPE_CHECKING:
    from gui.session import Session

__all__ = ["SetupAdvice"]

_SETTLED_MS: Final = 400
"""Facts are read when the labels have stood still for so long: at 100,000 images it takes a
quarter of a second."""


class SetupAdvice(QObject):
    """Keeps the recommendation of ``engine.contract.recommendation`` for the open project.

    Signals:
        changed: There is another recommendation, or none any more.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._data: SetupFacts | None = None
        self._facts: SetupFacts | None = None
        self._minutes: float | None = None
        self._found: Recommendation | None = None
        self._clock = QTimer(self)
        self._clock.setSingleShot(True)
        self._clock.timeout.connect(self._read)
        session.project_changed.connect(self._on_project)
        session.snapshot_changed.connect(self._on_snapshot)
        session.device_changed.connect(self._judge)

    @property
    def found(self) -> Recommendation | None:
        """What is recommended; None while no project has been read."""
        return self._found

    @property
    def facts(self) -> SetupFacts | None:
        """What it follows from."""
        return self._facts

    @property
    def machine(self) -> SetupFacts:
        """What is known of the machine alone, without any images."""
        return self._on_machine(SetupFacts(n_train=()))

    @property
    def minutes(self) -> float | None:
        """Most time that training may take; None if that doesn't matter."""
        return self._minutes

    def set_minutes(self, minutes: float | None) -> None:
        """Say how long training may take."""
        if minutes != self._minutes:
            self._minutes = minutes
            self._judge()

    def _on_project(self) -> None:
        self._data = self._minutes = None
        self._judge()

    def _on_snapshot(self) -> None:
        self._clock.start(0 if self._data is None else _SETTLED_MS)

    def _read(self) -> None:
        folder = self._session.folder
        if folder is not None:
            self._session.background.do(lambda: (folder, read_facts(folder)), self._take)

    def _take(self, read: tuple[Path, SetupFacts]) -> None:
        folder, data = read
        if folder == self._session.folder:  # not of a project that was closed meanwhile
            self._data = data
            self._judge()

    def _judge(self) -> None:
        before = self._found, self._facts
        self._facts = None if self._data is None else self._on_machine(self._data)
        self._found = None if self._facts is None else recommend_setup(self._facts)
        if (self._found, self._facts) != before:
            self.changed.emit()

    def _on_machine(self, data: SetupFacts) -> SetupFacts:
        device = self._session.device
        return replace(
            data,
            device=str(device.get("device") or "cpu"),
            threads=int(device.get("threads") or 1),
            minutes=self._minutes,
            weights=weights_to_advise(device),
        )


def read_facts(folder: Path) -> SetupFacts:
    """Read what the rules ask of a project; off the window's thread."""
    from engine.project.setup_facts import data_facts
    from engine.project.store import Project

    with Project.open(folder, read_only=True) as project:
        return data_facts(project)
