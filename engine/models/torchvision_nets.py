"""Backbones that torchvision builds, and the names that older files give to their tensors."""

from __future__ import annotations

import re

from torch import nn


def build_torchvision(builder: str) -> nn.Module:
    """Return torchvision's network of that name with random weights and its 1,000-class head.

    No layer of it draws random numbers before the head (EfficientNet's stochastic depth is off),
    so one training step is a function of its batch alone.
    """
    from torchvision import models

    if builder.startswith("efficientnet"):
        network: nn.Module = models.get_model(builder, weights=None, stochastic_depth_prob=0.0)
    else:
        network = models.get_model(builder, weights=None)
    return network


def rename_densenet(name: str) -> str:
    """Return today's name for a tensor of the published DenseNet files.

    They date from when module names could hold a dot: ``denselayer1.norm.1`` is now ``norm1``.
    Any other name comes back unchanged.
    """
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2.", name)
