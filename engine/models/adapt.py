"""Library networks taken apart: the body that is kept, the head that goes, the first layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Final

import torch
from torch import Tensor, nn

from engine.contract.backbones import BACKBONES, TIMM, BackboneCard, backbone_card
from engine.contract.errors import ConfigError
from engine.models.body import Body, make_body
from engine.models.layouts import LAYOUTS
from engine.models.timm_nets import LITE0_BLOCKS, LITE1_BLOCKS, build_timm, rename_lite
from engine.models.torchvision_nets import build_torchvision, rename_densenet

_RENAMES: Final[dict[str, Callable[[str], str]]] = {
    "efficientnet_lite0": partial(rename_lite, n_blocks=LITE0_BLOCKS),
    "efficientnet_lite1": partial(rename_lite, n_blocks=LITE1_BLOCKS),
    "efficientnet_lite2": partial(rename_lite, n_blocks=LITE1_BLOCKS),
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


def library_network(card: BackboneCard, *, drop_path: float = 0.0) -> nn.Module:
    """Return the library's own network, random weights, with its original head.

    Args:
        card: Which one.
        drop_path: Largest probability of skipping a block in training, reached at the last one;
            only for those that have stochastic depth.
    """
    build = build_timm if card.library == TIMM else build_torchvision
    return build(card.builder, drop_path if card.has_drop_path else 0.0)


@cache
def outline_network(card: BackboneCard) -> nn.Module:
    """Return the library's own network without memory for its tensors; not to be changed."""
    try:
        with torch.device("meta"):
            return library_network(card)
    except NotImplementedError:  # RegNet works out its widths with tensors
        return library_network(card).to("meta")


def head_names(card: BackboneCard) -> tuple[str, ...]:
    """Return the names of the direct children that make the library network's head."""
    return LAYOUTS[card.key].heads


def body_of(card: BackboneCard, network: nn.Module) -> Body:
    """Return what comes before pooling and head, under the library's tensor names.

    Where the head has a hidden layer (MobileNets), the body ends before it.
    """
    return make_body(network, LAYOUTS[card.key])


@cache
def tap_widths(key: str) -> tuple[int, ...]:
    """Return the channels at each place where a backbone's features are taken."""
    card = find_card(key)
    body = body_of(card, outline_network(card)).eval()
    widths: dict[str, int] = {}
    with torch.device("meta"), torch.no_grad():
        x = torch.empty(1, 3, card.input_px, card.input_px)
        for name in (name for names in body.layout.stages for name in names):
            x = body.step(name, x)
            widths[name] = body.as_maps(x).shape[1]
    return tuple(widths[name] for name in body.layout.taps)


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """Names and shapes of a library network's tensors, divided at the head.

    Attributes:
        first_layer: Weight of the first convolution.
        optional: Whole numbers, such as counters of batch norms, which older files lack.
        positions: Name of the position embedding, if there is one.
        n_body_parameters: Numbers in the body's tensors.
    """

    body: dict[str, tuple[int, ...]]
    head: dict[str, tuple[int, ...]]
    optional: frozenset[str]
    first_layer: str
    positions: str | None
    n_body_parameters: int


@cache
def tensor_plan(key: str) -> TensorPlan:
    """Return which tensors a weights file for a backbone holds.

    Raises:
        ConfigError: If there is no such backbone.
    """
    card = find_card(key)
    state = outline_network(card).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    prefixes = tuple(f"{name}." for name in head_names(card))
    whole = frozenset(name for name, tensor in state.items() if not tensor.is_floating_point())
    head = {n: s for n, s in shapes.items() if n.startswith(prefixes) and n not in whole}
    body = {n: s for n, s in shapes.items() if not n.startswith(prefixes) and n not in whole}
    return TensorPlan(
        body=body,
        head=head,
        optional=whole,
        first_layer=LAYOUTS[key].first,
        positions="pos_embed" if "pos_embed" in body else None,
        n_body_parameters=sum(math.prod(shape) for shape in body.values()),
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
