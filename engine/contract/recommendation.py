"""What to try first with a project: stated rules, each with its reason.

The rules follow the table of ``python -m tests.speed.methods``, read on validation images alone.
What that table doesn't tell is said in the notes of a recommendation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from engine.contract.backbones import backbone_card, size_error
from engine.contract.config import ExperimentConfig, ImageContract, preset_config
from engine.contract.imbalance import findings_advice, imbalance_advice
from engine.contract.methods import FEW_OF_A_CLASS, method_card
from engine.contract.size_advice import SMALL_IMAGE_PX, size_advice
from engine.contract.training_time import Pace, expected_pace, rough_time, training_seconds

DEFAULT_BACKBONE: Final = "efficientnet_lite0"
HEAD_ONLY: Final = "linear_probe"
WHOLE: Final = "full_finetune"

MANY_IMAGES: Final = 1000
"""From so many training images on, full fine-tuning pays."""
ENOUGH_IMAGES: Final = 500
"""From so many on it pays where a linear probe leaves something to gain; measured with 699."""
GOOD_AUROC: Final = 0.99
"""From this validation AUROC of a linear probe on, there is nothing to gain with few images."""
_MOST_UNEQUAL: Final = 3.0
"""The largest class of the measured sets has so many times the images of the smallest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTraining:
    """How long a training of this project took, against what was expected of it.

    Attributes:
        backbone: Its key.
        method: Its key.
        device: Where it computed.
        slowness: So many times as long as expected.
        machine: Name of the processor or graphics card; empty if that isn't known.
        size_px: Side of its images; 0 if that isn't known.
        images_per_s: Images learned from a second; 0 if that isn't known.
        memory_mb: Memory of the training, in MiB; 0 if that isn't known.
    """

    backbone: str
    method: str
    device: str
    slowness: float
    machine: str = ""
    size_px: int = 0
    images_per_s: float = 0.0
    memory_mb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupFacts:
    """What a recommendation depends on.

    Attributes:
        n_train: Training images of each class; of all usable ones the usual share while there is
            no split. Of several findings learned at once, those that show each.
        n_images: Training images, where an image may count for several classes or for none.
        n_val: Validation images.
        task: ``single``, ``multi`` or ``ordinal``.
        image_px: Median shorter side of the original images.
        size_px: Side of the images that networks see in this project.
        device: ``cpu``, ``cuda`` or ``mps``.
        threads: Processor cores that a run may use.
        minutes: Most time that training may take; None if that doesn't matter.
        probe_auroc: Validation AUROC of a linear probe that was tried here; None without one.
        weights: By backbone key, where its weights are: ``embedded``, ``added`` or ``missing``.
        past: Trainings of this project, the newest first.
        cautions: What its images don't let anybody learn or measure, in sentences.
    """

    n_train: tuple[int, ...]
    n_images: int | None = None
    n_val: int = 0
    task: str = "single"
    image_px: int = 512
    size_px: int = ImageContract().size_px
    device: str = "cpu"
    threads: int = 1
    minutes: float | None = None
    probe_auroc: float | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    past: tuple[PastTraining, ...] = ()
    cautions: tuple[str, ...] = ()

    @property
    def smallest(self) -> int:
        """Training images of the smallest class."""
        return min(self.n_train, default=0)

    @property
    def is_small(self) -> bool:
        """Whether the originals are tiny pictures."""
        return 0 < self.image_px <= SMALL_IMAGE_PX

    @property
    def total(self) -> int:
        """All training images."""
        return sum(self.n_train) if self.n_images is None else self.n_images


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One recommended setting.

    Attributes:
        value: As the settings take it.
        why: One sentence for people.
    """

    value: str | int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What to try first.

    Attributes:
        backbone: Key of a backbone.
        method: Key of a method.
        size_px: Side of the images that the network sees.
        preset: How long to train.
        imbalance: What is done about classes of unequal size; as ``LossConfig.imbalance``.
        minutes: At most about how long training will take.
        notes: What its images don't let anybody learn or measure, and what the measurements behind
            these rules don't tell about this project.
    """

    backbone: Choice
    method: Choice
    size_px: Choice
    preset: Choice
    imbalance: Choice
    minutes: float
    notes: tuple[str, ...] = ()

    def config(self, *, seed: int = 0, image: ImageContract | None = None) -> ExperimentConfig:
        """Return the recommended settings, on the project's image contract."""
        settings = preset_config(
            str(self.preset.value),
            backbone=str(self.backbone.value),
            method=str(self.method.value),
            seed=seed,
            image=replace(image or ImageContract(), size_px=int(self.size_px.value)),
        )
        return replace(settings, loss=replace(settings.loss, imbalance=str(self.imbalance.value)))


