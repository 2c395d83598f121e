"""What can be asked of a worker; each command is one job.

Paths are strings, absolute when they come from the window. ``kind`` names a command on the wire
and in ``JobStarted`` / ``JobFinished``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

from engine.contract.config import (
    BackboneConfig,
    ExperimentConfig,
    ImageContract,
    RuntimeConfig,
)
from engine.contract.errors import ConfigError
from engine.contract.import_rules import (
    ColumnMapping,
    FramePolicy,
    LabelRule,
    PatientRule,
    SheetFormat,
)
from engine.contract.limits import Between, OneOf, check_limits
from engine.contract.results import ClassMatch


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
        finding: In a project with several findings an image, the one to learn from now on, or
            ``all``; None keeps the choice there is, which is all until one is made.
        bundle: For ``direct_transfer``: folder of the classifier to apply as it is; None uses
            prototypes on the backbone's features.
        matches: Which of that classifier's classes stand for which of the project's; the others
            are not in the task.
        recipe: The ``recipe.json`` of a run to repeat; it takes the place of everything else but
            the project.
    """

    project: str
    config: ExperimentConfig = field(default_factory=ExperimentConfig)
    finding: str | None = None
    bundle: str | None = None
    matches: tuple[ClassMatch, ...] = ()
    recipe: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Go on with an interrupted run; answers with the events of a run.

    Attributes:
        anyway: Whether to go on although something has changed that leaves the run's own images
            as they were: other versions of the program, or images outside its split.
    """

    project: str
    run: str
    anyway: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """Look at the test set with a finished run. Result: ``EvaluationResult``."""

    project: str
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """Attack and degrade images with a finished run. Result: ``RobustnessResult``.

    Attributes:
        split: Where the images are from; ``test`` counts as a look at the test set.
        n_images: Most images; a sample with the classes in their proportions is drawn from more.
        corruptions: Whether everyday degradations are measured too.
    """

    project: str
    run: str
    split: Annotated[str, OneOf("val", "test")] = "val"
    n_images: Annotated[int, Between(10, 2000)] = 200
    corruptions: bool = True

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If a field is outside.
        """
        check_limits(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Write and verify a bundle.

    Result: ``bundle``, ``max_difference``, ``n_verified``, ``weights_bytes``.

    Attributes:
        difference_only: Store only the weights that differ from the pre-trained ones; to be read
            where those are, too.
    """

    project: str
    run: str
    out: str
    difference_only: bool = False


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

    Result of a file: ``backbone``, ``name``, ``fits``, ``share`` of the backbone's parameters that
    are in it, ``n_tensors``, ``n_wanted``, ``missing``, ``misfits``, ``strangers``, ``examples`` of
    them, ``warnings``, ``licence``, ``pretrained_on``, and ``id`` if it was kept. Of a folder:
    ``added`` with a list of these, ``partial`` with those of files that fit in part and were not
    kept, ``refused`` with ``message`` and ``remedy`` of each other one; all with their ``file``.

    Attributes:
        file: The file, or a folder of files.
        backbone: The only backbone that it may fit; for a single file.
        check_only: Only say how well it fits.
        allow_partial: Keep it too if a part of the backbone is missing.
    """

    file: str
    backbone: str | None = None
    check_only: bool = False
    allow_partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListWeights:
    """List the weights that were added. Result: ``weights``, and ``sentences`` for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveWeights:
    """Delete added weights; runs and bundles keep their own. Result: ``removed``."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListBackbones:
    """Describe the catalog. Result: ``backbones``, and ``sentences`` for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendSetup:
    """Say what to try first with a project. Result: ``engine.contract.recommendation``.

    Attributes:
        minutes: Most time that training may take; None if that doesn't matter.
        apply: Whether the project's images are prepared at the recommended size from now on;
            everything else is chosen for each run.
    """

    project: str
    minutes: float | None = None
    apply: bool = False

    def __post_init__(self) -> None:
        """Check the time.

        Raises:
            ConfigError: If it is not above 0.
        """
        if self.minutes is not None and not self.minutes > 0:  # also false for NaN
            raise ConfigError(
                "The time for training must be above 0 minutes.", remedy="Write it like 30."
            )


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
class Pretrain:
    """Train one backbone on several projects. Result: ``engine.contract.pretraining``.

    The same command goes on with one that was interrupted, in whatever order the projects are given
    and whatever the new backbone is to be called.

    Attributes:
        projects: At least two, labelled and divided; their test images are not touched.
        name: What the new backbone is called in the picker.
        backbone: Key of the backbone to start from.
        epochs: Passes over the images of all projects; the best one is kept.
    """

    projects: tuple[str, ...]
    name: str
    backbone: str = BackboneConfig().key
    epochs: Annotated[int, Between(1, 1000)] = 6
    seed: Annotated[int, Between(0, 2**31 - 1)] = 0
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If a field is outside.
        """
        check_limits(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitHead:
    """Fit a decision layer to the present labels, without a run. Result: ``HeadRefit``.

    Attributes:
        backbone: Whose features are used; each image is described once, then they are at hand.
        weights: What the backbone starts from, see ``BackboneConfig``.
        described_only: Whether to fail, instead of describing images that haven't been yet.
    """

    project: str
    backbone: str = BackboneConfig().key
    weights: str = BackboneConfig().weights
    described_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMethods:
    """Say in which ways a network can be adapted. Result: ``methods``, their cards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossval:
    """Cross-validate settings on the training and validation images.

    The same command goes on with one that was interrupted. Result: ``CrossvalResult``. Each fold
    is told in ``JobProgressed.facts["fold"]`` as a ``FoldResult``.
    """

    project: str
    config: ExperimentConfig
    folds: Annotated[int, Between(2, 20)] = 5

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If a field is outside.
        """
        check_limits(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Look for the best settings within a time, by the validation images alone.

    The same command goes on with one that was interrupted. Result: ``SearchResult``. Each trial is
    told in ``JobProgressed.facts["row"]`` as a ``TriedSettings``.

    Attributes:
        config: Where the search starts from; what it doesn't vary stays.
        backbones: Keys, which stand for all of a backbone's weights that are here, or ``file:ID``
            for certain ones; empty takes all.
        methods: Keys; empty takes the usual ones.
    """

    project: str
    minutes: Annotated[float, Between(0.05, 10_000.0)]
    config: ExperimentConfig = field(default_factory=ExperimentConfig)
    backbones: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If a field is outside.
        """
        check_limits(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LrRange:
    """Find a learning rate by letting it rise until training breaks. Result: ``LrRangeResult``.

    Attributes:
        steps: Updates from the lowest rate to the highest.
    """

    project: str
    config: ExperimentConfig
    steps: Annotated[int, Between(20, 2000)] = 120

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If a field is outside.
        """
        check_limits(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Combine:
    """Make a run that averages the probabilities of others. Result: ``EnsembleResult``.

    Attributes:
        runs: Ids of finished runs, at least two; or none and
        crossval: the id of a finished cross-validation, whose folds are averaged.
        test_time_views: Moved copies of each image that are averaged, too.
    """

    project: str
    runs: tuple[str, ...] = ()
    crossval: str = ""
    test_time_views: Annotated[int, Between(1, 16)] = 1

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If a field is outside.
        """
        check_limits(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """Say what this machine can do. Result: devices, precision, threads, versions.

    With checks also ``checks`` (``DeviceCheck``), ``verdict`` and ``sentences`` for people; each
    check is told as it ends in ``JobProgressed.facts["check"]``.

    Attributes:
        check: Whether every device is made to compute, which takes up to a minute or two.
    """

    check: bool = False


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
    | Robustness
    | Export
    | Predict
    | RunAll
    | ViewImage
    | AddWeights
    | ListWeights
    | RemoveWeights
    | ListBackbones
    | RecommendSetup
    | PrepareImages
    | Pretrain
    | Crossval
    | Search
    | LrRange
    | Combine
    | RefitHead
    | ListMethods
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
    "robustness": Robustness,
    "export": Export,
    "predict": Predict,
    "run": RunAll,
    "view": ViewImage,
    "add_weights": AddWeights,
    "list_weights": ListWeights,
    "remove_weights": RemoveWeights,
    "backbones": ListBackbones,
    "recommend_setup": RecommendSetup,
    "prepare_images": PrepareImages,
    "pretrain": Pretrain,
    "crossval": Crossval,
    "search": Search,
    "lr_range": LrRange,
    "ensemble": Combine,
    "refit_head": RefitHead,
    "methods": ListMethods,
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
        "prepare_images",
    }
)
"""Kinds that need no torch: they go to the data worker, all others to the run worker."""
RUN_KINDS: Final = frozenset({"train", "resume"})
"""Kinds that answer with the events of a run."""
RESUMABLE_KINDS: Final = frozenset({"crossval", "pretrain", "run", "search"})
"""Kinds of jobs that go on where they were interrupted when they are asked for again."""
