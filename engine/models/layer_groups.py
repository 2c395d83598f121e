"""Each backbone cut into a few stages, earliest first; the same cuts serve every method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from torch import nn

if TYPE_CHECKING:
    from engine.models.network import Network

STAGES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "efficientnet_lite0": (
        ("conv_stem", "bn1", "blocks.0"),
        ("blocks.1",),
        ("blocks.2",),
        ("blocks.3", "blocks.4"),
        ("blocks.5", "blocks.6", "conv_head", "bn2"),
    ),
    "resnet18": (
        ("conv1", "bn1", "relu", "maxpool"),
        ("layer1",),
        ("layer2",),
        ("layer3",),
        ("layer4",),
    ),
    "densenet121": (
        ("features.conv0", "features.norm0", "features.relu0", "features.pool0"),
        ("features.denseblock1", "features.transition1"),
        ("features.denseblock2", "features.transition2"),
        ("features.denseblock3", "features.transition3"),
        ("features.denseblock4", "features.norm5", "relu"),
    ),
    "mobilenet_v3_small": (
        ("features.0", "features.1"),
        ("features.2", "features.3"),
        ("features.4", "features.5", "features.6"),
        ("features.7", "features.8"),
        ("features.9", "features.10", "features.11", "features.12"),
    ),
    "efficientnet_b0": (
        ("features.0", "features.1"),
        ("features.2",),
        ("features.3",),
        ("features.4", "features.5"),
        ("features.6", "features.7", "features.8"),
    ),
    "squeezenet1_0": (
        ("features.0", "features.1", "features.2"),
        ("features.3", "features.4", "features.5", "features.6"),
        ("features.7", "features.8"),
        ("features.9", "features.10", "features.11"),
        ("features.12",),
    ),
}
"""Modules of each body in the order in which they run, by stage."""

TAPS: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    "efficientnet_lite0": (
        ("blocks.1", 24),
        ("blocks.2", 40),
        ("blocks.3", 80),
        ("blocks.4", 112),
        ("blocks.5", 192),
        ("blocks.6", 320),
        ("bn2", 1280),
    ),
    "resnet18": (("layer1", 64), ("layer2", 128), ("layer3", 256), ("layer4", 512)),
    "densenet121": (
        ("features.transition1", 128),
        ("features.transition2", 256),
        ("features.transition3", 512),
        ("relu", 1024),
    ),
    "mobilenet_v3_small": (
        ("features.1", 16),
        ("features.3", 24),
        ("features.6", 40),
        ("features.8", 48),
        ("features.11", 96),
        ("features.12", 576),
    ),
    "efficientnet_b0": (
        ("features.2", 24),
        ("features.3", 40),
        ("features.4", 80),
        ("features.5", 112),
        ("features.6", 192),
        ("features.7", 320),
        ("features.8", 1280),
    ),
    "squeezenet1_0": (
        ("features.4", 128),
        ("features.5", 256),
        ("features.8", 384),
        ("features.10", 512),
        ("features.12", 512),
    ),
}
"""Modules whose output describes an image at one scale, with their channels; the last one last."""


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """Parameters that get one learning rate and are frozen or trained together.

    Attributes:
        name: ``stage 1`` (next to the image), ``stage 2``…, and ``head``.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]


def layer_groups(network: Network) -> list[LayerGroup]:
    """Return all parameters of a network in groups, from the image to the head.

    Each parameter is in exactly one group.
    """
    groups = [
        LayerGroup(f"stage {number}", tuple(_parameters(modules)))
        for number, modules in enumerate(network.stages, start=1)
    ]
    return [*groups, LayerGroup("head", tuple(network.head.parameters()))]


def _parameters(modules: tuple[nn.Module, ...]) -> Iterator[nn.Parameter]:
    for module in modules:
        yield from module.parameters()
