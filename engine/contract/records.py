"""What a project holds, as plain facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

from engine.contract.import_rules import ColumnMapping, SheetFormat
from engine.contract.limits import OneOf
from engine.contract.seen_before import SeenBefore

SPLITS: Final = ("train", "val", "test")


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
        weights: What its backbone started from, see ``BackboneConfig``.
        has_saved_state: Whether it goes on from a saved state when continued, not from its start.
        weights_name: What those weights, or the classifier that it applies, are called; empty for
            built-in ones and before ``engine.project.known_patients.with_origins`` has looked.
        seen: Whom its networks learned from before; None before that has looked.
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
    weights: str = "pretrained"
    has_saved_state: bool = True
    weights_name: str = ""
    seen: SeenBefore | None = None
