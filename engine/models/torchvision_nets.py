"""Backbones that torchvision builds, and the names that older files give to their tensors."""

from __future__ import annotations

import re
from typing import Final

from torch import nn

_DEFAULT_DROP_PATH: Final = 0.2  # torchvision's, in every network that has stochastic depth


def build_torchvision(builder: str, drop_path: float = 0.0) -> nn.Module:
    """Return torchvision's network of that name with random weights and its 1,000-class head.

    Unless ``drop_path`` is over 0, no layer of it draws random numbers before the head, so one
    training step is a function of its batch alone.
    """
    from torchvision import models
    from torchvision.ops import StochasticDepth

    network: nn.Module = models.get_model(builder, weights=None)
    for module in network.modules():
        if isinstance(module, StochasticDepth):
            module.p *= drop_path / _DEFAULT_DROP_PATH
    return network


def rename_densenet(name: str) -> str:
    """Return today's name for a tensor of the published DenseNet files.

    They date from when module names could hold a dot: ``denselayer1.norm.1`` is now ``norm1``.
    Any other name comes back unchanged.
    """
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2.", name)
