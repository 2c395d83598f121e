"""What the methods share that hold weights near their pre-trained values.

The pull acts on all of the body, biases and norms included: unlike zero, which weight decay pulls
to and which is no place for the scale of a norm, the pre-trained value is one where every parameter
is known to work. It takes the place of weight decay there. The head is new and has no such value.

The pull is decoupled from the optimizer, as AdamW's decay is: a step of the learning rate times
the strength after each update, in units of the weights, whatever the gradient's scale. Adam moves
a weight by the learning rate at most when its gradient keeps its sign, so a strength of 1 holds
nearly everything and one of 0.1 what moves less than a tenth as steadily.

References:
    Li, Grandvalet and Davoine, "Explicit Inductive Bias for Transfer Learning with Convolutional
    Networks", ICML 2018 (starting-point penalties). Loshchilov and Hutter, "Decoupled Weight Decay
    Regularization", ICLR 2019.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.contract.config import ExperimentConfig
from engine.methods.descent import (
    DescentMethod,
    layerwise_groups,
    trained_layers,
)
from engine.methods.method import MethodContext, ParameterGroup
from engine.methods.strength_choice import strongest_as_good
from engine.models.layer_groups import layer_groups
from engine.models.network import Network

_TRIAL_EPOCHS: Final = 2
_STRENGTH: Final = "anchor_strength"
_PATH: Final = "anchor_path"


@dataclass(frozen=True, kw_only=True, eq=False)
class AnchoredLayer:
    """A layer group of the body.

    Attributes:
        name: Of the group.
        pairs: Parameters as they are and as they were pre-trained, in pairs of equal shape.
        is_trained: Whether they could change; else they were frozen.
    """

    name: str
    pairs: tuple[tuple[Tensor, Tensor], ...]
    is_trained: bool


class AnchoredMethod(DescentMethod, ABC):
    """Fine-tuning with a pull towards the weights that the network was built with."""

    needs_origin: ClassVar[bool] = True
    strengths: ClassVar[tuple[float, ...]]
    """Strengths tried when none is set, weakest first."""

    def install(self, network: Network, config: ExperimentConfig) -> None:
        """Remember the pre-trained weights, and make room for the strength in the saved state.

        The strength lies in buffers of the trained network, which a checkpoint keeps and a
        resumed run gets back; the network that is kept at last is another one without them.
        """
        super().install(network, config)
        self._trained = network
        self._frozen_stages = config.method.frozen_stages
        self._origin = {n: p.detach().clone() for n, p in network.body.named_parameters()}
        given = torch.tensor(config.anchor.strength, dtype=torch.float64)
        tried = torch.zeros(len(self.strengths), 2, dtype=torch.float64)
        device = network.head.weight.device
        if device.type == "mps":  # which has no float64
            device = torch.device("cpu")
        network.register_buffer(_STRENGTH, given.to(device))
        network.register_buffer(_PATH, tried.to(device))

    def prepare(self, network: Network, context: MethodContext) -> None:
        """Fit the head, and choose the strength on validation where none is set."""
        super().prepare(network, context)
        if context.config.anchor.strength > 0 or context.trial is None:
            return
        found: list[NDArray[np.float64]] = []
        for strength in self.strengths:
            if found and context.control.stop_requested:
                break
            stage = f"Trying a pull of {strength:g}"
            anchor = replace(context.config.anchor, strength=strength)
            config = replace(context.config, anchor=anchor)
            found.append(context.trial(config, stage, _TRIAL_EPOCHS))
        data, table = context.data, context.data.table
        chosen, aurocs = strongest_as_good(
            found,
            table.labels[data.val],
            table.groups[data.val],
            positive=table.positive,
            seed=context.config.seed,
        )
        network.get_buffer(_STRENGTH).fill_(self.strengths[chosen])
        for row, pair in enumerate(zip(self.strengths, aurocs, strict=False)):
            network.get_buffer(_PATH)[row] = torch.tensor(pair, dtype=torch.float64)

    def parameter_groups(
        self, network: Network, config: ExperimentConfig
    ) -> tuple[ParameterGroup, ...]:
        """Return the groups of full fine-tuning; in the body the pull replaces weight decay."""
        groups = layerwise_groups(trained_layers(network, config), config)
        in_head = {id(p) for p in network.head.parameters()}
        return tuple(
            group if id(group.parameters[0]) in in_head else replace(group, weight_decay=0.0)
            for group in groups
        )

    @torch.no_grad()
    def after_step(self, network: Network, optimizer: torch.optim.Optimizer) -> None:
        """Pull every trained weight of the body towards its pre-trained value."""
        strength = float(network.get_buffer(_STRENGTH))
        origin = {id(p): self._origin[n] for n, p in network.body.named_parameters()}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if (start := origin.get(id(parameter))) is not None:
                    change = parameter - start
                    parameter.copy_(start + self.pulled(change, group["lr"] * strength))

    @abstractmethod
    def pulled(self, change: Tensor, step: float) -> Tensor:
        """Return what the pull leaves of a change from the pre-trained values.

        Args:
            change: Weights less their pre-trained values.
            step: Learning rate times strength.
        """

    def summary(self, network: Network) -> dict[str, Any]:
        """Return the strength, what was tried for it, and what it did to the weights.

        Returns:
            ``strength``; ``tried``, pairs of strength and validation AUROC, empty where it was
            set; and what :meth:`effect` gives.
        """
        path = self._trained.get_buffer(_PATH).cpu().tolist()
        return {
            "strength": float(self._trained.get_buffer(_STRENGTH)),
            "tried": [pair for pair in path if pair[0] > 0],
            **self.effect(self._anchored_layers(network)),
        }

    @abstractmethod
    def effect(self, layers: Sequence[AnchoredLayer]) -> dict[str, Any]:
        """Return plain facts of how near to their origin weights are held.

        Args:
            layers: The body's, the one next to the image first.
        """

    def _anchored_layers(self, network: Network) -> list[AnchoredLayer]:
        names = {id(p): n for n, p in network.body.named_parameters()}
        found = []
        for number, layer in enumerate(layer_groups(network)):
            pairs = tuple(
                (p.detach(), self._origin[names[id(p)]]) for p in layer.parameters if id(p) in names
            )
            if pairs:
                is_trained = number >= self._frozen_stages
                found.append(AnchoredLayer(name=layer.name, pairs=pairs, is_trained=is_trained))
        return found
