"""What can be asked of a worker; each command is one job.

Paths are strings, absolute when they come from the window. ``kind`` names a command on the wire
and in ``JobStarted`` / ``JobFinished``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

from engine.contract.config import ExperimentConfig
from engine.contract.errors import ConfigError
from engine.contract.limits import Between, OneOf, check_limits
from engine.contract.records import (
    ColumnMapping,
    FramePolicy,
    LabelRule,
    PatientRule,
    SheetFormat,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeSample:
    """Write the simulated sample study. Result: ``out``, ``n_images``, ``n_patients``."""

    out: str
    n_images: int = 360
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Look at a source before importing it: a folder, or a label sheet. Nothing is written.

    Result: see ``engine.contract.records.SourcePreview``.

    Attributes:
        sheet: How the sheet is to be read.
        columns: Columns of the sheet; empty fields are found.
        label_rule: What the label columns mean.
    """

    source: str
    labels: str | None = None
    patient_pattern: str | None = None
    sheet: SheetFormat = field(default_factory=SheetFormat)
    columns: ColumnMapping = field(default_factory=ColumnMapping)
    label_rule: LabelRule = field(default_factory=LabelRule)


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectFile:
    """Say what one file is and, if it is an image, what it holds. Result: ``FileReport``.

    Attributes:
        frame: Frame from 0; None takes the middle one.
        png: Where to write what a reader sees; None writes nothing.
    """

    file: str
    frame: int | None = None
    png: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Import images into a project, made if need be. Result: ``ScanResult``.

    Attributes:
        source: A folder (or one file) of images.
        labels: A CSV with labels; None looks for one in the folder, else uses class folders.
        sheet: How the sheet is to be read.
        labels_from: Where the classes come from. ``auto``: a sheet that has them, else class
            folders. ``sheet``: a sheet alone. ``folders``: class folders alone; a sheet that is
            named gives patients and the like.
        columns: Columns of the sheet; empty fields are found by name.
        label_rule: What the label columns mean.
        frames: Which frames of files with several are imported.
        positive: Positive class of two; None chooses by name.
    """

    source: str
    project: str
    labels: str | None = None
    labels_from: Annotated[str, OneOf("auto", "sheet", "folders")] = "auto"
    sheet: SheetFormat = field(default_factory=SheetFormat)
    columns: ColumnMapping = field(default_factory=ColumnMapping)
    label_rule: LabelRule = field(default_factory=LabelRule)
    frames: FramePolicy = field(default_factory=FramePolicy)
    patient_rule: PatientRule = field(default_factory=PatientRule)
    positive: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Relabel:
    """Change the labels of images from a sheet that names them. Result: ``RelabelResult``.

    Labels alone are touched: no image is read, added or removed.

    Attributes:
        labels: A sheet as ``Scan`` takes it.
    """

    project: str
    labels: str
    sheet: SheetFormat = field(default_factory=SheetFormat)
    columns: ColumnMapping = field(default_factory=ColumnMapping)
    label_rule: LabelRule = field(default_factory=LabelRule)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportLabels:
    """Write the project's labels as a sheet. Result: ``out``, ``n_images``.

    The sheet has the columns that ``Scan`` finds by name, so that it can be imported again.
    """

    project: str
    out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Look for what ruins classifiers before they are trained. Result: ``AuditReport``."""

    project: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deidentify:
    """Write de-identified copies of DICOM originals. Result: ``DeidentifyResult``.

    Attributes:
        out: Folder to make; refused if it holds anything.
        records: Images to copy; None copies all that aren't excluded.
    """

    project: str
    out: str
    records: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeSplit:
    """Divide the patients into training, validation and test. Result: ``SplitSummary``."""

    project: str
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
    seed: Annotated[int, Between(0, 2**31 - 1)] = 0

    def __post_init__(self) -> None:
        """Check the seed and the fractions.

        Raises:
            ConfigError: If one of them can't be used.
        """
        check_limits(self)
        # Written so that NaN fails too.
        if not (min(self.fractions) > 0 and abs(sum(self.fractions) - 1.0) <= 1e-6):
            raise ConfigError(
                "The fractions don't add up to 1, or one of them is not above 0.",
                remedy="Write them like 0.7,0.15,0.15.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """Start a run; answers with the events of a run.

    Attributes:
        finding: In a project with several findings an image, the one to learn from now on; None
            keeps the choice there is.
    """

    project: str
    config: ExperimentConfig
    finding: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Go on with an interrupted run; answers with the events of a run."""

    project: str
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """Look at the test set with a finished run. Result: ``EvaluationResult``."""

    project: str
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Write and verify a bundle. Result: ``bundle``, ``max_difference``, ``n_verified``."""

    project: str
    run: str
    out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Predict:
    """Apply a bundle to a file or folder. Result: ``PredictionResult``."""

    bundle: str
    source: str
    out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAll:
    """The whole main job in one process. Result: that of ``Evaluate`` plus ``seconds``."""

    source: str
    out: str
    labels: str | None = None
    preset: str = "quick"
    backbone: str | None = None
    method: str | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewImage:
    """Write one image at full size and depth as an ``.npy`` for the viewer.

    Result: ``path``, ``window_center``, ``window_width`` (of the values in the file),
    ``is_inverted``.
    """

    project: str
    record: int
    out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddWeights:
    """Recognise a weights file, check it and keep a copy for its backbone.

    Result: ``backbone``, ``name``, ``n_tensors``, ``warnings``.
    """

    file: str
    backbone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """Say what this machine can do. Result: devices, precision, threads, versions."""


Command = (
    MakeSample
    | Preview
    | InspectFile
    | Scan
    | Relabel
    | ExportLabels
    | Audit
    | Deidentify
    | MakeSplit
    | Train
    | Resume
    | Evaluate
    | Export
    | Predict
    | RunAll
    | ViewImage
    | AddWeights
    | Doctor
)

COMMAND_KINDS: Final[dict[str, type[Command]]] = {
    "sample": MakeSample,
    "preview": Preview,
    "inspect": InspectFile,
    "scan": Scan,
    "relabel": Relabel,
    "export_labels": ExportLabels,
    "audit": Audit,
    "deidentify": Deidentify,
    "split": MakeSplit,
    "train": Train,
    "resume": Resume,
    "evaluate": Evaluate,
    "export": Export,
    "predict": Predict,
    "run": RunAll,
    "view": ViewImage,
    "add_weights": AddWeights,
    "doctor": Doctor,
}
KIND_OF: Final = {command: kind for kind, command in COMMAND_KINDS.items()}
DATA_KINDS: Final = frozenset(
    {
        "sample",
        "preview",
        "inspect",
        "scan",
        "relabel",
        "export_labels",
        "deidentify",
        "split",
        "view",
    }
)
"""Kinds that need no torch: they go to the data worker, all others to the run worker."""
RUN_KINDS: Final = frozenset({"train", "resume"})
"""Kinds that answer with the events of a run."""
