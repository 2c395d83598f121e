"""A few validation images with what the network says of them now, for people to watch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.contract.events import SamplePrediction
from engine.project.table import TrainingTable

_N_SAMPLES = 8


def sample_predictions(
    table: TrainingTable, val: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[SamplePrediction, ...]:
    """Return predictions of up to eight validation images, the same ones after every epoch.

    Args:
        table: The usable images.
        val: Indices into it of the validation images, shape ``(M,)``.
        probabilities: What the network says of them, shape ``(M, K)``.
    """
    shown = np.linspace(0, len(val) - 1, min(_N_SAMPLES, len(val))).astype(int)
    return tuple(
        SamplePrediction(
            record=int(table.record_ids[val[i]]),
            label=-1 if table.is_multi else int(table.labels[val[i]]),
            probabilities=tuple(float(p) for p in probabilities[i]),
            findings=tuple(table.labels[val[i]].tolist()) if table.is_multi else (),
        )
        for i in shown
    )
