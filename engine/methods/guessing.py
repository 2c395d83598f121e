"""What it costs to say the same of every image: the loss below which learning begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def guesses(counts: NDArray[np.int64], device: str = "cpu") -> Tensor:
    """Return the logits ``(2, K)``, float32, of two answers that are the same for every image.

    The first is how frequent the classes are. The second, all alike, is the better one where rarer
    classes count for more, or are shown as often as others.

    Args:
        counts: Training images of each class, ``(K,)``; of findings ``(K, 2)``: without and with
            each.
        device: Where the loss computes.
    """
    smoothed = torch.as_tensor(counts, dtype=torch.float32, device=device) + 0.5
    frequent = smoothed.log()
    if counts.ndim == 2:
        frequent = frequent[:, 1] - frequent[:, 0]
    return torch.stack([frequent, torch.zeros_like(frequent)])


@torch.no_grad()
def guessing_loss(criterion: nn.Module, labels: Tensor, answers: Tensor) -> Tensor:
    """Return the training loss of saying the same of every image, a scalar.

    Args:
        criterion: The training loss.
        labels: Of the images, as the loss takes them, where it computes: class indices ``(N,)``, or
            findings ``(N, K)``, -1 where unknown.
        answers: What may be said, ``(A, K)``, logits; the best one counts.
    """
    losses = [criterion(logits.expand(len(labels), -1), labels) for logits in answers]
    return torch.stack(losses).amin()


@dataclass(frozen=True, kw_only=True, eq=False)
class Yardstick:
    """How near a network is to saying the same of every image.

    It is no part of what is minimised: weights of classes would make a batch of one class look
    much worse than it is.

    Attributes:
        criterion: A loss in which every image counts alike, with the smoothing of the training
            loss.
        guessing: What the same answer to everything costs over all training images.
    """

    criterion: nn.Module
    guessing: float

    @torch.no_grad()
    def measure(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what logits ``(N, K)`` cost, as a share of what guessing does: a scalar from 0."""
        share: Tensor = self.criterion(logits, labels) / self.guessing
        return share
