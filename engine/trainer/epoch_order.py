"""In which order an epoch shows the training images, and how often each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.contract.config import ExperimentConfig
from engine.methods.method import TrainingData
from engine.seeding import step_seed


def epoch_order(config: ExperimentConfig, data: TrainingData, epoch: int) -> NDArray[np.int64]:
    """Return indices into the table, int64 ``(N,)`` for ``N`` training images.

    Each comes once, in random order; where sampling makes up for imbalance they are drawn with
    replacement, those of rare classes more often.

    Args:
        config: Seed and kind of balance.
        data: The images.
        epoch: From 1.
    """
    generator = np.random.default_rng(step_seed(config.seed, "order", epoch))
    if config.loss.imbalance != "sampling":
        return generator.permutation(data.train)
    share = data.sampling_weights()
    return generator.choice(data.train, len(data.train), p=share / share.sum())
