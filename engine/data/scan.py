"""The import: a folder of images becomes records, thumbnails and pixels of a project.

Each file is read once: for its checks, its thumbnail and its pixels. A source that is imported
again adds what is new or has changed; images whose file is the same are not read again. A label
that changed in the sheet or by moving a file is taken over, unless it was changed in RadTune.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from engine.contract.commands import Scan
from engine.contract.config import ImageContract
from engine.contract.control import Control
from engine.contract.errors import DatasetError, StorageError, UnreadableImageError
from engine.contract.records import ScanResult, SkippedFile
from engine.data.images import read_bytes
from engine.data.import_writer import ImportWriter, ReadFile
from engine.data.patients import PatientFinder
from engine.data.pixels import decode_for, in_order, pixel_shape
from engine.data.plan import ImportPlan, plan_import
from engine.data.progress import Emit, Progress
from engine.data.relabel import relabel
from engine.data.rendering import to_pixels_and_thumbnail
from engine.data.sheet import Item, count_of, verb
from engine.data.voi import window_numbers
from engine.files import long_path, require_space
from engine.project.access import open_or_make_alone
from engine.project.classes import clean_name
from engine.project.labels import set_positive
from engine.project.sources import KnownFile, file_key
from engine.project.store import Project, has_project
from engine.project.thumbnails import THUMBNAIL_PX

KIND: Final = "scan"
_OWNER: Final = "an import"
_SAMPLE: Final = 12
_COLOR_SHARE: Final = 0.25
"""From this share of colour images on, a project keeps colour."""
_BYTES_PER_RECORD: Final = 4096
_FEW_PATIENTS: Final = 3
_EMPTY: Final = np.empty((0, 0), dtype=np.uint8)
_NO_PHOTOGRAPHS: Final = {"SEG": "segmentations", "RTDOSE": "dose maps"}


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


@dataclass
class _Tally:
    """What is counted while files are read."""

    read: list[Item] = field(default_factory=list)
    skipped: list[SkippedFile] = field(default_factory=list)
    n_multi_frame: int = 0
    n_color: int = 0
    modalities: Counter[str] = field(default_factory=Counter)


def scan(command: Scan, emit: Emit, control: Control) -> ScanOutcome:
    """Import a source into a project, which is made if need be.

    Args:
        command: What to import, and how.
        emit: Takes ``JobProgressed`` events; start and finish are the caller's.
        control: Its safe points lie between files.

    Raises:
        DatasetError: If there are no images, no labels, one class only, or nothing is readable.
        ConfigError: If the pattern for patients is no regular expression.
        ProjectError: If the project can't be opened.
        StorageError: If a disk is full, read-only or gone.
        JobCanceled: If the user canceled; the project's images are then as before.
    """
    looking = Progress(emit, KIND, "Looking for images")

    def tick() -> None:
        control.safe_point()
        looking.step()

    folder = Path(command.project)
    with ExitStack() as stack:
        project = None
        if has_project(folder):  # whoever else has it is named at once, not after the search
            project = stack.enter_context(open_or_make_alone(folder, _OWNER))
        plan = plan_import(command, tick)
        patients = PatientFinder(command.patient_rule, has_column=plan.has_patients)
        existing = [] if project is None else _existing_names(project)
        _require_two_classes(plan.class_names(), existing)
        if project is None or not (command.positive and project.class_named(command.positive)):
            _require_class(command.positive, [*existing, *plan.class_names()])
        if project is None:
            project = stack.enter_context(open_or_make_alone(folder, _OWNER))
        return _import(command, plan, patients, project, emit, control)


def _require_two_classes(names: Sequence[str], existing: Sequence[str]) -> None:
    together = {name.casefold(): name for name in (*existing, *names)}
    if not together:
        raise DatasetError(
            "None of the images has a label.",
            remedy="Fill the label column of the sheet, or choose another column as the label.",
        )
    if len(together) == 1:
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


def _import(
    command: Scan,
    plan: ImportPlan,
    patients: PatientFinder,
    project: Project,
    emit: Emit,
    control: Control,
) -> ScanOutcome:
    known = _known_files(project, plan.root)
    same, wanted = _divide(plan, known)
    contract = _contract(project, plan.root, [item for item, _ in same], wanted)
    _require_room(project, len(wanted), contract)
    tally = _Tally(skipped=list(plan.skipped))
    with ImportWriter(project, contract) as writer:
        _read_files(plan.root, wanted, writer, patients, contract, tally, emit, control)
        if not tally.read and not same:
            raise _nothing_readable(tally.skipped)
        _require_two_classes(writer.labels(), _existing_names(project))
        ids = writer.keep(plan.root, plan.kind, tally.skipped)
    ids |= {item.path: file.record for item, file in same}
    notes = [*plan.notes, *patients.notes(), *_notes(tally, contract)]
    notes += relabel(project, [(file.record, item.label) for item, file in same])
    if same:
        notes.append(f"{count_of(len(same), 'image', 'was')} in the project already.")
    if command.positive is not None:
        _set_positive(project, command.positive)
    words = {ids[item.path]: item.split for item in plan.items if item.path in ids and item.split}
    project.note_patient_source(patients.source)
    result = _result(project, tally.skipped, patients.source, notes)
    return ScanOutcome(result=result, split_words=words)


def _known_files(project: Project, root: Path) -> dict[str, KnownFile]:
    """Return what was imported from this folder before, by the key of the path."""
    for source in project.sources():
        if file_key(str(source.root)) == file_key(str(root)):
            return {path: file for (path, _), file in project.known_files(source.id).items()}
    return {}


def _existing_names(project: Project) -> list[str]:
    return [summary.name for summary in project.classes() if summary.n_images]


def _divide(
    plan: ImportPlan, known: dict[str, KnownFile]
) -> tuple[list[tuple[Item, KnownFile]], list[Item]]:
    """Return files that are as they were at an earlier import, and files to read."""
    same, wanted = [], []
    for item in plan.items:
        before = known.get(file_key(item.path))
        if before is not None and _is_unchanged(plan.root / item.path, before):
            same.append((item, before))
        else:
            wanted.append(item)
    return same, wanted


def _is_unchanged(path: Path, before: KnownFile) -> bool:
    try:
        status = long_path(path).stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (before.n_bytes, before.mtime_ns)


def _contract(
    project: Project, root: Path, same: Sequence[Item], wanted: Sequence[Item]
) -> ImageContract:
    """Return the project's contract; a first import decides between grey and colour."""
    contract = project.image_contract
    if same or not wanted or project.counts().n_images:
        return contract
    step = max(1, len(wanted) // _SAMPLE)
    is_color = []
    for item in wanted[::step][:_SAMPLE]:
        path = root / item.path
        try:
            image = decode_for(read_bytes(path), contract, suffix=path.suffix)
        except UnreadableImageError:
            continue  # it will be reported when its turn comes
        is_color.append(image.is_color)
    share = sum(is_color) / max(1, len(is_color))
    return replace(contract, channels=3 if share >= _COLOR_SHARE else 1)


def _require_room(project: Project, n_images: int, contract: ImageContract) -> None:
    pixels = int(np.prod(pixel_shape(contract))) * (1 if contract.depth_bits <= 8 else 2)
    thumbnail = THUMBNAIL_PX**2 * contract.channels
    require_space(project.folder, n_images * (pixels + thumbnail + _BYTES_PER_RECORD))


def _read_files(
    root: Path,
    wanted: Sequence[Item],
    writer: ImportWriter,
    patients: PatientFinder,
    contract: ImageContract,
    tally: _Tally,
    emit: Emit,
    control: Control,
) -> None:
    def read(item: Item) -> ReadFile | SkippedFile:
        try:
            return _read(root / item.path, item, contract)
        except UnreadableImageError as error:
            return SkippedFile(path=item.path, reason=error.message)

    progress = Progress(emit, KIND, "Reading images", len(wanted))
    for file in in_order(read, wanted):
        control.safe_point()
        if isinstance(file, SkippedFile):
            _require_source(root)
            tally.skipped.append(file)
        else:
            patient = patients.find(file.item, file.facts)
            writer.add(file, patient=patient, allows_study=patients.allows_study)
            tally.read.append(file.item)
            tally.n_multi_frame += file.facts.n_frames > 1
            tally.n_color += file.thumbnail.ndim == 3
            tally.modalities[file.facts.modality] += 1
        progress.step()


def _read(path: Path, item: Item, contract: ImageContract) -> ReadFile:
    """Read one file, on a thread of its own.

    Raises:
        UnreadableImageError: If it is no image that can be read.
    """
    data = read_bytes(path)
    image = decode_for(data, contract, suffix=path.suffix)
    try:
        pixels, thumbnail = to_pixels_and_thumbnail(image, contract)
        window = window_numbers(image, contract.window)
    except MemoryError as error:
        raise UnreadableImageError(
            "The image doesn't fit into memory.", remedy="Save it smaller."
        ) from error
    return ReadFile(
        item=item,
        facts=replace(image, values=_EMPTY),
        pixels=pixels,
        thumbnail=thumbnail,
        window=window,
        status=long_path(path).stat(),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _require_source(root: Path) -> None:
    """Tell one unreadable file from a disk that is gone."""
    if not long_path(root).is_dir():
        raise StorageError(
            "The folder of images isn't there any more; nothing was imported.",
            remedy="Connect its disk again, then import it again.",
        )


def _nothing_readable(skipped: Sequence[SkippedFile]) -> DatasetError:
    reasons = Counter(file.reason for file in skipped).most_common(1)
    example = f" Most often: {reasons[0][0]}" if reasons else ""
    return DatasetError(
        f"None of the {count_of(len(skipped), 'file')} could be read as an image.{example}",
        remedy="Check that the folder holds DICOM, PNG, JPEG, TIFF or BMP images.",
    )


def _notes(tally: _Tally, contract: ImageContract) -> list[str]:
    notes = []
    if tally.n_multi_frame:
        notes.append(
            f"{count_of(tally.n_multi_frame, 'file', 'holds')} several frames; one of each was "
            "imported: the middle frame of DICOM, the first page of TIFF."
        )
    if tally.n_color and contract.channels == 1:
        notes.append(
            f"{count_of(tally.n_color, 'image', 'is')} in colour among grey "
            f"ones and {verb(tally.n_color, 'is')} used in grey."
        )
    notes += [
        f"{count_of(n, 'file', 'is')} {kind}, not photographs of the body; exclude them if they "
        "should not be learned."
        for modality, kind in _NO_PHOTOGRAPHS.items()
        if (n := tally.modalities[modality])
    ]
    return notes


def _set_positive(project: Project, name: str) -> None:
    class_id = project.class_named(name)
    if class_id is None:  # all of its images were unreadable
        names = ", ".join(summary.name for summary in project.classes())
        raise DatasetError(
            f"There is no class “{name}” to be the positive one; the images are imported.",
            remedy=f"Choose one of: {names}.",
        )
    set_positive(project, class_id)


def _result(
    project: Project, skipped: Sequence[SkippedFile], patient_source: str, notes: list[str]
) -> ScanResult:
    counts, classes = project.counts(), project.classes()
    notes += [
        f"Class “{c.name}” has {count_of(c.n_images, 'image')} of "
        f"{count_of(c.n_patients, 'patient')}; dividing into training, validation and test needs "
        f"at least {_FEW_PATIENTS} patients in each class."
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
        patient_source=patient_source,
        notes=tuple(notes),
    )
