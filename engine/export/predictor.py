"""Applying a bundle: the same path from file to pixels as in training."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.bundle.familiarity import likeness_unknown, suits, unusual_note, watch_head
from engine.bundle.format import BundleFacts
from engine.bundle.read import Bundle, read_bundle
from engine.contract.config import RuntimeConfig
from engine.contract.control import Control
from engine.contract.errors import DatasetError, EngineError, StorageError
from engine.contract.events import Event, JobProgressed, Warned
from engine.contract.records import SkippedFile
from engine.contract.results import PredictionResult, PredictionRow
from engine.data.decoded import ImageFile
from engine.data.frames import choose_frames
from engine.data.images import open_image, read_bytes
from engine.data.listing import list_files
from engine.data.pixels import pixels_of
from engine.data.sheet import count_of
from engine.data.transforms import test_time_views
from engine.evaluate.findings import decide_findings
from engine.evaluate.report import decide
from engine.files import long_path, make_folder, require_writable, storage_error, write_atomic
from engine.hardware import Fallback, Runtime, apply_runtime, place_run
from engine.hardware.preflight import SafePoint
from engine.models.fallback import looking_warning
from engine.project.folder import readable
from engine.trainer.steps import predict_batch

_NO_FINDING: Final = "No Finding"
_IMAGE_COLUMNS: Final = (("path", "patient"), ("path", "frame", "patient"))
_TABLE_STARTS: Final = tuple(
    ",".join((*columns, answer, "p_")).encode("ascii")
    for columns in _IMAGE_COLUMNS
    for answer in ("class", "findings")
)
_BATCH: Final = 32
_READERS: Final = 4


@dataclass(frozen=True, slots=True)
class _Read:
    """An image that was read, or why it wasn't.

    Attributes:
        frame: Frame, page or slice of a file of which several are taken, from 0; else None.
    """

    path: Path
    frame: int | None = None
    pixels: NDArray[np.generic] | None = None
    patient: str | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Predicted:
    """What a batch gave.

    Attributes:
        probabilities: Shape ``(N, K)``.
        unusual: As ``Familiarity.unusual``, shape ``(N,)``, where the bundle knows.
    """

    probabilities: NDArray[np.float64]
    unusual: NDArray[np.float64] | None


_Part = tuple[Path, ImageFile, int]


class Predictor:
    """A bundle's network, ready to be applied to files.

    Attributes:
        bundle: What is applied.
        fallback: Why the processor applies it though a graphics card is there.
    """

    def __init__(
        self,
        bundle: Bundle,
        runtime: Runtime | None = None,
        *,
        safe_point: SafePoint = lambda: None,
    ) -> None:
        self.bundle = bundle
        precision = bundle.facts.precision
        self.fallback: Fallback | None = None
        if runtime is None:
            wanted = RuntimeConfig(precision=precision)
            runtime, self.fallback = place_run(wanted, gives_way=True, safe_point=safe_point)
        self._runtime = runtime
        apply_runtime(self._runtime)
        self._network = bundle.network().to(self._runtime.device)
        self._familiarity = bundle.familiarity(self._network)

    def fallback_warning(self, n_images: int) -> Warned | None:
        """Return what a job must say where the processor steps in for a graphics card."""
        if self.fallback is None:
            return None
        facts = self.bundle.facts
        n_looks, size_px = n_images * facts.test_time_views, facts.image.size_px
        return looking_warning(self.fallback, self._network, size_px, n_looks, deed="predicts")

    def predict_pixels(self, pixels: NDArray[np.generic]) -> NDArray[np.float64]:
        """Return class probabilities ``(N, K)`` of pixels made by the bundle's image contract."""
        n_views = self.bundle.facts.test_time_views
        views = (
            (lambda batch: test_time_views(batch, n_views, padding=self.bundle.facts.image.padding))
            if n_views > 1
            else None
        )
        return predict_batch(self._network, pixels, self._runtime, views=views)

    def _predict(self, read: list[_Read]) -> _Predicted:
        sound = [item.pixels for item in read if item.pixels is not None]
        if not sound:
            return _Predicted(np.empty((0, len(self.bundle.facts.classes))), None)
        with watch_head(self._network) as seen:
            probabilities = self.predict_pixels(np.stack(sound))
        if self._familiarity is None:
            return _Predicted(probabilities, None)
        return _Predicted(probabilities, self._familiarity.unusual(seen[0]))  # the unmoved copy

    def predict_files(self, paths: Sequence[Path]) -> Iterator[tuple[int, list[_Read], _Predicted]]:
        """Yield batches: files done so far, what was read, and what the sound ones gave."""
        with ThreadPoolExecutor(_READERS) as pool:
            for start in range(0, len(paths), _BATCH):
                opened = list(pool.map(self._open, paths[start : start + _BATCH]))
                done = start + len(opened)
                further = [part for _, parts in opened for part in parts]
                first = [read for read, _ in opened]
                yield done if not further else start, first, self._predict(first)
                for begin in range(0, len(further), _BATCH):
                    read = list(pool.map(self._read, further[begin : begin + _BATCH]))
                    is_last = begin + _BATCH >= len(further)
                    yield done if is_last else start, read, self._predict(read)

    def _open(self, path: Path) -> tuple[_Read, list[_Part]]:
        """Read the first wanted image of a file, and say which others are wanted.

        Wanted is what was wanted in the project of the training; of a table of images (MedMNIST's
        ``.npz``), which holds cases and not frames of one, all.
        """
        policy = self.bundle.facts.frames
        try:
            file = open_image(read_bytes(path), suffix=path.suffix, axis=policy.axis)
            if file.format == "NPZ":
                policy = replace(policy, frames="all")
            frames = choose_frames(file.n_frames, policy, default=file.default_frame)
        except EngineError as error:
            return _Read(path, problem=error.message), []
        if len(frames) == 1:
            read = self._read((path, file, frames[0]))
            return replace(read, frame=None), []
        first, *others = [(path, file, frame) for frame in frames]
        return self._read(first), others

    def _read(self, part: _Part) -> _Read:
        path, file, frame = part
        try:
            pixels, image = pixels_of(file, self.bundle.facts.image, frame)
            return _Read(path, frame, pixels, image.patient_id)
        except EngineError as error:
            return _Read(path, frame, problem=error.message)


