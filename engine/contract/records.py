"""What a project holds and what jobs return, as plain facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from engine.contract.limits import OneOf

SPLITS: Final = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """Columns of a label sheet; None means "find it by its name"."""

    path: str | None = None
    label: str | None = None
    patient: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientRule:
    """Where the patient id comes from.

    Attributes:
        source: ``auto`` takes a column, else DICOM, else the file; ``pattern`` applies
            ``pattern`` to the file name; ``file`` makes each file its own patient.
        pattern: Regular expression searched in the file name; its first group, or the whole
            match, is the id.
    """

    source: Annotated[str, OneOf("auto", "dicom", "column", "pattern", "file")] = "auto"
    pattern: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedFile:
    """A file that was left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSummary:
    """One class of the project.

    Attributes:
        id: Row id in the project.
        index: Position among the classes in use, from 0; None when left out.
    """

    id: int
    name: str
    index: int | None
    n_images: int
    n_patients: int
    is_positive: bool = False
    is_left_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """One image of the project, as the browser shows it.

    Attributes:
        id: Row id in the project.
        row: Row in the thumbnail and pixel segments.
        path: Relative to its source folder, with forward slashes. May hold an identifier: show
            it, never log or export it.
        class_id: Its class, or None while unlabelled.
        patient: Pseudonym such as ``P0001``.
        patient_id: Row id of the patient.
        split: ``train``, ``val``, ``test``, or None.
        excluded: Reason why the user left it out, or None.
        window_center: Centre of the window used at import, in the file's rescaled units.
        dicom: Whitelisted header fields for the side panel, by readable name.
    """

    id: int
    row: int
    path: str
    class_id: int | None
    patient: str
    patient_id: int
    split: str | None
    excluded: str | None
    format: str
    modality: str
    width: int
    height: int
    bits: int
    frame: int = 0
    window_center: float | None = None
    window_width: float | None = None
    dicom: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePreview:
    """What a folder or label sheet looks like before it is imported.

    Attributes:
        n_files: Files that may be images.
        class_folders: Name and number of files of each sub-folder that holds images.
        tables: Label sheets found in the folder, relative paths.
        columns: Column names of the chosen sheet.
        rows: The first rows of the sheet, as text.
        guess: Columns found by name.
        patients: File names (not paths) and the patient id that the pattern gives, first few.
    """

    source: str
    n_files: int
    class_folders: tuple[tuple[str, int], ...] = ()
    tables: tuple[str, ...] = ()
    table: str | None = None
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    guess: ColumnMapping = field(default_factory=ColumnMapping)
    patients: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """What an import found.

    Attributes:
        n_images: Images of the project after this import.
        skipped: Files left out, with the reason.
        classes: Number of images by class name.
        positive: Positive class when there are two.
        split: The adopted split, when the sheet had one.
        patient_source: Where patient ids came from, as in ``PatientRule.source``.
        notes: Sentences the user should read.
    """

    n_images: int
    n_skipped: int
    skipped: tuple[SkippedFile, ...]
    n_patients: int
    classes: dict[str, int]
    positive: str | None
    split: SplitSummary | None
    patient_source: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSummary:
    """A split of the patients and the proof that none is on two sides.

    Attributes:
        origin: ``made`` here or ``adopted`` from a label sheet.
        counts: Images by split, then class name.
        n_patients: Patients by split.
        overlap: Patients in more than one split; a usable split has 0.
        unit: ``patient``, ``study`` or ``file``: what was kept together.
        digest: Hash of every record's assignment.
        notes: Sentences the user should read.
    """

    origin: str
    counts: dict[str, dict[str, int]]
    n_patients: dict[str, int]
    overlap: int
    unit: str
    seed: int | None
    fractions: tuple[float, float, float] | None
    digest: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One row of the run history.

    Attributes:
        state: ``running``, ``paused``, ``interrupted``, or an outcome.
        is_stale: Whether data, labels or split have changed since.
        is_resumable: Whether it can be continued.
        looks: How often the test set has been looked at with this run.
    """

    id: str
    created: float
    state: str
    preset: str
    backbone: str
    method: str
    val_auroc: float | None
    epochs: int
    seconds: float
    error: str | None
    is_stale: bool
    is_resumable: bool
    looks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResult:
    """One class against the rest, at the chosen operating point."""

    name: str
    n_images: int
    auroc: float
    sensitivity: float
    specificity: float
    precision: float
    f1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePrediction:
    """One evaluated image: record id, reference class index, class probabilities."""

    record: int
    label: int
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RocCurve:
    """Points of a receiver operating characteristic, from (0, 0) to (1, 1)."""

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    thresholds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """Results on the test set, with everything the window needs to draw them.

    Attributes:
        auroc: Two classes: of the positive one. More: macro one-vs-rest. ``auroc_low`` and
            ``auroc_high`` bound the 95 % bootstrap interval over patients.
        threshold: Probability of the positive class from which an image counts as positive, from
            Youden's index on validation; None above two classes (the largest probability wins).
        classes: Class names in index order.
        positive: Name of the positive class when there are two.
        confusion: Rows are the reference, columns the prediction.
        looks: How often the test set has now been looked at with this run.
        intervals: 95 % bootstrap intervals by metric name.
        roc: Test ROC of each class (two classes: of the positive one alone).
        val_roc: The same on validation, where the threshold was chosen.
        cases: Every evaluated test image.
    """

    run: str
    auroc: float
    auroc_low: float
    auroc_high: float
    accuracy: float
    balanced_accuracy: float
    sensitivity: float
    specificity: float
    f1: float
    threshold: float | None
    n_images: int
    n_patients: int
    classes: tuple[str, ...]
    positive: str | None
    confusion: tuple[tuple[int, ...], ...]
    per_class: tuple[ClassResult, ...]
    looks: int
    intervals: dict[str, Estimate] = field(default_factory=dict)
    roc: dict[str, RocCurve] = field(default_factory=dict)
    val_roc: dict[str, RocCurve] = field(default_factory=dict)
    cases: tuple[CasePrediction, ...] = ()
    sentence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRow:
    """One image the bundle was applied to.

    Attributes:
        path: As given by the user; belongs in the user's own table only.
        patient: Pseudonym, numbered afresh for each table.
        label: Predicted class name.
    """

    path: str
    patient: str
    label: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionResult:
    """What applying a bundle gave."""

    out: str
    n_images: int
    n_skipped: int
    skipped: tuple[SkippedFile, ...]
    classes: tuple[str, ...]
    rows: tuple[PredictionRow, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """A device that can compute, or could if something were mended."""

    key: str
    name: str
    memory_mb: int
    is_usable: bool
    problem: str = ""
    remedy: str = ""


Plain = dict[str, Any]
