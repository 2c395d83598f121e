"""Cards of the ways to adapt a network, and of how long to take, in plain language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FEW_OF_A_CLASS: Final = 20
"""No method that changes the backbone was measured with fewer training images of a class."""

_DESCENT: Final = ("method", "augmentation", "optimizer", "loss")
_ALWAYS: Final = ("evaluation", "runtime", "")

NEEDS_WEIGHTS: Final = "{} needs a pre-trained backbone, and this one starts from random weights."
"""Of a method by its title, why it is refused."""
NEEDS_WEIGHTS_REMEDY: Final = (
    "Choose its pre-trained weights or add a weights file, choose another backbone, or use full "
    "fine-tuning."
)


_IN_PASSES: Final = "Adapts the network to your images, in up to {} passes over them."


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCard:
    """A way of adapting a backbone.

    Attributes:
        title: For people.
        advice: When to choose it and what it costs, for someone who doesn't know the field.
        how: What happens, in two sentences.
        reference: Where it was published.
        settings: Stages of ``ExperimentConfig`` that it looks at; "" are those of the run.
        least_of_a_class: Training images that the smallest class should have at least.
        needs_weights: Whether it is refused on a backbone that starts from random weights.
        trial_passes: Passes that it makes beforehand to find out its strength, where none is set.
        learning_times: How many times as long as full fine-tuning it takes to learn from an image.
        ignores: Settings of these stages that it doesn't look at.
        one_way: Of a method without passes over the images, with which all presets learn the
            same: what that is. Empty of others.
    """

    key: str
    title: str
    advice: str
    how: str
    reference: str
    settings: tuple[str, ...] = (*_DESCENT, *_ALWAYS)
    least_of_a_class: int = FEW_OF_A_CLASS
    needs_weights: bool = False
    trial_passes: int = 0
    learning_times: float = 1.0
    ignores: tuple[str, ...] = ()
    one_way: str = ""

    @property
    def has_passes(self) -> bool:
        """Whether it learns in passes over the images, for which a preset says how many."""
        return not self.one_way

    @property
    def may_stop_early(self) -> bool:
        """Whether it ends before its last pass when validation no longer gets better."""
        return self.has_passes and "method.patience" not in self.ignores


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetCard:
    """A choice of how long to train.

    Attributes:
        advice: What it does with a method that makes passes; ``{}`` is how many at most.
    """

    key: str
    title: str
    advice: str


METHODS: Final[tuple[MethodCard, ...]] = (
    MethodCard(
        key="direct_transfer",
        title="Direct transfer",
        advice="No training at all. For a classifier you already have and new images of the same "
        "kind, or as the baseline that every training has to beat.",
        how="A classifier of another task answers as it is, its classes matched to yours. Without "
        "one, an image gets the class whose average description by the network it is nearest to; a "
        "finding is there if images that show it are nearer on average than those without it.",
        reference="Mensink et al., Distance-Based Image Classification, TPAMI 2013; Snell et al., "
        "Prototypical Networks, NeurIPS 2017",
        settings=_ALWAYS,
        least_of_a_class=1,
        one_way="No training: it answers as it is.",
    ),
    MethodCard(
        key="linear_probe",
        title="Linear probe",
        advice="Done in seconds. Use it first, and when there are few images.",
        how="The pre-trained network stays as it is and describes each image once; only a simple "
        "decision layer on top is fitted, its strength chosen on the validation images.",
        reference="Alain and Bengio, Understanding intermediate layers, ICLR Workshop 2017",
        settings=("loss", *_ALWAYS),
        ignores=("loss.label_smoothing",),
        least_of_a_class=1,
        one_way="A first answer in under a minute: a simple decision layer on pre-trained "
        "features.",
    ),
    MethodCard(
        key="full_finetune",
        title="Full fine-tuning",
        advice="The usual choice from a few hundred images on; takes minutes.",
        how="Starting from a fitted decision layer, so that what was pre-trained isn't spoilt, the "
        "network is adapted to your images; only its two stages next to the image, which see edges "
        "and textures, stay as they are. Two settings in the details do more or less of that: with "
        "0 Frozen stages every layer is adapted, and with a Layer decay below 1 earlier layers "
        "learn more gently than later ones.",
        reference="Kumar et al., Fine-Tuning can Distort Pretrained Features, ICLR 2022; "
        "Howard and Ruder, ULMFiT, ACL 2018",
    ),
    MethodCard(
        key="gradual_unfreezing",
        title="Gradual unfreezing",
        advice="A careful form of full fine-tuning. Try it when full fine-tuning is good at first "
        "and gets worse with every pass; it is a little faster.",
        how="The layers next to the decision learn first, since they are the most particular to "
        "what the network was made for; earlier stages join pass by pass, all but those that stay "
        "frozen.",
        reference="Howard and Ruder, Universal Language Model Fine-tuning, ACL 2018",
        settings=(*_DESCENT, "gradual", *_ALWAYS),
    ),
    MethodCard(
        key="soft_threshold",
        title="Soft threshold",
        advice="For when you want to know, and keep small, what your images changed: about as "
        "good as full fine-tuning while most weights stay exactly as they were. Takes about twice "
        "as long, as it finds out how many may stay.",
        how="After every step each weight's distance from its pre-trained value is made a little "
        "smaller, and small distances become exactly zero, so only the weights that your task "
        "needs move. You see how many stayed in each part of the network.",
        reference="Li et al., Explicit Inductive Bias for Transfer Learning, ICML 2018 (L1-SP)",
        settings=(*_DESCENT, "anchor", *_ALWAYS),
        needs_weights=True,
        trial_passes=6,
    ),
    MethodCard(
        key="l2_sp",
        title="Pull to the start (L2-SP)",
        advice="Full fine-tuning on a leash, against learning few images by heart: try it with "
        "some hundred images. Takes about twice as long, as it finds the right strength.",
        how="Every weight that is trained is drawn back towards its pre-trained value, the more "
        "the further it has moved, so the network forgets less of what it knew.",
        reference="Li et al., Explicit Inductive Bias for Transfer Learning, ICML 2018",
        settings=(*_DESCENT, "anchor", *_ALWAYS),
        needs_weights=True,
        trial_passes=6,
    ),
    MethodCard(
        key="lora",
        title="Low-rank changes (LoRA)",
        advice="Changes about a twentieth as many numbers as full fine-tuning. Made for very large "
        "backbones; with small ones full fine-tuning is usually better.",
        how="The pre-trained weights stay, and each layer of the stages that aren't frozen learns "
        "a small correction made of two narrow layers, which is added to its weights at the end.",
        reference="Hu et al., LoRA: Low-Rank Adaptation, ICLR 2022",
        settings=(*_DESCENT, "lora", *_ALWAYS),
        needs_weights=True,
    ),
    MethodCard(
        key="adversarial",
        title="Adversarial training",
        advice="For trials with classifiers that tiny changes of an image can't fool. Needs "
        "hundreds of images a class. Costs some accuracy on ordinary images and about four times "
        "the time; whether it helped, Robustness on the Evaluate page says.",
        how="Beside each image the network learns from the worst version of it that differs by a "
        "few grey levels at most, found anew at every step. It counts for less where it would undo "
        "what was learned.",
        reference="Madry et al., Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018; "
        "Wong et al., Fast is better than free, ICLR 2020",
        settings=(*_DESCENT, "adversarial", *_ALWAYS),
        least_of_a_class=200,
        learning_times=4.0,
        ignores=("method.frozen_stages", "method.patience"),
    ),
)

PRESETS: Final[tuple[PresetCard, ...]] = (
    PresetCard(
        key="quick",
        title="Quick",
        advice=_IN_PASSES,
    ),
    PresetCard(
        key="standard",
        title="Standard",
        advice=_IN_PASSES,
    ),
    PresetCard(
        key="thorough",
        title="Thorough",
        advice="Up to {} passes and averaged predictions; for the final classifier.",
    ),
)


def method_card(key: str) -> MethodCard | None:
    """Return the card of a method, or None if there is none of that key."""
    return next((card for card in METHODS if card.key == key), None)


def advice_of(preset: PresetCard, method: str) -> str:
    """Return what a preset does with a method; ``{}`` in it is how many passes at most."""
    card = method_card(method)
    return preset.advice if card is None or card.has_passes else card.one_way