class _Pseudonyms:
    """Numbers patients afresh in order of arrival; a file without an id is its own patient."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._count = 0

    def of(self, patient: str | None) -> str:
        if patient is not None and patient in self._known:
            return self._known[patient]
        self._count += 1
        pseudonym = f"P{self._count:04d}"
        if patient is not None:
            self._known[patient] = pseudonym
        return pseudonym


def predict(
    bundle: Path, source: Path, out: Path, emit: Callable[[Event], None], control: Control
) -> PredictionResult:
    """Apply a bundle to a file or folder and write one CSV row per image.

    Columns: ``path`` (relative to the source folder), ``frame`` (from 0, where a file gave several
    images), ``patient`` (numbered afresh), ``class``, ``p_<class>`` for each class, and
    ``unusual_percent``: how many of 100 validation images are more like the training images. Of a
    classifier for findings ``findings`` takes the place of ``class``, with those that are present,
    ``|`` between them, so that the table can be imported as labels; ``present_<finding>`` is 1 or
    0 by that finding's threshold.

    Raises:
        BundleError: If the bundle can't be used.
        DatasetError: If there is no image to apply it to, or none can be read.
        StorageError: If the table can't be written, or another file is in its place.
    """
    _check_target(out)
    predictor = Predictor(read_bundle(bundle), safe_point=control.wait_point)
    root = source if source.is_dir() else source.parent
    paths, skipped = _images_in(source)
    if not paths:
        raise DatasetError(
            "There are no images in this place.",
            remedy="Choose a folder that holds DICOM, PNG, JPEG, TIFF or BMP files.",
        )
    if (warned := predictor.fallback_warning(len(paths))) is not None:
        emit(warned)
    facts, pseudonyms = predictor.bundle.facts, _Pseudonyms()
    rows: list[PredictionRow] = []
    for done, read, predicted in predictor.predict_files(paths):
        control.safe_point()
        skipped += [
            SkippedFile(path=_relative(item.path, root), reason=item.problem)
            for item in read
            if item.pixels is None
        ]
        answers = _answers(facts, predicted.probabilities)
        unusual = [None] * len(answers) if predicted.unusual is None else predicted.unusual.tolist()
        sound = [item for item in read if item.pixels is not None]
        rows += [
            PredictionRow(
                path=_relative(item.path, root),
                frame=item.frame,
                patient=pseudonyms.of(item.patient),
                label=label,
                findings=findings,
                probabilities=tuple(float(p) for p in values),
                unusual=share,
            )
            for item, (label, findings), values, share in zip(
                sound, answers, predicted.probabilities, unusual, strict=True
            )
        ]
        emit(JobProgressed(kind="predict", stage="Applying to images", done=done, total=len(paths)))
    if not rows:
        raise DatasetError(
            f"None of the {count_of(len(skipped), 'file')} could be read as an image. "
            f"{skipped[0].reason}",
            remedy="Choose a folder that holds DICOM, PNG, JPEG, TIFF or BMP images.",
        )
    write_atomic(out, _table(facts.classes, rows))
    return PredictionResult(
        out=str(out),
        n_images=len(rows),
        n_skipped=len(skipped),
        skipped=tuple(skipped),
        classes=facts.classes,
        threshold=facts.threshold,
        thresholds=facts.thresholds,
        rows=tuple(rows),
        **_notes(rows, facts),
    )


def _answers(
    facts: BundleFacts, probabilities: NDArray[np.float64]
) -> list[tuple[str, tuple[bool, ...]]]:
    """Return for each image its answer in words, and, of findings, which are present."""
    if not facts.is_multi:
        labels = decide(probabilities, facts.threshold, facts.positive)
        return [(facts.classes[label], ()) for label in labels]
    answers: list[tuple[str, tuple[bool, ...]]] = []
    for present in decide_findings(probabilities, facts.thresholds).tolist():
        names = [name for name, is_there in zip(facts.classes, present, strict=True) if is_there]
        answers.append(("|".join(names) or _NO_FINDING, tuple(present)))
    return answers


def _notes(rows: Sequence[PredictionRow], facts: BundleFacts) -> dict[str, tuple[str, ...]]:
    shares = np.array([row.unusual for row in rows if row.unusual is not None])
    if not len(shares):
        return {"notes": (likeness_unknown(facts),)}
    return {"notes" if suits(shares) else "warnings": (unusual_note(shares),)}


def _check_target(out: Path) -> None:
    """Refuse before the work what could not be written after it, and files of another kind."""
    out = long_path(out)
    make_folder(out.parent)
    if out.is_dir():
        raise StorageError(
            "The place chosen for the table of predictions is a folder.",
            remedy="Name a file, such as predictions.csv.",
        )
    if not out.exists():
        require_writable(out.parent)
        return
    try:
        with out.open("rb") as stream:
            head = stream.read(max(map(len, _TABLE_STARTS)))
    except OSError as error:
        raise storage_error(error, "the table of predictions") from error
    if head and not head.startswith(_TABLE_STARTS):
        raise StorageError(
            "There is another file where the table of predictions should be.",
            remedy="Choose another name; RadTune replaces only its own tables.",
        )


def _images_in(source: Path) -> tuple[list[Path], list[SkippedFile]]:
    """Return the files to apply the classifier to, and what had to be left out."""
    if source.is_dir():
        listing = list_files(source)
        return [listing.path(name) for name in listing.images()], list(listing.skipped)
    if not source.is_file():
        raise DatasetError(
            "The images to apply the classifier to don't exist.", remedy="Check the path."
        )
    return [source], []


def _relative(path: Path, root: Path) -> str:
    return readable(path.relative_to(root).as_posix())


def _table(classes: tuple[str, ...], rows: Sequence[PredictionRow]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    has_frames = any(row.frame is not None for row in rows)
    knows = any(row.unusual is not None for row in rows)
    is_multi = any(row.findings for row in rows)
    answer = "findings" if is_multi else "class"
    present = [f"present_{name}" for name in classes] if is_multi else []
    last = ["unusual_percent"] if knows else []
    shares = [f"p_{name}" for name in classes]
    writer.writerow([*_IMAGE_COLUMNS[has_frames], answer, *shares, *present, *last])
    for row in rows:
        frame = ["" if row.frame is None else row.frame] if has_frames else []
        shares = [f"{p:.6f}" for p in row.probabilities]
        flags = [int(is_there) for is_there in row.findings]
        unusual = ["" if row.unusual is None else f"{100 * row.unusual:.1f}"] if knows else []
        writer.writerow([row.path, *frame, row.patient, row.label, *shares, *flags, *unusual])
    return text.getvalue()
