"""Commands on images, labels and splits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from engine.contract.config import ImageContract
from engine.contract.errors import ConfigError
from engine.contract.import_rules import (
    ColumnMapping,
    FramePolicy,
    LabelRule,
    PatientRule,
    SheetFormat,
)
from engine.contract.limits import Between, OneOf, check_limits


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
        size_px: Side of the square image given to networks; None leaves the project's. Images that
            a project has already keep theirs, and give it to those that are added.
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
    size_px: int | None = None

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If the size is outside.
        """
        if self.size_px is not None:
            check_limits(ImageContract(size_px=self.size_px))


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
class PrepareImages:
    """Prepare the images of a project at another size. Result: ``size_px`` and ``n_images``.

    Earlier runs become those of other data, as after any change of the images.

    Attributes:
        size_px: Side of the square image given to networks.
    """

    project: str
    size_px: Annotated[int, Between(32, 1024)]

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If the size is outside.
        """
        check_limits(self)


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
class Audit:
    """Look for what ruins classifiers before they are trained. Result: ``AuditReport``."""

    project: str


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
