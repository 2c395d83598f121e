"""From a source to a project with images: sample, import, split, one job after the other."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from engine.contract.commands import MakeSample, MakeSplit, Scan
from engine.contract.config_io import from_plain
from engine.contract.errors import EngineError
from engine.contract.events import CANCELED, COMPLETED, Event, JobFinished, JobProgressed
from engine.contract.records import ScanResult
from gui.session import Session
from gui.worker.engine_thread import EngineThread

__all__ = ["ImportFlow", "ImportPlan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    """What to import and where to.

    Attributes:
        project: Folder of the project: the open one, or a new one.
        sample: The simulated study to make first, in ``scan.source``.
        makes_split: Whether to divide the patients if the labels bring no division.
    """

    project: Path
    scan: Scan
    sample: MakeSample | None = None
    makes_split: bool = False


class ImportFlow(QObject):
    """One import at a time.

    Signals:
        started: It began.
        progressed: A :class:`JobProgressed`.
        finished: The :class:`ScanResult`.
        failed: What happened, and what to do next.
        canceled: The user ended it; what was read so far stays in the project.
    """

    started = Signal()
    progressed = Signal(object)
    finished = Signal(object)
    failed = Signal(str, str)
    canceled = Signal()

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._plan: ImportPlan | None = None
        self._thread: EngineThread | None = None
        self._finished: JobFinished | None = None
        self._result: ScanResult | None = None
        self._is_new = False
        self._is_sample = False

    @property
    def is_running(self) -> bool:
        """Whether an import is under way."""
        return self._plan is not None

    @property
    def is_sample(self) -> bool:
        """Whether it imports the sample study, or did so last."""
        return self._is_sample

    def start(self, plan: ImportPlan) -> None:
        """Begin.

        Raises:
            ValueError: If an import is under way.
        """
        if self._plan is not None:
            raise ValueError("an import is under way")
        self._plan, self._finished, self._result = plan, None, None
        if self._session.folder != plan.project:
            self._session.close_project()
        self._is_sample = plan.sample is not None
        self._is_new = not plan.project.exists()
        self.started.emit()
        self._run(plan.sample if plan.sample is not None else plan.scan)

    def cancel(self) -> None:
        """Ask the import to end."""
        if self._thread is not None:
            self._thread.request("cancel")

    def _run(self, command: MakeSample | Scan | MakeSplit) -> None:
        self._thread = self._session.jobs.start(command, self._on_finished, self._on_event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, JobProgressed):
            self.progressed.emit(event)

    def _on_finished(self, finished: JobFinished) -> None:
        plan = self._plan
        if plan is None:
            return
        if finished.outcome != COMPLETED:
            self._end(finished)
        elif finished.kind == "sample":
            self._run(plan.scan)
        elif finished.kind == "scan":
            # The list of files that were left out may be long.
            self._finished = finished
            self._session.background.do(
                partial(from_plain, ScanResult, finished.result), self._on_scanned
            )
        else:
            self._end(finished)

    def _on_scanned(self, result: ScanResult) -> None:
        plan, finished = self._plan, self._finished
        if plan is None or finished is None:
            return
        self._result = result
        try:
            self._session.open_project(plan.project)
        except EngineError as error:
            self._plan = self._thread = None
            self.failed.emit(error.message, error.remedy)
            return
        if plan.makes_split and result.split is None:
            self._run(MakeSplit(project=str(plan.project)))
        else:
            self._end(finished)

    def _end(self, finished: JobFinished) -> None:
        plan, result = self._plan, self._result
        self._plan = self._thread = None
        if result is None and plan is not None and self._is_new:
            _discard_empty(plan.project)
        if finished.outcome == CANCELED:
            self.canceled.emit()
        elif result is not None:
            # A split that couldn't be made leaves a good import; the Split page says why.
            self.finished.emit(result)
        else:
            self.failed.emit(finished.error or "", finished.remedy or "")


def _discard_empty(folder: Path) -> None:
    """Remove a project that this import began and that holds nothing."""
    from engine.project.store import Project, has_project

    if not has_project(folder):
        return
    try:
        with Project.open(folder) as project:
            is_empty = project.counts().n_images == 0
    except EngineError:
        return
    if is_empty:
        shutil.rmtree(folder, ignore_errors=True)
