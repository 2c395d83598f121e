"""The open project and the user's present choices; every page shows it and asks it for changes.

``engine.project`` is imported where it is used: it brings NumPy, and the first paint needs neither.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PySide6.QtCore import QObject, Signal

from engine.contract.commands import Doctor, Train
from engine.contract.config import ExperimentConfig, preset_config
from engine.contract.errors import EngineError
from engine.contract.events import COMPLETED, Event, JobFinished, RunFinished
from engine.contract.methods import MethodCard, method_card
from engine.contract.records import ImageRecord
from engine.contract.results import EvaluationResult
from gui.background import Background
from gui.direct_choice import DIRECT, DirectChoice
from gui.next_run import SCRATCH, with_recommended
from gui.run_controller import JobController, RunController
from gui.setup_advice import SetupAdvice
from gui.shown_images import ShownImages
from gui.snapshot import Snapshot, read_changes, read_snapshot
from gui.stages import ProjectFacts, Stage, stage_state
from gui.widgets.stage_rail import StageState
from gui.worker.engine_client import EngineClient
from gui.worker.engine_thread import EngineThread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.project.lock import ProjectLock
    from engine.project.segment_reader import SegmentReader
    from engine.project.store import Project
    from engine.project.thumbnails import Thumbnails

_CHANGING_JOBS: Final = frozenset(
    {"scan", "audit", "split", "evaluate", "prepare_images", "pretrain"}
)
"""Jobs after which a project holds something else."""
_RECORD_EDITS: Final = frozenset(
    {"set_labels", "set_finding", "set_findings", "set_no_finding", "exclude", "include"}
)
"""Edits whose first argument names the only records that change."""
_LABEL_EDITS: Final = _RECORD_EDITS | {"undo", "redo"}
"""Edits after which images may be labelled otherwise."""
_NOTE_EDITS: Final = frozenset({"accept_finding", "reopen_finding"})
"""Edits after which only the notes of the audit differ."""


class Session(QObject):
    """The open project, read off the window's thread, and the choices for the next run.

    Attributes:
        background: Where work is done that would stop the window.
        config: Choices for the next run.
        advice: What is recommended for them.
        shown_images: Images that the Data page was asked to show, or None.
        shown_run: Run that the Evaluate page was asked to show, or empty.
        exported_bundle: Folder of the bundle written last, which Apply offers first, or empty.

    Signals:
        project_changed: Another project was opened, or none is open any more.
        snapshot_changed: The project was read anew after any change.
        choices_changed: Backbone, method, preset or seed for the next run.
        labels_edited: A change of labels was asked for; ``snapshot_changed`` follows it.
        device_changed: ``device`` is known.
        failed: An :class:`EngineError` that a page should show.
    """

    project_changed = Signal()
    snapshot_changed = Signal()
    choices_changed = Signal()
    labels_edited = Signal()
    device_changed = Signal()
    failed = Signal(object)

    def __init__(self, client: EngineClient, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.client = client
        self.runs = RunController(client, self)
        self.jobs = JobController(client, self)
        self.snapshot = Snapshot()
        self.device: dict[str, Any] = {}
        self.config: ExperimentConfig = preset_config("quick")
        self.is_model_chosen = False
        self.direct: DirectChoice | None = None
        self.shown_images: ShownImages | None = None
        self.shown_run = ""
        self.exported_bundle = ""
        self._folder: Path | None = None
        self._project: Project | None = None
        self._thumbnails: Thumbnails | None = None
        self._pixels: SegmentReader | None = None
        self._lock: ProjectLock | None = None
        self._last_read: Snapshot | None = None
        self.background = Background(self)  # changes happen in the order they were asked for
        self.background.failed.connect(self.failed)
        self.advice = SetupAdvice(self)
        self.advice.changed.connect(self._follow_advice)
        self.runs.finished.connect(self._on_run_finished)
        self.jobs.ended.connect(self._on_job_ended)

    @property
    def folder(self) -> Path | None:
        """Folder of the open project."""
        return self._folder

    @property
    def name(self) -> str:
        """Name of the open project, or an empty string."""
        return self._project.name if self._project is not None else ""

    @property
    def thumbnails(self) -> Thumbnails | None:
        """Thumbnails of the open project."""
        return self._thumbnails

    def network_pixels(self, record: ImageRecord) -> NDArray[Any] | None:
        """Return an image as the network sees it with the present choices, if it is in the cache.

        uint8 or uint16, ``(S, S)`` or ``(S, S, 3)``; a read-only view.
        """
        from engine.project.segment_reader import SegmentReader

        if self._project is None:
            return None
        kind = f"pixels-{self._project.image_contract.key()}"
        if self._pixels is None or self._pixels.kind != kind or not self._pixels.has(record.row):
            self._pixels = SegmentReader(self._project, kind)
        return self._pixels.row(record.row) if self._pixels.has(record.row) else None

    def open_project(self, folder: Path) -> None:
        """Open a project and take its lock; runs that were cut off show as interrupted.

        Raises:
            EngineError: If it can't be opened, or another window has it.
        """
        from engine.project.lock import ProjectLock
        from engine.project.store import Project
        from engine.project.thumbnails import Thumbnails

        if self._folder is not None and folder.absolute() == self._folder.absolute():
            self.reload()
            return
        lock = ProjectLock(folder, owner="the RadTune window")
        lock.token = self.client.lock_token  # lends the lock to the workers
        project = Project.open(folder)
        try:
            lock.acquire()
            if not lock.is_read_only:
                project.interrupt_leftovers()
        except EngineError:
            project.close()
            lock.release()
            raise
        self.close_project()
        self._folder, self._project, self._lock = folder, project, lock
        self._thumbnails = Thumbnails(project)
        self.is_model_chosen = False
        self.direct = None
        self.shown_images = None
        self.shown_run = self.exported_bundle = ""
        self.project_changed.emit()
        self.reload()

    def close_project(self) -> None:
        """Let go of the open project, and wait for whatever is done off the window's thread."""
        self.background.wait()
        if self._project is None:
            return
        if self._thumbnails is not None:
            self._thumbnails.close()
        if self._pixels is not None:
            self._pixels.close()
            self._pixels = None
        self._project.close()
        if self._lock is not None:
            self._lock.release()
        self._folder = self._project = self._lock = self._thumbnails = None
        self.snapshot = Snapshot()
        self._last_read = None
        self.project_changed.emit()
        self.snapshot_changed.emit()

    def reload(self) -> None:
        """Read the project anew off the window's thread; ends in ``snapshot_changed``."""
        if self._folder is not None:
            folder = self._folder
            self.background.do(lambda: self._read(folder), self._take_snapshot)

    def change(self, edit: Callable[..., Any], *arguments: Any) -> None:
        """Apply an edit such as ``engine.project.labels``'s off the window's thread, then reload.

        Args:
            edit: Takes the project and the arguments.
            arguments: Passed on.
        """
        from engine.project.store import Project

        if self._folder is None:
            return
        folder = self._folder
        changed: Sequence[int] | None = () if edit.__name__ in _NOTE_EDITS else None
        if edit.__name__ in _RECORD_EDITS:
            changed = arguments[0]
        if edit.__name__ in _LABEL_EDITS:
            self.labels_edited.emit()

        def apply() -> Snapshot:
            with Project.open(folder) as project:
                edit(project, *arguments)
            return self._read(folder, changed)

        self.background.do(apply, self._take_snapshot)

    def choose(self, config: ExperimentConfig) -> None:
        """Set the choices for the next run."""
        self.config = config
        self.is_model_chosen = True
        self.choices_changed.emit()

    def _follow_advice(self) -> None:
        """Take what is recommended until the user has chosen something."""
        found = self.advice.found
        if found is None or self.is_model_chosen or self.runs.state.is_busy:
            return
        config = with_recommended(self.config, found)
        if config != self.config:
            self.config = config
            self.choices_changed.emit()

    def choose_direct(self, choice: DirectChoice | None) -> None:
        """Set which classifier direct transfer applies; None for none."""
        if choice != self.direct:
            self.direct = choice
            self.choices_changed.emit()

    @property
    def answering(self) -> DirectChoice | None:
        """The classifier that answers in the next run, in place of the chosen backbone, if any."""
        return self.direct if self.config.method.key == DIRECT else None

    @property
    def next_backbone(self) -> str:
        """Key of the backbone that the next run looks at images with."""
        return self.answering.backbone if self.answering else self.config.backbone.key

    @property
    def unmatched_class(self) -> str | None:
        """The class that keeps the next run from starting, since nothing would answer for it."""
        return self.answering.unmatched(self.snapshot.trained_names) if self.answering else None

    @property
    def method_without_weights(self) -> MethodCard | None:
        """The method that keeps the next run from starting, since its backbone knows nothing."""
        card = method_card(self.config.method.key)
        is_random = self.config.backbone.weights == SCRATCH
        return card if card is not None and card.needs_weights and is_random else None

    def next_run(self) -> Train:
        """Return the command that starts a run with the present choices.

        Raises:
            ValueError: If no project is open.
        """
        if self._folder is None:
            raise ValueError("no project is open")
        command = Train(project=str(self._folder), config=self.config)
        if self.answering is None:
            return command
        return replace(command, bundle=str(self.answering.bundle), matches=self.answering.matches)

    def find_device(self) -> None:
        """Ask the engine what this machine can do; ends in ``device_changed``."""
        self.jobs.start(Doctor(), self.take_device, is_quiet=True)

    def check_devices(
        self, on_finished: Callable[[JobFinished], None], on_event: Callable[[Event], None]
    ) -> EngineThread:
        """Let the engine try out every device; who asks gives the result to :meth:`take_device`."""
        return self.jobs.start(Doctor(check=True), on_finished, on_event, is_quiet=True)

    def evaluation(self, run: str) -> EvaluationResult | None:
        """Return a run's newest evaluation, if the test set was ever looked at with it."""
        return self._project.evaluation(run) if self._project is not None else None

    def method_facts(self, run: str) -> dict[str, Any]:
        """Return what a run's method says of the network it kept, read from the run's folder."""
        return self._project.method_facts(run) if self._project is not None else {}

    def original_path(self, record: int) -> Path:
        """Return where an image's original is.

        Raises:
            ValueError: If no project is open.
        """
        if self._project is None:
            raise ValueError("no project is open")
        return self._project.original_path(record)

    def records(self, ids: Sequence[int]) -> list[ImageRecord]:
        """Return records by id, leaving out ids that are gone."""
        return [self.snapshot.by_id[i] for i in ids if i in self.snapshot.by_id]

    def stage_state(self, stage: Stage) -> StageState:
        """Return how a stage stands."""
        return stage_state(stage, self.facts())

    def facts(self) -> ProjectFacts:
        """Return what the stage rules look at."""
        shown = self.snapshot
        finished = shown.finished_runs
        findings = shown.audit.findings if shown.audit is not None else ()
        return ProjectFacts(
            has_project=self._project is not None,
            n_images=len(shown.records),
            can_split=shown.can_split,
            is_finding_missing=shown.is_finding_missing,
            has_audit=shown.audit is not None,
            is_audit_stale=shown.is_audit_stale,
            n_serious=sum(1 for f in findings if f.severity == "high" and f.note is None),
            is_auditing=self.jobs.is_busy_with("audit"),
            has_split=shown.split is not None,
            is_split_stale=shown.is_split_stale,
            is_importing=self.jobs.is_busy_with("scan"),
            is_training=self.runs.state.is_busy,
            is_model_chosen=self.is_model_chosen,
            has_finished_run=bool(finished),
            is_run_stale=bool(finished) and finished[0].is_stale,
            has_evaluation=bool(finished) and finished[0].looks > 0,
        )

    def _read(self, folder: Path, changed: Sequence[int] | None = None) -> Snapshot:
        """Read a project; only in the pool's one thread, so that reads build on each other."""
        before = self._last_read
        is_locked = self._lock is not None and not self._lock.is_read_only  # against others' runs
        has_worker = self.runs.state.is_busy or not is_locked
        if changed is None or before is None or before.folder != folder:
            self._last_read = read_snapshot(folder, has_worker=has_worker)
        else:
            self._last_read = read_changes(before, folder, changed, has_worker=has_worker)
        return self._last_read

    def _take_snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.folder != self._folder:
            return  # of a project that was closed meanwhile
        if self.snapshot.folder != snapshot.folder:
            gc.freeze()  # a hundred thousand records needn't be searched for garbage
        self.snapshot = snapshot
        if self._thumbnails is not None:
            self._thumbnails.refresh()
        self.snapshot_changed.emit()
        if not snapshot.texts.is_ready:
            self.background.do(snapshot.texts.of_all, self._on_texts_ready)

    def _on_texts_ready(self, _texts: Sequence[str]) -> None:
        """Nothing waits for them: who needs them earlier puts them together."""

    def take_device(self, finished: JobFinished) -> None:
        """Keep what the engine says of this machine."""
        if finished.outcome == COMPLETED:
            self.device = finished.result
            self.device_changed.emit()

    def _on_run_finished(self, finished: RunFinished) -> None:
        del finished
        self.reload()

    def _on_job_ended(self, finished: JobFinished) -> None:
        if finished.kind in _CHANGING_JOBS:
            self.reload()