def recommend_setup(facts: SetupFacts) -> Recommendation:
    """Return what to try first with a project of these facts; the same facts, the same answer."""
    backbone = _backbone(facts)
    size = _size(facts, str(backbone.value))
    facts = replace(facts, size_px=int(size.value))
    method = _method(facts, str(backbone.value))
    preset = preset_advice(facts, str(method.value), str(backbone.value))
    return Recommendation(
        backbone=backbone,
        method=method,
        size_px=size,
        preset=preset,
        imbalance=_imbalance(facts),
        minutes=estimated_minutes(facts, str(method.value), str(preset.value), str(backbone.value)),
        notes=_notes(facts, str(method.value)),
    )


def estimated_minutes(
    facts: SetupFacts, method: str, preset: str, backbone: str = DEFAULT_BACKBONE
) -> float:
    """Return at most about how long a training with a preset takes."""
    return estimated_seconds(facts, preset_config(preset, method=method, backbone=backbone)) / 60


def estimated_seconds(facts: SetupFacts, config: ExperimentConfig) -> float:
    """Return at most about how long a training of a project takes with certain settings."""
    return training_seconds(config, facts.total, facts.n_val, training_pace(facts, config))


def training_pace(facts: SetupFacts, config: ExperimentConfig) -> Pace:
    """Return how long an image takes with certain settings: as earlier trainings here showed."""
    pace = expected_pace(facts.device, facts.threads, facts.size_px)
    alike = [
        past
        for past in facts.past
        if (past.backbone, past.device) == (config.backbone.key, facts.device)
    ]
    same = next((past for past in alike if past.method == config.method.key), None)
    if same is not None:
        return pace.times(same.slowness)
    # Some methods take several times as long an image, which isn't expected of them.
    return pace.times(min(past.slowness for past in alike)) if alike else pace


def _backbone(facts: SetupFacts) -> Choice:
    card = backbone_card(DEFAULT_BACKBONE)
    title = card.title if card is not None else DEFAULT_BACKBONE
    if facts.weights.get(DEFAULT_BACKBONE, "embedded") != "missing":
        why = f"{title} is small and fast, and its pre-trained weights are built in."
        return Choice(value=DEFAULT_BACKBONE, why=why)
    for key, state in facts.weights.items():
        other = backbone_card(key)
        if state != "missing" and other is not None:
            why = f"{other.title} has pre-trained weights here, and {title} has none."
            return Choice(value=key, why=why)
    why = f"No backbone has pre-trained weights here; {title} is the smallest to start with."
    return Choice(value=DEFAULT_BACKBONE, why=why)


def _method(facts: SetupFacts, backbone: str) -> Choice:
    if (why := _why_head_only(facts)) is not None:
        return Choice(value=HEAD_ONLY, why=why)
    if facts.minutes is not None:
        needed = estimated_minutes(facts, WHOLE, "standard", backbone)
        if needed > facts.minutes:
            why = (
                f"Full fine-tuning would take about {rough_time(60 * needed)} at most, more than "
                f"the {rough_time(60 * facts.minutes)} there are."
            )
            return Choice(value=HEAD_ONLY, why=why)
    if facts.total >= MANY_IMAGES:
        why = "There are enough training images to adapt the network to them."
    elif facts.total >= ENOUGH_IMAGES:
        why = (
            "A linear probe left something to gain, and there are enough training images to adapt "
            "the network to them."
        )
    else:
        why = "Such small images are unlike what the network knows, so adapting it pays early."
    return Choice(value=WHOLE, why=why)


