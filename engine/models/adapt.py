"""Library networks taken apart: the body that is kept, the head that goes, the first layer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from engine.contract.backbones import BACKBONES, BackboneCard, backbone_card
from engine.contract.errors import ConfigError
from engine.models.timm_nets import build_timm, rename_lite0
from engine.models.torchvision_nets import build_torchvision, rename_densenet

_POOLS = ("avgpool", "global_pool")
_RENAMES: dict[str, Callable[[str], str]] = {
    "efficientnet_lite0": rename_lite0,
    "densenet121": rename_densenet,
}


def find_card(key: str) -> BackboneCard:
    """Return the card of a backbone.

    Raises:
        ConfigError: If there is none of that key.
    """
    card = backbone_card(key)
    if card is None:
        known = ", ".join(card.key for card in BACKBONES)
        raise ConfigError(f"There is no backbone {key!r}.", remedy=f"Choose one of {known}.")
    return card


def library_network(card: BackboneCard) -> nn.Module:
    """Return the library's own network, random weights, with its 1,000-class head."""
    return build_timm(card.builder) if card.family == "timm" else build_torchvision(card.builder)


def head_name(card: BackboneCard) -> str:
    """Return the name of the library network's head, a direct child of it."""
    return "fc" if card.builder.startswith("resnet") else "classifier"


def body_of(card: BackboneCard, network: nn.Module) -> nn.Sequential:
    """Return what comes before pooling and head, under the library's tensor names.

    Called on ``(N, 3, H, W)`` normalised values it gives the last feature maps, ``(N, F, h, w)``.
    MobileNetV3's classifier has a hidden layer that belongs to its head: its body ends before it.
    """
    dropped = (*_POOLS, head_name(card))
    layers = OrderedDict((n, m) for n, m in network.named_children() if n not in dropped)
    if card.builder.startswith("densenet"):  # applied in forward(), not a layer of its own
        layers["relu"] = nn.ReLU(inplace=True)
    return nn.Sequential(layers)


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """Names and shapes of a library network's tensors, divided at the head.

    Attributes:
        first_layer: Weight of the first convolution.
        optional: Counters of batch norms, which older files lack.
    """

    body: dict[str, tuple[int, ...]]
    head: dict[str, tuple[int, ...]]
    optional: frozenset[str]
    first_layer: str


@cache
def tensor_plan(key: str) -> TensorPlan:
    """Return which tensors a weights file for a backbone holds.

    Raises:
        ConfigError: If there is no such backbone.
    """
    card = find_card(key)
    with torch.device("meta"):  # shapes without memory or initialisation
        network = library_network(card)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    prefix = head_name(card) + "."
    counters = frozenset(name for name in shapes if name.endswith("num_batches_tracked"))
    body = {n: s for n, s in shapes.items() if not n.startswith(prefix) and n not in counters}
    return TensorPlan(
        body=body,
        head={name: shape for name, shape in shapes.items() if name.startswith(prefix)},
        optional=counters,
        first_layer=next(name for name, shape in body.items() if len(shape) == 4),
    )


def rename_for(key: str) -> Callable[[str], str]:
    """Return what turns other names in circulation for a backbone's tensors into the library's."""
    return _RENAMES.get(key, lambda name: name)


def adapt_input_channels(weight: Tensor, n_channels: int) -> Tensor:
    """Return a first layer's weight for another number of input channels.

    The answer to a grey image, repeated over the channels, stays the same: each new channel gets
    the sum over the old ones, divided by the new number.

    Args:
        weight: Shape ``(out, in, k, k)``.
        n_channels: Input channels wanted.
    """
    summed = weight.sum(dim=1, keepdim=True) / n_channels
    return summed.repeat(1, n_channels, 1, 1)
