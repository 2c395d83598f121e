"""What a project holds and what jobs return, as plain facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from engine.contract.limits import Between, OneOf, check_limits

SPLITS: Final = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetFormat:
    """How a label sheet is read; None means "find out".

    Attributes:
        separator: One character between the cells of a text file.
        encoding: A codec name such as ``utf-8`` or ``gb18030``.
        worksheet: Name of a worksheet of a workbook.
        header_row: Row of the column names, from 1; 0 for a sheet without names, whose columns are
            called "Column 1", "Column 2"…
    """

    separator: str | None = None
    encoding: str | None = None
    worksheet: str | None = None
    header_row: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """Columns of a label sheet; None means "find it by its name", an empty name "no column".

    Attributes:
        path: Names the file: a path, a file name, or a SOP Instance UID.
        label: Holds the class, several findings in a cell, or a grade.
        labels: One column per class with 0 and 1 (or no and yes), instead of ``label``.
        date: Study date; together with ``patient`` it can stand for the file.
        frame: Frame, page or slice that the row is about, from 0, of files with several.
        join: What a row is matched by: ``path`` is a path or a file name, ``sop_uid`` a SOP
            Instance UID, ``patient_date`` patient and study date; ``auto`` finds out.
    """

    path: str | None = None
    label: str | None = None
    labels: tuple[str, ...] = ()
    patient: str | None = None
    split: str | None = None
    study: str | None = None
    date: str | None = None
    site: str | None = None
    scanner: str | None = None
    sex: str | None = None
    age: str | None = None
    view: str | None = None
    frame: str | None = None
    join: Annotated[str, OneOf("auto", "path", "sop_uid", "patient_date")] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRule:
    """What the label column or columns of a sheet mean.

    Attributes:
        task: ``single``: one class an image. ``multi``: any number of findings an image.
            ``ordinal``: one grade an image, the grades in order. ``auto``: ``multi`` where cells
            hold several findings or several of the 0/1 columns are 1 in one row, else ``single``.
        separator: Between the findings of one cell.
        uncertain: What a value such as -1, "uncertain" or "unknown" counts as: ``ignore`` leaves
            that finding of that image out of training and measuring.
        blank: What a blank 0/1 cell counts as, in a row with other values. ``auto``: absent in
            columns where blanks are more common than zeros (marks alone, or findings that were
            not mentioned), unknown in others.
        order: Grades from lowest to highest; empty sorts them.
    """

    task: Annotated[str, OneOf("auto", "single", "multi", "ordinal")] = "auto"
    separator: str = "|"
    uncertain: Annotated[str, OneOf("ignore", "negative", "positive")] = "ignore"
    blank: Annotated[str, OneOf("auto", "absent", "unknown")] = "auto"
    order: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePolicy:
    """Which frames of a multi-frame file, or slices of a volume, become images.

    All frames of a file are of one patient, and so always in one split.

    Attributes:
        frames: ``middle`` alone, ``every`` n-th, or ``all``.
        step: The n of ``every``.
        axis: Plane of the slices of a volume (NIfTI).
    """

    frames: Annotated[str, OneOf("middle", "every", "all")] = "middle"
    step: Annotated[int, Between(1, 10_000)] = 10
    axis: Annotated[str, OneOf("axial", "coronal", "sagittal")] = "axial"

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If a field is outside.
        """
        check_limits(self)


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
    """A file that was left out, and why.

    Attributes:
        kind: ``unreadable``; ``not_image`` for a sound file that holds none, such as a DICOM
            report or an RT plan; ``unmatched`` for a row of a sheet whose file isn't there, and
            for a file without a row or class folder.
    """

    path: str
    reason: str
    kind: Annotated[str, OneOf("unreadable", "not_image", "unmatched")] = "unreadable"


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
        findings: Classes of a multi-label project and their values: 1 present, 0 absent, None
            unknown. Empty in other projects.
        study: Hash of the study; equal for the images of one.
        site: Pseudonym such as ``Site 1``.
        acquired: Day of acquisition, counted from a day that only the project knows.
        age: In years.
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
    findings: dict[int, int | None] = field(default_factory=dict)
    study: str | None = None
    site: str | None = None
    acquired: int | None = None
    view: str | None = None
    sex: str | None = None
    age: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePreview:
    """What a folder or label sheet looks like before it is imported.

    Attributes:
        n_files: Files that may be images.
        class_folders: Name and number of files of each sub-folder that holds images.
        tables: Label sheets found in the folder, relative paths.
        columns: Column names of the chosen sheet.
        rows: The first rows of the sheet, as text.
        guess: Columns that the user named, else found; its ``join`` is what rows were matched by.
        format: How the sheet was read.
        worksheets: Names of the worksheets, of a workbook.
        n_checked: How many rows of the sheet were tried, the first 1,000 at most.
        n_matched: How many of them belong to a file of the source by ``guess``; None without a
            sheet, or where nothing says what a row is about.
        task: What the label columns give: ``single``, ``multi`` or ``ordinal``; empty without.
        classes: Classes or findings of the tried rows, with the number of rows that have each.
        numbers: Numeric columns without a role that will be kept for the audit.
        withheld: Numeric columns that look like an identifier, a date or a phone number.
        notes: Sentences on the sheet that the user should read.
        patients: File names (not paths) and the patient id that the pattern gives, first few.
        image_px: Median shorter side of a few of its pictures; 0 where that isn't known.
    """

    source: str
    n_files: int
    class_folders: tuple[tuple[str, int], ...] = ()
    tables: tuple[str, ...] = ()
    table: str | None = None
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    guess: ColumnMapping = field(default_factory=ColumnMapping)
    format: SheetFormat = field(default_factory=SheetFormat)
    worksheets: tuple[str, ...] = ()
    n_checked: int = 0
    n_matched: int | None = None
    task: str = ""
    classes: tuple[tuple[str, int], ...] = ()
    numbers: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    patients: tuple[tuple[str, str], ...] = ()
    image_px: int = 0


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
        matched: Rows of the sheet whose file was found; None, like the next three, without one.
        rows_without_file: Rows of the sheet whose file isn't in the source.
        files_without_row: Images of the source that the sheet doesn't name.
        conflicts: Files whose rows disagree on the label; they stay unlabelled.
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
    matched: int | None = None
    rows_without_file: int | None = None
    files_without_row: int | None = None
    conflicts: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RelabelResult:
    """What a sheet changed.

    Attributes:
        n_changed: Images whose label is now another one.
        n_same: Images whose label was that already.
    """

    n_changed: int
    n_same: int
    matched: int
    rows_without_file: int
    files_without_row: int
    conflicts: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """What one file is.

    Attributes:
        kind: ``image``, ``not_image`` (a sound file that holds none) or ``unreadable``.
        reason: Why it is no image; empty for an image.
        format: ``DICOM``, ``PNG``, ``JPEG``, ``TIFF``, ``BMP``, ``NIfTI`` or ``NPZ``.
        rows: Height in pixels of the stored image.
        frames: Frames, pages, slices or array items.
        photometric: DICOM photometric interpretation, or Pillow's mode.
        transfer_syntax: UID; empty for other formats and where the file doesn't say.
        stored_min: Smallest decoded value of the whole file, before any LUT or rescale.
        stored_mean: Mean of all decoded values.
        value_min: Smallest value of ``frame`` after the modality LUT or rescale.
        window_center: Of the window that ``frame`` is shown with.
        frame: The frame that ``value_*`` and the picture belong to.
        display_png: Where the picture was written, if it was asked for.
        notes: What was assumed, such as a missing transfer syntax.
    """

    kind: str
    reason: str = ""
    format: str = ""
    rows: int | None = None
    columns: int | None = None
    frames: int | None = None
    photometric: str = ""
    transfer_syntax: str = ""
    stored_min: float | None = None
    stored_max: float | None = None
    stored_mean: float | None = None
    value_min: float | None = None
    value_max: float | None = None
    window_center: float | None = None
    window_width: float | None = None
    frame: int | None = None
    display_png: str | None = None
    notes: tuple[str, ...] = ()