def _why_head_only(facts: SetupFacts) -> str | None:
    """Return why a decision layer is to be tried before full fine-tuning, or None."""
    is_candidate = facts.is_small or facts.total >= ENOUGH_IMAGES
    if is_candidate and facts.n_train and facts.smallest < FEW_OF_A_CLASS:
        images = "training image" if facts.smallest == 1 else "training images"
        return f"The smallest class has {facts.smallest} {images}, too few to adapt a network to."
    if facts.total >= MANY_IMAGES:
        return None
    if not facts.is_small and facts.total < ENOUGH_IMAGES:
        return (
            f"With fewer than {ENOUGH_IMAGES:,} training images, full fine-tuning takes many times "
            "as long and was not measurably better."
        )
    if facts.probe_auroc is None:
        return (
            "It takes seconds, and its result on the validation images tells whether full "
            "fine-tuning is worth while."
        )
    if facts.probe_auroc < GOOD_AUROC:
        return None
    return (
        "Its result on the validation images leaves nothing to gain by full fine-tuning, which "
        "takes many times as long."
    )


def preset_advice(facts: SetupFacts, method: str, backbone: str = DEFAULT_BACKBONE) -> Choice:
    """Return how long to train with a method that is chosen already."""
    if method == HEAD_ONLY:
        return Choice(value="quick", why="A decision layer alone is fitted in seconds.")
    card = method_card(method)
    if card is not None and not card.has_passes:
        why = f"{card.title} makes no passes over the images, so every preset learns the same."
        return Choice(value="quick", why=why)
    if facts.minutes is not None:
        needed = estimated_minutes(facts, method, "thorough", backbone)
        if needed <= facts.minutes:
            why = "The time allows for it: more passes, and predictions averaged over moved copies."
            return Choice(value="thorough", why=why)
    if card is not None and not card.may_stop_early:
        why = "More passes take as many times as long: with this method training makes all of them."
        return Choice(value="standard", why=why)
    return Choice(value="standard", why="Training stops by itself when it no longer gets better.")


def _size(facts: SetupFacts, backbone: str) -> Choice:
    card = backbone_card(backbone)
    if card is None:
        why = f"The images of this project were prepared at {facts.size_px} px."
        return Choice(value=facts.size_px, why=why)
    wanted, why = size_advice(card, size_px=facts.size_px, image_px=facts.image_px)
    is_usable = size_error(card, facts.size_px) is None
    if wanted > facts.size_px and is_usable and (short := _why_not_larger(facts, wanted, backbone)):
        return Choice(value=facts.size_px, why=short)
    return Choice(value=wanted, why=why)


def _why_not_larger(facts: SetupFacts, size_px: int, backbone: str) -> str | None:
    """Return why there is no time for more pixels: for what fits as the images are now, or None."""
    if facts.minutes is None:
        return None
    method = str(_method(facts, backbone).value)
    preset = "quick" if method == HEAD_ONLY else "standard"
    needed = estimated_minutes(replace(facts, size_px=size_px), method, preset, backbone)
    if needed <= facts.minutes:
        return None
    card = method_card(method)
    return (
        f"At {size_px} px, {card.title.lower() if card else method} would take about "
        f"{rough_time(60 * needed)} at most, more than the {rough_time(60 * facts.minutes)} there "
        "are."
    )


def _imbalance(facts: SetupFacts) -> Choice:
    if facts.n_images is None:
        choice, why = imbalance_advice(facts.n_train)
    else:
        choice, why = findings_advice(facts.n_train, facts.n_images)
    return Choice(value=choice, why=why)


def shortage(facts: SetupFacts, method: str) -> str | None:
    """Return what to tell someone who chose a method that these images are too few for, or None."""
    card = method_card(method)
    if card is None or not facts.n_train or facts.smallest >= card.least_of_a_class:
        return None
    kind = "class" if facts.n_images is None else "finding"
    return (
        f"{card.title} needs about {card.least_of_a_class} training images of each {kind}, and the "
        f"rarest {kind} has {facts.smallest}. Add images, or take what is recommended."
    )


def _notes(facts: SetupFacts, method: str) -> tuple[str, ...]:
    notes = list(facts.cautions)
    if facts.task == "multi":
        notes.append("The rules were measured with one class an image, not with findings.")
    if facts.task == "ordinal":
        notes.append("The rules were measured with unordered classes, not with grades.")
    if facts.device != "cpu":
        notes.append("The times are estimates: they were measured on processors only.")
    if facts.total > MANY_IMAGES:
        notes.append("The rules were measured with up to 1,000 training images.")
    if len(facts.n_train) > 6:
        notes.append("The rules were measured with two to six classes.")
    if max(facts.n_train, default=1) > _MOST_UNEQUAL * max(1, facts.smallest):
        notes.append("The rules were measured with classes up to three times as large as others.")
    return tuple(notes)
