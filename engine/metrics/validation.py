"""The one figure by which trainings of any task are compared on validation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.metrics.findings import macro_findings_auroc
from engine.metrics.ranking import auroc, macro_ovr_auroc


def validation_auroc(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], positive: int | None
) -> float:
    """Return the AUROC of the positive class, or the macro one-vs-rest mean above two classes.

    Of several findings at once: the mean of their AUROCs.
    """
    if labels.ndim == 2:
        return macro_findings_auroc(probabilities, labels)
    if probabilities.shape[1] == 2:
        index = 1 if positive is None else positive
        return auroc(probabilities[:, index], labels == index)
    return macro_ovr_auroc(probabilities, labels)
