"""Losses of classification, and what they do about classes of unequal size."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.contract.config import LossConfig
from engine.methods.balance import inverse_frequency
from engine.trainer.finding_losses import LEAST_WRONG, findings_loss


def training_loss(
    config: LossConfig, counts: NDArray[np.int64], device: str, *, is_ordinal: bool = False
) -> nn.Module:
    """Return the loss of logits ``(N, K)`` and class indices ``(N,)``, a scalar.

    Of several findings at once it takes their states, ``(N, K)``: 1 present, 0 absent, -1 unknown.

    Args:
        config: Which loss, and how labels are smoothed (Szegedy et al., CVPR 2016).
        counts: Training images of each class, shape ``(K,)``; of findings ``(K, 2)``: without and
            with each.
        device: Where the logits will be.
        is_ordinal: Whether the classes are grades with an order.
    """
    if counts.ndim == 2:
        return findings_loss(config, counts).to(device)
    smoothing = config.label_smoothing
    weights = inverse_frequency(counts) if config.imbalance == "weights" else None
    loss: nn.Module
    if weights is not None:
        weight = torch.as_tensor(weights, dtype=torch.float32, device=device)
        loss = nn.CrossEntropyLoss(weight=weight, label_smoothing=smoothing)
    elif config.imbalance == "focal":
        loss = FocalLoss(config.focal_gamma, label_smoothing=smoothing)
    else:
        loss = nn.CrossEntropyLoss(label_smoothing=smoothing)
    if is_ordinal and config.ordinal_weight > 0:
        loss = OrdinalLoss(loss, config.ordinal_weight, weights)
    if config.imbalance == "logit_adjustment":
        loss = LogitAdjustedLoss(loss, counts)
    return loss.to(device)


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
        return ((1.0 - right).clamp(min=LEAST_WRONG) ** self._gamma * entropy).mean()


class LogitAdjustedLoss(nn.Module):
    """Another loss, of logits to which the log-frequencies of the classes are added.

    What the network itself learns is then free of them, and rare classes count as much as common
    ones when it is applied.

    References:
        Menon et al., "Long-tail learning via logit adjustment", ICLR 2021.
    """

    log_prior: Tensor

    def __init__(self, loss: nn.Module, counts: NDArray[np.int64]) -> None:
        super().__init__()
        self.loss = loss
        prior = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
        self.register_buffer("log_prior", torch.as_tensor(np.log(prior), dtype=torch.float32))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what the other loss says of the adjusted logits."""
        total: Tensor = self.loss(logits + self.log_prior, labels)
        return total


class OrdinalLoss(nn.Module):
    """Another loss, and the squared earth mover's distance between grades on top.

    The distance is the squared difference of the cumulated probabilities, summed over the grades:
    a probability that lies two grades off costs twice as many of them. Like the other loss it is
    least, on average, at the true probabilities.

    References:
        Hou, Yu and Samaras, "Squared Earth Mover's Distance-based Loss for Training Deep Neural
        Networks", 2016. Epstein, "A Scoring System for Probability Forecasts of Ranked
        Categories", J Appl Meteorol 1969.
    """

    class_weights: Tensor | None

    def __init__(
        self, loss: nn.Module, weight: float, class_weights: NDArray[np.float64] | None = None
    ) -> None:
        super().__init__()
        self._loss, self._weight = loss, weight
        weights = None
        if class_weights is not None:
            weights = torch.as_tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over the batch, weighted where classes have weights."""
        grades = torch.arange(logits.shape[1], device=logits.device)
        is_reached = (grades >= labels[:, None]).to(logits.dtype)
        distance = (logits.softmax(dim=1).cumsum(dim=1) - is_reached).square().sum(dim=1)
        if self.class_weights is None:
            mean = distance.mean()
        else:
            weights = self.class_weights[labels]
            mean = (weights * distance).sum() / weights.sum()
        total: Tensor = self._loss(logits, labels) + self._weight * mean
        return total
