"""Whether a change cost right answers beyond chance, on the same images before and after.

References:
    McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 1947; in its exact form a sign test, here of patients, since the
    images of one are not independent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest


def loss_p(
    before: NDArray[np.int64], after: NDArray[np.int64], patients: NDArray[np.int64]
) -> float:
    """Return the two-sided p-value of as many patients losing right answers, others gaining some.

    Args:
        before: Right answers about each image, shape ``(N,)``.
        after: The same of the changed images.
        patients: Patient of every image, shape ``(N,)``, whole numbers.

    Returns:
        In (0, 1]; 1 if no patient's number of right answers changed.
    """
    _, index = np.unique(patients, return_inverse=True)
    change = np.bincount(index, weights=after - before)
    n_worse, n_better = int((change < 0).sum()), int((change > 0).sum())
    if n_worse + n_better == 0:
        return 1.0
    return float(binomtest(n_worse, n_worse + n_better, 0.5).pvalue)
