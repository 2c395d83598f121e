"""LoRA: the pre-trained weights stay, and each layer learns a change of low rank beside them.

The change of a linear layer is the product of a narrow layer down and one up again; that of a
convolution is a convolution of the same size to a few maps and one of 1 x 1 back up. Both are
linear in the layer's input, so the change can be added to the weight: training computes with the
sum, and what is validated, kept and exported is a plain network. Depthwise and other grouped
convolutions have little to save and stay as they are.

References:
    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022. The split of a
    convolution is that of Jaderberg et al., "Speeding up Convolutional Neural Networks with Low
    Rank Expansions", BMVC 2014, over channels.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from engine.contract.config import ExperimentConfig
from engine.methods.descent import (
    DescentMethod,
    layerwise_groups,
    trained_layers,
    with_refitted_head,
)
from engine.methods.method import MethodContext, ParameterGroup
from engine.models.body import Body
from engine.models.layer_groups import LayerGroup
from engine.models.network import Network
from engine.seeding import step_seed

_RATE: Final = 4.0


class Lora(DescentMethod):
    """Low-rank changes beside frozen layers, and the head."""

    key: ClassVar[str] = "lora"

    def install(self, network: Network, config: ExperimentConfig) -> None:
        """Put a change that is zero at first beside every layer of the stages that are trained."""
        super().install(network, config)
        settings = config.lora
        self._n_weights = sum(p.numel() for p in network.body.parameters())
        self._n_added = 0
        self._plain = copy.deepcopy(network.body)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step_seed(config.seed, "lora"))
            for stage in network.stages[config.method.frozen_stages :]:
                for layer in [m for part in stage for m in part.modules() if _is_adaptable(m)]:
                    change = LowRankChange(_weight_of(layer), settings.rank, settings.scale)
                    parametrize.register_parametrization(layer, "weight", change)
                    self._n_added += change.down.numel() + change.up.numel()

    def parameter_groups(
        self, network: Network, config: ExperimentConfig
    ) -> tuple[ParameterGroup, ...]:
        """Return the changes by layer group, at a higher rate than whole weights, and the head.

        A change is the product of two factors, one of which begins at zero, so that a step moves
        it less than one of the same length moves a weight.
        """
        changes = (m for m in network.body.modules() if isinstance(m, LowRankChange))
        trained = {id(p) for change in changes for p in change.parameters()}
        trained |= {id(p) for p in network.head.parameters()}
        layers = [
            (distance, LayerGroup(g.name, tuple(p for p in g.parameters if id(p) in trained)))
            for distance, g in trained_layers(network, config)
        ]
        head = {id(p) for p in network.head.parameters()}
        return tuple(
            group
            if id(group.parameters[0]) in head
            else replace(group, lr_ratio=group.lr_ratio * _RATE)
            for group in layerwise_groups(layers, config)
        )

    def finish_epoch(self, network: Network, context: MethodContext) -> Network:
        """Return a plain network: the changes added to the weights, the head fitted anew."""
        return with_refitted_head(network, merged(network.body, self._plain), context)

    def summary(self, network: Network) -> dict[str, Any]:
        """Return how many weights were trained in the body.

        Returns:
            ``added``: ``weights`` and their ``share`` of those of the body.
        """
        return {"added": {"weights": self._n_added, "share": self._n_added / self._n_weights}}


class LowRankChange(nn.Module):
    """Turns a weight into itself plus a scaled product of two smaller ones.

    Attributes:
        down: Shape ``(rank, in, ...)``: the layer's own shape with fewer outputs.
        up: Shape ``(out, rank)``, zero at first.
    """

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        rank = min(rank, weight.shape[0], weight[0].numel())
        self.scale = scale
        down = torch.empty(rank, *weight.shape[1:])
        nn.init.kaiming_uniform_(down, a=math.sqrt(5))
        self.down = nn.Parameter(down.to(weight.device))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight; in float32 also under autocast, as it will be kept."""
        with torch.autocast(weight.device.type, enabled=False):
            change = (self.up @ self.down.flatten(1)).view(weight.shape)
            return weight + self.scale * change


@torch.no_grad()
def merged(body: Body, plain: Body) -> Body:
    """Return a copy of a plain body with the weights of a changed one, the changes added to them.

    Args:
        body: With changes beside its weights.
        plain: The same layers without.
    """
    result = copy.deepcopy(plain)
    values = {}
    for name in plain.state_dict():
        layer, _, tensor = name.rpartition(".")
        values[name] = getattr(body.get_submodule(layer), tensor)
    result.load_state_dict(values)
    return result


def _is_adaptable(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        return layer.groups == 1
    return isinstance(layer, nn.Linear)


def _weight_of(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight
