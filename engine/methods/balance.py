"""Classes of unequal size, evened out; of findings, their presence and absence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.contract.targets import UNKNOWN


def inverse_frequency(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return weights of classes inverse to their frequency, with mean 1.

    Args:
        counts: Images of each class, shape ``(K,)``; an empty class counts as one image.

    Returns:
        Shape ``(K,)``.
    """
    weights = 1.0 / np.maximum(counts, 1)
    return np.asarray(weights * len(counts) / weights.sum(), dtype=np.float64)


def state_counts(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many images are without each finding and how many show it, shape ``(K, 2)``.

    Args:
        labels: 1 present, 0 absent, -1 unknown, shape ``(N, K)``.
    """
    return np.stack([(labels == 0).sum(axis=0), (labels == 1).sum(axis=0)], axis=1)


def balanced_states(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return weights with which presence and absence of each finding count alike.

    The known images of a finding weigh 1 on average, so that a rare finding has as large a part in
    the loss as a common one.

    Args:
        counts: As :func:`state_counts`; an empty state counts as one image.

    Returns:
        Shape ``(K, 2)``: absent, present.
    """
    counts = np.maximum(counts, 1)
    return np.asarray(counts.sum(axis=1, keepdims=True) / (2.0 * counts), dtype=np.float64)


def image_weights(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how often to show images with several findings, relative to each other, ``(N,)``.

    Of an image the rarest of its known states counts (as in Gupta et al., "LVIS: A Dataset for
    Large Vocabulary Instance Segmentation", CVPR 2019).

    Args:
        labels: 1 present, 0 absent, -1 unknown, shape ``(N, K)``; at least one known in each row.
    """
    weights = balanced_states(state_counts(labels))
    of_state = np.where(labels == 1, weights[:, 1], weights[:, 0])
    return np.asarray(np.where(labels == UNKNOWN, 0.0, of_state).max(axis=1), dtype=np.float64)


def prior_log_odds(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the log-odds of each finding among the images of which it is known, shape ``(K,)``.

    Args:
        counts: As :func:`state_counts`; an empty state counts as one image.
    """
    counts = np.maximum(counts, 1)
    return np.asarray(np.log(counts[:, 1] / counts[:, 0]), dtype=np.float64)
