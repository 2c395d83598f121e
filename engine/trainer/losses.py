"""Losses of single-label classification, and what they do about classes of unequal size."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.contract.config import LossConfig
from engine.methods.balance import inverse_frequency


def classification_loss(config: LossConfig, counts: NDArray[np.int64], device: str) -> nn.Module:
    """Return the loss of logits ``(N, K)`` and class indices ``(N,)``, a scalar.

    Args:
        config: Which loss, and how labels are smoothed (Szegedy et al., CVPR 2016).
        counts: Training images of each class, shape ``(K,)``.
        device: Where the logits will be.
    """
    smoothing = config.label_smoothing
    match config.imbalance:
        case "weights":
            weight = torch.as_tensor(inverse_frequency(counts), dtype=torch.float32, device=device)
            return nn.CrossEntropyLoss(weight=weight, label_smoothing=smoothing)
        case "focal":
            return FocalLoss(config.focal_gamma, label_smoothing=smoothing)
        case "logit_adjustment":
            return LogitAdjustedLoss(counts, label_smoothing=smoothing).to(device)
        case _:
            return nn.CrossEntropyLoss(label_smoothing=smoothing)


class FocalLoss(nn.Module):
    """Cross-entropy times ``(1 - p) ** gamma``, where p is the probability of the right class.

    References:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.
    """

    def __init__(self, gamma: float, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self._gamma, self._smoothing = gamma, label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over the batch."""
        right = logits.log_softmax(dim=1).gather(1, labels[:, None]).squeeze(1).exp()
        entropy = F.cross_entropy(logits, labels, label_smoothing=self._smoothing, reduction="none")
        return ((1.0 - right) ** self._gamma * entropy).mean()


class LogitAdjustedLoss(nn.Module):
    """Cross-entropy of logits to which the log-frequencies of the classes are added.

    What the network itself learns is then free of them, and rare classes count as much as common
    ones when it is applied.

    References:
        Menon et al., "Long-tail learning via logit adjustment", ICLR 2021.
    """

    log_prior: Tensor

    def __init__(self, counts: NDArray[np.int64], *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        prior = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
        self.register_buffer("log_prior", torch.as_tensor(np.log(prior), dtype=torch.float32))
        self._smoothing = label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over the batch."""
        return F.cross_entropy(logits + self.log_prior, labels, label_smoothing=self._smoothing)
