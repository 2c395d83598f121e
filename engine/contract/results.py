"""What jobs find out: measurements on test images, robustness, predictions."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.contract.records import SkippedFile


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
        n_known: Patients among them that the network learned from before it was trained for this,
            when its backbone was pre-trained or as the classifier that is applied; None if that
            isn't known.
        caution: Which classes have too few patients to tell anything; empty without any.
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
    n_known: int | None = 0
    caution: str = ""


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
        threshold: Of two classes, the probability of the positive one from which an image is
            called that; None of others.
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
    threshold: float | None = None
    thresholds: tuple[float, ...] = ()
    rows: tuple[PredictionRow, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
