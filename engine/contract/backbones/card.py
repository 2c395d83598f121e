"""What is told of a pre-trained network, and which sides of images it can take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.contract.errors import ConfigError

TIMM: Final = "timm"
TORCHVISION: Final = "torchvision"

_IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
_IMAGENET_STD: Final = (0.229, 0.224, 0.225)
HALF: Final = (0.5, 0.5, 0.5)
_IMAGENET: Final = "ImageNet-1k, 1.28 million photographs in 1,000 classes"
IMAGENET_21K: Final = "ImageNet-21k, 14 million photographs in 21,843 classes, then ImageNet-1k"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneCard:
    """A pre-trained network as the model picker shows it.

    Attributes:
        key: Name in configurations, on the command line and in bundles.
        family: Relatives that are shown together.
        library: ``timm`` or ``torchvision``, which builds it.
        builder: The library's own name for it.
        n_parameters: Parameters with the original head, where it has one.
        n_features: Width of the last maps, or of the tokens, that a new head sees.
        input_px: Side of the images that its weights were made with.
        official: The library's name for its weights: a file, or timm's name with its tag.
        mean: Mean that its weights expect, per channel, for values in [0, 1].
        std: Standard deviation, likewise.
        pretrained_on: What its weights have seen.
        licence: SPDX id of the weights.
        size_step_px: Images have a side that is a multiple of this.
        has_drop_path: Whether it was made to train with stochastic depth.
        has_batch_norm: Whether it keeps statistics of what it was trained on.
        is_embedded: Whether the weights ship with RadTune.
        is_featured: Whether it is among the few that the picker shows first.
    """

    key: str
    family: str
    title: str
    advice: str
    library: str
    builder: str
    n_parameters: int
    n_features: int
    official: str
    reference: str
    input_px: int = 224
    mean: tuple[float, float, float] = _IMAGENET_MEAN
    std: tuple[float, float, float] = _IMAGENET_STD
    pretrained_on: str = _IMAGENET
    licence: str = "BSD-3-Clause"
    size_step_px: int = 1
    has_drop_path: bool = False
    has_batch_norm: bool = True
    is_embedded: bool = False
    is_featured: bool = False


def nearest_sizes(card: BackboneCard, size_px: int) -> tuple[int, ...]:
    """Return the sides next to a side that a backbone can take; the side itself if it can."""
    step = card.size_step_px
    below = size_px // step * step
    if below == size_px:
        return (size_px,)
    return (below, below + step) if below else (step,)


def size_error(card: BackboneCard, size_px: int) -> ConfigError | None:
    """Return what to tell someone whose images have a side that a backbone can't take, or None."""
    sizes = nearest_sizes(card, size_px)
    if sizes == (size_px,):
        return None
    return ConfigError(
        f"{card.title} can't take images of {size_px} px: it cuts them into patches of "
        f"{card.size_step_px} px.",
        remedy=f"Choose {' or '.join(str(size) for size in sizes)} px, or another backbone.",
    )
