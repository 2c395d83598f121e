"""Cards of the ways to adapt a network, and of how long to take, in plain language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCard:
    """A way of adapting a backbone."""

    key: str
    title: str
    advice: str
    how: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetCard:
    """A choice of how long to train."""

    key: str
    title: str
    advice: str


METHODS: Final[tuple[MethodCard, ...]] = (
    MethodCard(
        key="linear_probe",
        title="Linear probe",
        advice="Done in seconds. Use it first, and when there are few images.",
        how="The pre-trained network stays as it is and describes each image once; only a simple "
        "decision layer on top is fitted, its strength chosen on the validation images.",
        reference="Alain and Bengio, Understanding intermediate layers, ICLR Workshop 2017",
    ),
    MethodCard(
        key="full_finetune",
        title="Full fine-tuning",
        advice="The usual choice from a few hundred images on; takes minutes.",
        how="Every layer is adapted to your images, earlier layers more gently than later ones, "
        "starting from a fitted decision layer so that what was pre-trained isn't spoilt.",
        reference="Kumar et al., Fine-Tuning can Distort Pretrained Features, ICLR 2022; "
        "Howard and Ruder, ULMFiT, ACL 2018",
    ),
)

PRESETS: Final[tuple[PresetCard, ...]] = (
    PresetCard(
        key="quick",
        title="Quick",
        advice="A first answer in under a minute: a simple decision layer on pre-trained features.",
    ),
    PresetCard(
        key="standard",
        title="Standard",
        advice="Adapts the whole network, up to 8 passes over the images.",
    ),
    PresetCard(
        key="thorough",
        title="Thorough",
        advice="Up to 40 passes and averaged predictions; for the final classifier.",
    ),
)


def method_card(key: str) -> MethodCard | None:
    """Return the card of a method, or None if there is none of that key."""
    return next((card for card in METHODS if card.key == key), None)
