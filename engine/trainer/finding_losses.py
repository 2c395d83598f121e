"""The loss of several findings at once: binary cross-entropy over what is known.

An image of which a finding is unknown says nothing about that finding and still teaches the others.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.contract.config import LossConfig
from engine.contract.targets import UNKNOWN
from engine.methods.balance import balanced_states, prior_log_odds

LEAST_WRONG: Final = 1e-6
"""Probability of the wrong answer below which the focal factor stays: a power below 1 has no slope
at 0."""


def findings_loss(config: LossConfig, counts: NDArray[np.int64]) -> FindingsLoss:
    """Return the loss that the settings ask for.

    Args:
        config: What is done about rare findings, and how labels are smoothed.
        counts: Training images without and with each finding, shape ``(K, 2)``.
    """
    return FindingsLoss(
        label_smoothing=config.label_smoothing,
        state_weights=balanced_states(counts) if config.imbalance == "weights" else None,
        focal_gamma=config.focal_gamma if config.imbalance == "focal" else 0.0,
        log_odds=prior_log_odds(counts) if config.imbalance == "logit_adjustment" else None,
    )


class FindingsLoss(nn.Module):
    """Binary cross-entropy of logits, averaged over the known findings of all images of a batch.

    References:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017 (the focal loss is that of
        this paper, a sigmoid a finding). Menon et al., "Long-tail learning via logit adjustment",
        ICLR 2021.
    """

    state_weights: Tensor | None
    log_odds: Tensor | None

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        state_weights: NDArray[np.float64] | None = None,
        focal_gamma: float = 0.0,
        log_odds: NDArray[np.float64] | None = None,
    ) -> None:
        """Prepare.

        Args:
            label_smoothing: Share of each label spread over presence and absence.
            state_weights: Weights of absence and presence, shape ``(K, 2)``.
            focal_gamma: Power of ``1 - p`` that the entropy is multiplied by; 0 for none.
            log_odds: Added to the logits while training, shape ``(K,)``.
        """
        super().__init__()
        self._smoothing, self._gamma = label_smoothing, focal_gamma
        for name, values in (("state_weights", state_weights), ("log_odds", log_odds)):
            tensor = None if values is None else torch.as_tensor(values, dtype=torch.float32)
            self.register_buffer(name, tensor)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean, a scalar; 0 where nothing is known.

        Args:
            logits: Shape ``(N, K)``.
            labels: 1 present, 0 absent, -1 unknown, int64 ``(N, K)``.
        """
        if self.log_odds is not None:
            logits = logits + self.log_odds
        is_known, is_present = labels != UNKNOWN, labels == 1
        present = is_present.to(logits.dtype)
        target = present * (1.0 - self._smoothing) + 0.5 * self._smoothing
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        if self._gamma > 0:
            wrong = torch.sigmoid(torch.where(is_present, -logits, logits))
            entropy = wrong.clamp(min=LEAST_WRONG) ** self._gamma * entropy
        if self.state_weights is not None:
            absent_weight, present_weight = self.state_weights.unbind(dim=1)
            entropy = torch.where(is_present, present_weight, absent_weight) * entropy
        n_known = is_known.sum().clamp(min=1)
        return torch.where(is_known, entropy, 0.0).sum() / n_known