SEVERITIES: Final = ("high", "medium", "low", "info")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that the audit found.

    Attributes:
        id: Row id in the project; 0 before it is stored.
        kind: What was found, such as ``exact_duplicates`` or ``shortcut``.
        key: Tells this finding from others of its kind from one audit to the next, so that what
            the user accepted stays accepted.
        severity: ``high``: results would be wrong; ``medium``: they may be; ``low``: worth a look;
            ``info``: good to know.
        n: Images concerned.
        sentence: The finding in plain words, with its figures.
        advice: What to do about it, one sentence.
        records: Images concerned.
        pairs: Pairs of images to be seen side by side, the most alike first.
        figures: Numbers of the sentence by name, such as ``auroc``, ``auroc_low``.
        remedy: Key of the change that one click makes; empty where there is none.
        remedy_records: Images that the remedy changes.
        note: Why the user accepted it; None while it is open.
    """

    id: int = 0
    kind: str
    key: str
    severity: Annotated[str, OneOf(*SEVERITIES)]
    n: int
    sentence: str
    advice: str = ""
    records: tuple[int, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()
    figures: dict[str, float] = field(default_factory=dict)
    remedy: str = ""
    remedy_records: tuple[int, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What an audit found, the worst first.

    Attributes:
        checks: Names of the checks that were made, with the reason why one could not be.
        data_digest: Of the data that was looked at.
    """

    findings: tuple[Finding, ...]
    n_images: int
    checks: dict[str, str]
    data_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeidentifyResult:
    """What was copied without identifiers.

    Attributes:
        skipped: Originals that aren't DICOM or couldn't be read, with the reason.
    """

    out: str
    n_images: int
    n_skipped: int
    skipped: tuple[SkippedFile, ...]
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
        is_resumable: Whether it can be continued; if something has changed, only when asked for.
        changes: What has changed since it was cut off, in sentences; only of one that was.
        looks: How often the test set has been looked at with this run.
        findings: What it learned, in a project with several findings an image: one of them or, at
            once, several; empty elsewhere, and while that isn't known.
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
    changes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


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
    """One evaluated image: record id, reference class index, class probabilities.

    Attributes:
        findings: Of several findings at once their reference: 1 present, 0 absent, -1 unknown;
            ``label`` is -1 then, and the probabilities are of presence, each by itself.
    """

    record: int
    label: int
    probabilities: tuple[float, ...]
    findings: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RocCurve:
    """Points of a receiver operating characteristic, from (0, 0) to (1, 1)."""

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    thresholds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingResult:
    """One of several findings that were learned at once, on the test images where it is known.

    Attributes:
        result: As if this finding had been learned alone, without the ``cases``, which are those
            of the whole result (``engine.contract.targets.one_finding`` puts them together).
        n_present: Test images that show it; ``n_absent`` and ``n_unknown`` likewise.
        average_precision: Precision averaged over recall; a useless classifier gets the share of
            images that show the finding.
        brier: Mean squared distance of the probability from what was there; 0 is best.
        calibration_error: Mean gap between probability and observed share in 15 equal bins.
    """

    name: str
    result: EvaluationResult
    n_present: int
    n_absent: int
    n_unknown: int
    average_precision: Estimate
    brier: float
    calibration_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """Results on the test set, with everything the window needs to draw them.

    Of several findings at once the numbers are means over the findings, ``confusion`` is empty, and
    ``per_class`` has a row a finding, at that finding's own threshold.

    Attributes:
        auroc: Two classes: of the positive one. More: macro one-vs-rest. ``auroc_low`` and
            ``auroc_high`` bound the 95 % bootstrap interval over patients.
        threshold: Probability of the positive class from which an image counts as positive, from
            Youden's index on validation; None above two classes (the largest probability wins).
        classes: Class names in index order.
        positive: Name of the positive class when there are two.
        confusion: Rows are the reference, columns the prediction.
        looks: How often the test set has now been looked at with this run.
        intervals: 95 % bootstrap intervals by metric name; of grades also ``weighted_kappa``.
        roc: Test ROC of each class (two classes: of the positive one alone).
        val_roc: The same on validation, where the threshold was chosen.
        cases: Every evaluated test image.
        findings: Of several findings at once, each one's own results.
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
    findings: tuple[FindingResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRefit:
    """How good a linear probe on the present labels is; nothing of it is kept.

    Attributes:
        val_auroc: Of the positive class; above two classes the mean of one against the rest.
        seconds: Time it took, the description of images that had none included.
        doubted: At most 50 training and validation images whose label contradicts what others of
            their kind say, the surest first.
    """

    val_auroc: float
    n_train: int
    n_val: int
    seconds: float
    doubted: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackPoint:
    """The same images under changes of one strength, each number with its 95 % interval.

    Attributes:
        epsilon_255: Largest change of a grey value, in steps of 8-bit grey; 0 is unchanged.
        accuracy: Share that is still called right in the worst case that was found.
        auroc: With every image changed to its own disadvantage.
        one_step: Share that is right after a single step along the gradient.
        noise: Share that is right when every grey value goes up or down by this much at random.
    """

    epsilon_255: float
    accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate
    auroc: Estimate
    one_step: float
    noise: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptionPoint:
    """The same images after one everyday degradation.

    Attributes:
        kind: ``noise``, ``blur``, ``resolution``, ``contrast``, ``exposure``, ``jpeg`` or
            ``rotation``.
        severity: From 1, slight, to 5, severe.
        level: How strong that is, in words.
    """

    kind: str
    severity: int
    level: str
    auroc: Estimate
    accuracy: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskingCheck:
    """One sign by which an attack that failed can be told from a network that withstood it.

    Attributes:
        key: ``gradient``, ``one_step``, ``noise``, ``large_change`` or ``without_gradient``.
        sentence: What was compared, with its figures.
    """

    key: str
    is_passed: bool
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRobustness:
    """One of several findings under the changes of a :class:`RobustnessResult`.

    A worst case is one change that is sought for all known findings of an image together; one that
    is sought for a single finding can do more to it.

    Attributes:
        threshold: From which probability it counts as present; locked on validation.
        n_present: Measured images that show it.
        n_absent: Measured images that are without it.
        attacks: By strength, from 0, on the images of which it is known.
        corruptions: By kind, then severity, likewise.
    """

    name: str
    threshold: float
    n_present: int
    n_absent: int
    attacks: tuple[AttackPoint, ...]
    corruptions: tuple[CorruptionPoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustnessResult:
    """How a finished run bears changed images: worst cases, and what happens by accident.

    Of several findings at once ``attacks`` and ``corruptions`` hold the means over the findings.

    Attributes:
        split: ``val`` or ``test``: where the images are from.
        threshold: As in :class:`EvaluationResult`; locked on validation.
        n_steps: Gradient steps from each start of the attack.
        attacks: By strength, from 0.
        corruptions: By kind, then severity. Empty if they weren't asked for.
        checks: Signs of masked gradients that were looked for; empty for a network that says the
            same about every image.
        is_masking_suspected: Whether a sign was found: the true worst case may be worse.
        skill_kept: Mean over all corruptions of ``AUROC - 1/2``, relative to unchanged images; NaN
            without corruptions, or if there was no skill.
        looks: How often the test set has now been looked at with this run; 0 for validation.
        sentences: The results in plain words.
        findings: Each finding's own, where several were learned at once.
    """

    run: str
    split: str
    n_images: int
    n_patients: int
    classes: tuple[str, ...]
    positive: str | None
    threshold: float | None
    n_steps: int
    attacks: tuple[AttackPoint, ...]
    corruptions: tuple[CorruptionPoint, ...] = ()
    checks: tuple[MaskingCheck, ...] = ()
    is_masking_suspected: bool = False
    skill_kept: float
    seconds: float
    looks: int = 0
    sentences: tuple[str, ...] = ()
    findings: tuple[FindingRobustness, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMatch:
    """A class of a classifier that stands for one of the project's; several may for the same.

    Attributes:
        theirs: Class name in the bundle.
        own: Class name in the project.
    """

    theirs: str
    own: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRow:
    """One image the bundle was applied to.

    Attributes:
        path: As given by the user; belongs in the user's own table only.
        patient: Pseudonym, numbered afresh for each table.
        label: Predicted class name; of findings those that are present, with ``|`` between them, or
            "No Finding".
        findings: Of findings, which count as present, in the order of the classes.
        frame: Frame, page, slice or item of a file that gave several images, from 0; else None.
        unusual: Share of the classifier's own validation images that are more like its training
            images than this one, in [0, 1]; None if the bundle doesn't know.
    """

    path: str
    patient: str
    label: str
    probabilities: tuple[float, ...]
    findings: tuple[bool, ...] = ()
    frame: int | None = None
    unusual: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionResult:
    """What applying a bundle gave.

    Attributes:
        thresholds: Of findings, the probability from which each counts as present; empty for
            classes of which an image has one.
        notes: Plain sentences on the images as a whole.
        warnings: Sentences that make the table unfit for use as it is.
    """

    out: str
    n_images: int
    n_skipped: int
    skipped: tuple[SkippedFile, ...]
    classes: tuple[str, ...]
    thresholds: tuple[float, ...] = ()
    rows: tuple[PredictionRow, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """A device that can compute, or could if something were mended.

    Attributes:
        key: Its kind: ``cpu``, ``cuda`` or ``mps``.
        index: Its number among those of its kind, from 0.
        problem: Why it can't be used.
        remedy: What to do about that.
        capability: Compute capability of an NVIDIA card, such as ``8.6``; empty if unknown.
        driver: Version of its driver; empty if unknown.
    """

    key: str
    name: str
    memory_mb: int
    is_usable: bool
    problem: str = ""
    remedy: str = ""
    index: int = 0
    capability: str = ""
    driver: str = ""

    @property
    def id(self) -> str:
        """What torch calls it: ``cpu``, ``cuda:0``, ``mps``."""
        return f"{self.key}:{self.index}" if self.key == "cuda" else self.key


Plain = dict[str, Any]
