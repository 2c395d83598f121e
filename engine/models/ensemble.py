"""Several networks as one: the mean of their probabilities.

References:
    Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation
    using Deep Ensembles", NeurIPS 2017.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.contract.backbones import BackboneCard
from engine.contract.targets import SIGMOID
from engine.models.network import Network

_PREFIX: Final = "members"


class EnsembleNetwork(nn.Module):
    """Networks for the same classes and the same images whose probabilities are averaged.

    Returns the logarithm of the mean probability as the logits, ``(N, K)`` float32: their softmax
    is that mean, so an ensemble stands wherever a network does. Of findings it returns the mean's
    log-odds, whose sigmoid it is.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        """Prepare.

        Args:
            networks: At least one, with equally many classes.

        Raises:
            ValueError: If there is none, or their classes differ in number or kind.
        """
        super().__init__()
        kinds = {(network.n_classes, network.activation) for network in networks}
        if len(kinds) != 1:
            raise ValueError("an ensemble needs networks for the same classes")
        self.members = nn.ModuleList(networks)

    def networks(self) -> Iterator[Network]:
        """Yield the networks in their order."""
        for network in self.members:
            assert isinstance(network, Network)
            yield network

    @property
    def first(self) -> Network:
        """The first network, whose description of an image stands for all."""
        return next(self.networks())

    @property
    def card(self) -> BackboneCard:
        """Facts about the first network's backbone."""
        return self.first.card

    @property
    def head(self) -> nn.Linear:
        """The first network's decision layer."""
        return self.first.head

    @property
    def n_features(self) -> int:
        """Width of what that sees."""
        return self.first.n_features

    @property
    def n_classes(self) -> int:
        """Number of logits."""
        return self.first.n_classes

    @property
    def activation(self) -> str:
        """What turns logits into probabilities, as of each network."""
        return self.first.activation

    @property
    def feature_kind(self) -> str:
        """What the first network's head sees."""
        return self.first.feature_kind

    def forward(self, images: Tensor) -> Tensor:
        """Return the logarithm, or the log-odds, of the mean probabilities, ``(N, K)`` float32."""
        if self.activation == SIGMOID:
            return self._mean_log_odds(images)
        each = torch.stack([network(images).float().log_softmax(1) for network in self.networks()])
        return each.logsumexp(dim=0) - math.log(len(self.members))

    def _mean_log_odds(self, images: Tensor) -> Tensor:
        # In logarithms: a mean that float32 rounds to 1 would have no odds.
        logits = torch.stack([network(images).float() for network in self.networks()])
        present = F.logsigmoid(logits).logsumexp(dim=0)
        return present - F.logsigmoid(-logits).logsumexp(dim=0)


def member_tensors(tensors: dict[str, Tensor], number: int) -> dict[str, Tensor]:
    """Return one network's tensors from those of an ensemble, under their own names."""
    prefix = f"{_PREFIX}.{number}."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
