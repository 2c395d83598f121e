"""A decision layer for other classes than those it was trained for: each joined to one, or to none.

A classifier for six findings can serve a task of two classes without training: the probability of
each class is the sum over the outputs that were matched to it, and outputs that are "not in my
task" are left out of the sum that makes probabilities add up to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from engine.models.network import Network

NOT_IN_TASK: Final = -1
_GROUP: Final = "head.group"


class MergedHead(nn.Linear):
    """A linear layer whose outputs are joined into fewer classes.

    Attributes:
        group: Class of each output, or :data:`NOT_IN_TASK`; int64 ``(M,)``.
    """

    group: Tensor

    def __init__(self, n_features: int, group: Sequence[int]) -> None:
        """Prepare.

        Args:
            n_features: Width of the features.
            group: Class of each output of the layer that it stands for.

        Raises:
            ValueError: If a class from 0 to the largest has no output.
        """
        super().__init__(n_features, len(group))
        n_classes = max(group, default=NOT_IN_TASK) + 1
        if n_classes < 1 or not set(range(n_classes)) <= set(group):
            raise ValueError(f"classes without an output in {list(group)}")
        self.register_buffer("group", torch.tensor(list(group), dtype=torch.int64))
        self.out_features = n_classes

    def forward(self, features: Tensor) -> Tensor:
        """Return logits of the joined classes, ``(N, K)``: the log of their summed odds."""
        outputs = super().forward(features)
        classes = torch.arange(self.out_features, device=outputs.device)
        is_member = self.group[None, :] == classes[:, None]  # (K, M)
        masked = outputs[:, None, :].masked_fill(~is_member, -torch.inf)
        return masked.logsumexp(dim=2)


def merge_head(network: Network, group: Sequence[int]) -> None:
    """Let a network's decision layer answer for other classes.

    Args:
        network: Changed in place.
        group: Class of each of its outputs, or :data:`NOT_IN_TASK`.

    Raises:
        ValueError: If their number differs, or a class has no output.
    """
    if len(group) != network.n_classes:
        raise ValueError(f"{len(group)} matches for {network.n_classes} outputs")
    head = MergedHead(network.n_features, group).to(network.head.weight.device)
    head.load_state_dict({**network.head.state_dict(), "group": head.group})
    network.head = head


def fit_head_to(network: Network, tensors: Mapping[str, Tensor]) -> None:
    """Give a network the kind of decision layer that saved tensors are of, before they are loaded.

    Raises:
        ValueError: If the tensors' decision layer is for another number of classes.
    """
    if _GROUP not in tensors:
        return
    head = MergedHead(network.n_features, tensors[_GROUP].tolist())
    if head.out_features != network.n_classes:
        raise ValueError(f"{head.out_features} classes, not {network.n_classes}")
    network.head = head.to(network.head.weight.device)
