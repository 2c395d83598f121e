"""Losses."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def classification_loss(
    class_weights: NDArray[np.float64] | None, *, label_smoothing: float, device: str
) -> nn.CrossEntropyLoss:
    """Return cross-entropy for single-label classification.

    Args:
        class_weights: One weight per class, shape ``(K,)``, or None for equal weights.
        label_smoothing: Share of each label spread over all classes (Szegedy et al., CVPR 2016).
        device: Where the logits will be.
    """
    weight = None
    if class_weights is not None:
        weight = torch.as_tensor(class_weights, dtype=torch.float32, device=device)
    return nn.CrossEntropyLoss(weight=weight, label_smoothing=label_smoothing)
