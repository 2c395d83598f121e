"""Classes of unequal size, evened out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def inverse_frequency(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return weights of classes inverse to their frequency, with mean 1.

    Args:
        counts: Images of each class, shape ``(K,)``; an empty class counts as one image.

    Returns:
        Shape ``(K,)``.
    """
    weights = 1.0 / np.maximum(counts, 1)
    return np.asarray(weights * len(counts) / weights.sum(), dtype=np.float64)
