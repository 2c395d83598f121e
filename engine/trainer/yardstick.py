"""What tells whether training has come to say the same of every image."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch

from engine.contract.config import LossConfig
from engine.methods.guessing import Yardstick, guesses, guessing_loss
from engine.methods.method import TrainingData
from engine.trainer.losses import training_loss

_EVEN: Final = ("weights", "sampling", "logit_adjustment")
"""With these a network that knows nothing says of an image that it may be any class."""


def yardstick(config: LossConfig, data: TrainingData, device: str) -> Yardstick:
    """Return what measures a training with this loss.

    Args:
        config: Of the training loss.
        data: Whose training images are learned from.
        device: Where the loss computes.
    """
    counts = data.class_counts()
    criterion = training_loss(replace(config, imbalance="none"), counts, device)
    labels = torch.from_numpy(data.table.labels[data.train]).to(device)
    frequent, even = guesses(counts, device)
    answer = even if config.imbalance in _EVEN else frequent
    guessing = float(guessing_loss(criterion, labels, answer[None]))
    return Yardstick(criterion=criterion, guessing=guessing)
