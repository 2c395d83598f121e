"""What it costs to say the same of every image: the loss below which learning begins."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def guessing_loss(criterion: nn.Module, labels: Tensor, n_classes: int) -> Tensor:
    """Return the training loss of saying the same of every image, however well chosen, a scalar.

    Args:
        criterion: The training loss.
        labels: Of the images, as the loss takes them, where it computes: class indices ``(N,)``, or
            findings ``(N, K)``, -1 where unknown.
        n_classes: K.
    """
    if labels.ndim == 2:
        n_present = (labels == 1).sum(dim=0) + 0.5
        n_absent = (labels == 0).sum(dim=0) + 0.5
        frequencies = (n_present / n_absent).log()
    else:
        frequencies = (nn.functional.one_hot(labels, n_classes).sum(dim=0) + 0.5).log()
    # Where classes are weighted all logits alike are the best guess, else the frequencies.
    said = (frequencies, torch.zeros_like(frequencies))
    losses = [criterion(logits.expand(len(labels), -1), labels) for logits in said]
    return torch.stack(losses).amin()
