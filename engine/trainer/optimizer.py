"""The optimizer, its schedule, and the running average of the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from engine.contract.config import OptimizerConfig
from engine.methods.method import ParameterGroup
from engine.models.network import Network

_FINAL_LR_SHARE: Final = 0.02


def build_optimizer(groups: Sequence[ParameterGroup], config: OptimizerConfig) -> torch.optim.AdamW:
    """Return AdamW over the groups (Loshchilov and Hutter, ICLR 2019)."""
    return torch.optim.AdamW(
        [
            {
                "params": list(group.parameters),
                "lr": config.learning_rate * group.lr_ratio,
                "peak_lr": config.learning_rate * group.lr_ratio,
                "weight_decay": group.weight_decay,
            }
            for group in groups
        ],
        betas=(0.9, 0.999),
        fused=True,
    )


def lr_share(step: int, n_steps: int, warmup: float) -> float:
    """Return the share of the peak rate at an update: linear warm-up, then a half cosine.

    A pure function of the step, so that a resumed run needs no scheduler state.

    Args:
        step: Update about to be made, from 0.
        n_steps: Updates of the whole run.
        warmup: Share of the updates spent rising.

    References:
        Loshchilov and Hutter, "SGDR", ICLR 2017.
    """
    n_warmup = max(1, round(n_steps * warmup))
    if step < n_warmup:
        return (step + 1) / n_warmup
    progress = min(1.0, (step - n_warmup) / max(1, n_steps - n_warmup))
    cosine = 0.5 * (1.0 + math.cos(math.pi * progress))
    return _FINAL_LR_SHARE + (1.0 - _FINAL_LR_SHARE) * cosine


def set_lr(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set each group's rate to a share of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * share


def average_weights(network: Network, decay: float) -> AveragedModel:
    """Return an exponential moving average of the weights and buffers.

    The decay warms up with the number of updates, since an average that starts from the
    pre-trained weights would otherwise lag for the whole of a short run.
    """

    def update(
        averaged: Sequence[Tensor], current: Sequence[Tensor], n_averaged: Tensor | int
    ) -> None:
        n = float(n_averaged)
        weight = 1.0 - min(decay, (1.0 + n) / (10.0 + n))
        for old, new in zip(averaged, current, strict=True):
            if old.is_floating_point():
                old.lerp_(new, weight)
            else:
                old.copy_(new)

    return AveragedModel(network, multi_avg_fn=update, use_buffers=True)
