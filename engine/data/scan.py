"""The import: a folder of images becomes records, thumbnails and pixels of a project.

Each file is read once: for its checks, its thumbnail and its pixels. A source that is imported
again adds what is new or has changed; images whose file is the same are not read again. A label
that changed in the sheet or by moving a file is taken over, unless it was changed in RadTune. An
import that was cut off goes on where it stopped; one that the user canceled leaves nothing behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from engine.contract.commands import Scan
from engine.contract.config import ImageContract
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import DatasetError, StorageError
from engine.contract.import_rules import FramePolicy
from engine.contract.records import ScanResult, SkippedFile
from engine.data.array_files import ARRAYS
from engine.data.decode_messages import DecodeSettings
from engine.data.decode_pool import DecodePool, Limits, SourceGoneError
from engine.data.import_division import Divider, Division
from engine.data.import_end import Decider
from engine.data.import_notes import notes_on_images, notes_on_known, nothing_readable
from engine.data.import_plan import ImportPlan
from engine.data.import_reading import Waiting, choose_channels, read_files
from engine.data.import_writer import ImportWriter
from engine.data.label_writer import enter_labels, prepare_task, update_labels
from engine.data.patients import PatientFinder
from engine.data.phrases import count_of
from engine.data.pixels import pixel_shape
from engine.data.plan import plan_import
from engine.data.progress import Emit, Progress, SilenceWatch
from engine.files import require_space
from engine.project.access import open_or_make_alone
from engine.project.classes import MULTI, clean_name
from engine.project.labels import exclude, set_positive
from engine.project.sources import KnownFile, file_key
from engine.project.staging import Staging, unfinished_contract
from engine.project.store import Project, has_project
from engine.project.thumbnails import THUMBNAIL_PX

KIND: Final = "scan"
LIMITS: Final = Limits()
_OWNER: Final = "an import"
_SILENCE_S: Final = 30.0
_BYTES_PER_RECORD: Final = 4096
_FEW_PATIENTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOutcome:
    """What an import did.

    Attributes:
        result: What the user is told; its ``split`` is None.
        split_words: The sheet's word for the split, by record id; empty without such a column.
            To be checked and adopted by ``engine.splits``, a later stage.
    """

    result: ScanResult
    split_words: dict[int, str] = field(default_factory=dict)


def scan(command: Scan, emit: Emit, control: Control) -> ScanOutcome:
    """Import a source into a project, which is made if need be.

    Args:
        command: What to import, and how.
        emit: Takes ``JobProgressed`` and ``Warned`` events; start and finish are the caller's.
        control: Its safe points lie between files.

    Raises:
        DatasetError: If there are no images, no labels, one class only, or nothing is readable.
        ConfigError: If the pattern for patients is no regular expression.
        ProjectError: If the project can't be opened.
        StorageError: If a disk is full, read-only or gone; what was read is kept for the next time.
        JobCanceled: If the user canceled or interrupted; the project's images are then as before,
            and what was read is kept if it was an interruption.
    """
    folder = Path(command.project)
    waiting = Waiting(emit)
    with ExitStack() as stack:
        project = None
        if has_project(folder):  # whoever else has it is named at once, not after the search
            project = stack.enter_context(open_or_make_alone(folder, _OWNER))
        # Started while the folder is looked through, so that it is ready for the first file.
        pool = stack.enter_context(
            DecodePool(on_wait=waiting.tell, safe_point=control.safe_point, limits=LIMITS)
        )
        plan = _look(command, emit, control)
        patients = PatientFinder(
            command.patient_rule, has_column=plan.has_patients, of_cases=plan.kind == ARRAYS
        )
        existing = [] if project is None else _existing_names(project)
        _require_classes(plan, plan.class_names(), existing)
        if project is None or not (command.positive and project.class_named(command.positive)):
            _require_class(command.positive, [*existing, *plan.class_names()])
        if project is None:
            project = stack.enter_context(open_or_make_alone(folder, _OWNER))
        job = _Import(command, plan, patients, project, pool, waiting, emit, control)
        return job.run()


def _look(command: Scan, emit: Emit, control: Control) -> ImportPlan:
    looking = Progress(emit, KIND, "Looking for images")
    with SilenceWatch(emit, after_s=_SILENCE_S) as watch:

        def tick() -> None:
            watch.sign_of_life()
            control.safe_point()
            looking.step()

        return plan_import(command, tick)


def _existing_names(project: Project) -> list[str]:
    return [summary.name for summary in project.classes() if summary.n_images]


def _require_classes(plan: ImportPlan, names: Sequence[str], existing: Sequence[str]) -> None:
    together = {name.casefold(): name for name in (*existing, *names)}
    if not together:
        raise DatasetError(
            "None of the images has a label.",
            remedy="Fill the label column of the sheet, or choose another column as the label.",
        )
    if len(together) == 1 and plan.task != MULTI:
        raise DatasetError(
            f"There is one class only: “{next(iter(together.values()))}”. A classifier needs at "
            "least two.",
            remedy="Choose the folder above that holds all class folders, or add images of "
            "another class.",
        )


def _require_class(positive: str | None, names: Sequence[str]) -> None:
    """Check that the class to be positive exists, before anything is imported."""
    if positive is None or clean_name(positive).casefold() in map(str.casefold, names):
        return
    raise DatasetError(
        f"There is no class “{positive}” to be the positive one.",
        remedy=f"Choose one of: {', '.join(names)}.",
    )


class _TakenBackError(Exception):
    """Ends a transaction that was only a trial."""


class _Import:
    """One import into an open project."""

    def __init__(
        self,
        command: Scan,
        plan: ImportPlan,
        patients: PatientFinder,
        project: Project,
        pool: DecodePool,
        waiting: Waiting,
        emit: Emit,
        control: Control,
    ) -> None:
        self._command, self._plan, self._patients = command, plan, patients
        self._project, self._pool, self._waiting = project, pool, waiting
        self._emit, self._control = emit, control
        self._source = project.source_at(plan.root)
        self._known: Mapping[tuple[str, int], KnownFile] = (
            {} if self._source is None else project.known_files(self._source)
        )

    def run(self) -> ScanOutcome:
        """Read what is new and enter it."""
        policy, root = self._command.frames, self._plan.root
        self._require_axis(policy)
        self._require_task()
        contract = self._contract()
        staging = Staging(self._project, root, contract, policy)
        try:
            division = self._divide(staging)
            _require_room(self._project, len(division.wanted), contract)
            skipped = [*self._plan.skipped, *division.skipped]
            skipped += self._read(
                division, staging, DecodeSettings(contract=contract, policy=policy)
            )
            return self._enter(division, staging, contract, skipped)
        except JobCanceled:
            if not self._control.interrupted:
                staging.discard()
            raise
        except DatasetError:
            staging.discard()
            raise
        except SourceGoneError as error:
            raise StorageError(
                error.message,
                remedy="Connect its disk again, then import it again: it goes on where it "
                "stopped, and nothing that was read is lost.",
            ) from error

    def _require_axis(self, policy: FramePolicy) -> None:
        if self._source is None or not self._project.has_volumes(self._source):
            return
        axis = self._project.frame_policy(self._source).axis
        if axis != policy.axis:
            raise DatasetError(
                f"The volumes of this folder were imported as {axis} slices already.",
                remedy=f"Import them as {axis} slices again, or into another project.",
            )

    def _require_task(self) -> None:
        """Find out whether the labels fit those of the project, before any image is read."""
        with contextlib.suppress(_TakenBackError), self._project.transaction():
            prepare_task(self._project, self._plan)
            raise _TakenBackError

    def _contract(self) -> ImageContract:
        """Return the project's contract; a first import decides between grey and colour."""
        contract = self._project.image_contract
        if self._project.counts().n_images:
            return contract
        if self._command.size_px is not None:
            contract = replace(contract, size_px=self._command.size_px)
        begun = unfinished_contract(self._project, self._plan.root)
        if begun is not None and replace(begun, channels=contract.channels) == contract:
            return begun
        return choose_channels(self._pool, self._plan.root, self._plan.items, contract)

    def _divide(self, staging: Staging) -> Division:
        divider = Divider(
            self._plan.root,
            self._command.frames,
            self._known,
            staging.known_files(),
            staging.skipped_files(),
        )
        with SilenceWatch(self._emit, after_s=_SILENCE_S) as watch:

            def tick() -> None:
                watch.sign_of_life()
                self._control.safe_point()

            division = divider.divide(self._plan.items, tick)
        staging.drop(division.stale)
        return division

    def _read(
        self, division: Division, staging: Staging, settings: DecodeSettings
    ) -> list[SkippedFile]:
        n_before = division.n_staged + len(division.skipped)
        progress = Progress(
            self._emit,
            KIND,
            "Reading images",
            n_before + len(division.wanted),
            n_before=n_before,
        )
        self._waiting.progress = progress

        def step(n_items: int) -> None:
            self._waiting.is_over()
            progress.step(n_items)

        if not division.wanted:
            return []
        with ImportWriter(self._project, staging, settings.contract) as writer:
            return read_files(
                self._pool,
                self._plan.root,
                division.wanted,
                settings,
                writer,
                step,
                self._control,
            )

    def _enter(
        self,
        division: Division,
        staging: Staging,
        contract: ImageContract,
        skipped: list[SkippedFile],
    ) -> ScanOutcome:
        project, plan = self._project, self._plan
        decider = Decider(project, staging, self._patients, plan.items)
        n_images = division.n_staged + len(division.wanted)
        progress = Progress(self._emit, KIND, "Entering images", n_images)

        def tick() -> None:
            self._control.safe_point()
            progress.step()

        summary = staging.decide(decider.entries(tick))
        if not summary.n_images and not division.same:
            raise nothing_readable(skipped)
        if plan.task != MULTI:
            _require_classes(plan, summary.labels, _existing_names(project))
        with project.transaction():
            prepare_task(project, plan)
            ids = staging.enter(plan.kind, skipped)
            if plan.task == MULTI:
                items = [decider.item(path, frame) for path, frame in ids]
                enter_labels(project, list(ids.values()), items)
        staging.clean_up()
        self._leave_out_lost_frames(division, decider.n_frames)
        notes = [*plan.notes, *self._patients.notes(), *notes_on_images(summary, contract)]
        notes += update_labels(project, [(record, item) for item, record in division.same])
        notes += notes_on_known(division)
        if self._command.positive is not None:
            _set_positive(project, self._command.positive)
        words = {
            record: word
            for (path, frame), record in ids.items()
            if (word := decider.item(path, frame).split)
        }
        words |= {record: item.split for item, record in division.same if item.split}
        project.note_patient_source(self._patients.source)
        return ScanOutcome(result=self._result(skipped, notes), split_words=words)

    def _leave_out_lost_frames(self, division: Division, n_frames: Mapping[str, int]) -> None:
        """Exclude images of frames that a changed file doesn't have any more."""
        now = {file_key(path): n_frames[path] for path in division.reread if path in n_frames}
        lost = [
            file.record
            for (key, frame), file in self._known.items()
            if key in now and frame >= now[key]
        ]
        if lost:
            exclude(self._project, lost, "The file has changed and has no such frame any more.")

    def _result(self, skipped: Sequence[SkippedFile], notes: list[str]) -> ScanResult:
        counts, classes = self._project.counts(), self._project.classes()
        join = self._plan.join
        notes += [
            f"Class “{c.name}” has {count_of(c.n_images, 'image')} of "
            f"{count_of(c.n_patients, 'patient')}; dividing into training, validation and test "
            f"needs at least {_FEW_PATIENTS} patients in each class."
            for c in classes
            if c.n_images and c.n_patients < _FEW_PATIENTS
        ]
        return ScanResult(
            n_images=counts.n_images,
            n_skipped=len(skipped),
            skipped=tuple(skipped),
            n_patients=counts.n_patients,
            classes={c.name: c.n_images for c in classes if c.n_images},
            positive=next((c.name for c in classes if c.is_positive), None),
            split=None,
            patient_source=self._patients.source,
            matched=None if join is None else join.matched,
            rows_without_file=None if join is None else join.rows_without_file,
            files_without_row=None if join is None else join.files_without_row,
            conflicts=None if join is None else join.conflicts,
            notes=tuple(notes),
        )


def _require_room(project: Project, n_images: int, contract: ImageContract) -> None:
    pixels = int(np.prod(pixel_shape(contract))) * (1 if contract.depth_bits <= 8 else 2)
    thumbnail = THUMBNAIL_PX**2 * contract.channels
    require_space(project.folder, n_images * (pixels + thumbnail + _BYTES_PER_RECORD))


def _set_positive(project: Project, name: str) -> None:
    class_id = project.class_named(name)
    in_use = {summary.id: summary.name for summary in project.classes() if summary.n_images}
    if class_id not in in_use:  # all of its images were unreadable
        raise DatasetError(
            f"There is no class “{name}” to be the positive one; the images are imported.",
            remedy=f"Choose one of: {', '.join(in_use.values())}.",
        )
    if project.task == MULTI:
        project.choose_finding(class_id)
    else:
        set_positive(project, class_id)
