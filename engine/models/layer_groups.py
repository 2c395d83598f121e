"""Each backbone cut into a few stages, earliest first; the same cuts serve every method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from engine.models.network import Network


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
    loose = tuple(network.body.parameters(recurse=False))  # a transformer's, next to the image
    groups = [
        LayerGroup(f"stage {n}", ((loose if n == 1 else ()) + tuple(_parameters(modules))))
        for n, modules in enumerate(network.stages, start=1)
    ]
    return [*groups, LayerGroup("head", tuple(network.head.parameters()))]


def _parameters(modules: tuple[nn.Module, ...]) -> Iterator[nn.Parameter]:
    for module in modules:
        yield from module.parameters()
