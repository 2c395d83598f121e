"""What the fit of a decision layer minimises: losses of logits with their gradients, in float64.

Each mirrors a loss of training (``engine.trainer.losses``), so that a setting means the same for a
head that is fitted as for one that is trained; labels are not smoothed here.

References:
    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017. Menon et al., "Long-tail
    learning via logit adjustment", ICLR 2021. Hou, Yu and Samaras, "Squared Earth Mover's
    Distance-based Loss for Training Deep Neural Networks", 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadLoss:
    """Cross-entropy, and what is changed about it.

    Attributes:
        class_weights: Weight of each class, shape ``(K,)``, or None.
        focal_gamma: Power of ``1 - p`` that the entropy is multiplied by; 0 for none.
        log_prior: Added to the logits while fitting, shape ``(K,)``, or None.
        ordinal_weight: Weight of the squared earth mover's distance between grades; 0 for classes
            without order.
    """

    class_weights: NDArray[np.float64] | None = None
    focal_gamma: float = 0.0
    log_prior: NDArray[np.float64] | None = None
    ordinal_weight: float = 0.0

    def __call__(
        self, logits: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the sum over the images, and its gradient at the logits.

        Args:
            logits: Shape ``(N, K)``.
            labels: Class indices, shape ``(N,)``.
        """
        if self.log_prior is not None:
            logits = logits + self.log_prior
        log_p = log_softmax(logits)
        p, images = np.exp(log_p), np.arange(len(labels))
        losses, gradient = -log_p[images, labels], p.copy()
        gradient[images, labels] -= 1.0
        if self.focal_gamma > 0:
            right = p[images, labels]
            missing = np.maximum(1.0 - right, 1e-12)  # a power below 1 has no slope at 0
            slope = self.focal_gamma * missing ** (self.focal_gamma - 1.0) * right
            gradient *= (missing**self.focal_gamma + slope * losses)[:, np.newaxis]
            losses = missing**self.focal_gamma * losses
        if self.ordinal_weight > 0:
            is_reached = np.arange(p.shape[1]) >= labels[:, np.newaxis]
            beyond = np.cumsum(p, axis=1) - is_reached
            losses = losses + self.ordinal_weight * np.square(beyond).sum(axis=1)
            slope = 2.0 * np.cumsum(beyond[:, ::-1], axis=1)[:, ::-1]
            slope -= (p * slope).sum(axis=1, keepdims=True)
            gradient += self.ordinal_weight * p * slope
        if self.class_weights is not None:
            weights = self.class_weights[labels]
            losses, gradient = losses * weights, gradient * weights[:, np.newaxis]
        return float(losses.sum()), gradient


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log-probabilities, shape ``(N, K)``."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return np.asarray(shifted - total, dtype=np.float64)
