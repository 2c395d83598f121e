"""Cross-validation that never fits on a patient it is asked about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

N_FOLDS: Final = 5
_SEED: Final = 0
Fit = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]
"""Takes indices to fit on and indices to score, and returns the scores of the latter."""


def patient_folds(groups: NDArray[np.int64], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the fold of every image, shape ``(N,)``, in ``[0, 5)``; groups stay whole.

    Groups are dealt out in random order, those with the same first label one after the other, so
    that each fold has its share of every class.

    Args:
        groups: Patients, shape ``(N,)``.
        labels: Classes, shape ``(N,)``.
    """
    _, first, index = np.unique(groups, return_index=True, return_inverse=True)
    shuffled = np.random.default_rng(_SEED).permutation(len(first))
    dealt = shuffled[np.argsort(labels[first][shuffled], kind="stable")]
    fold_of_group = np.empty(len(first), dtype=np.int64)
    fold_of_group[dealt] = np.arange(len(first)) % N_FOLDS
    return fold_of_group[index]


def out_of_fold(folds: NDArray[np.int64], fit: Fit) -> NDArray[np.float64]:
    """Return the score of every image by a model that was fitted on the other folds."""
    scores: NDArray[np.float64] | None = None
    with threadpool_limits(limits=1):  # small fits lose more handing out work than they gain
        for fold in range(N_FOLDS):
            held_out = np.flatnonzero(folds == fold)
            if len(held_out) == 0:
                continue
            found = fit(np.flatnonzero(folds != fold), held_out)
            if scores is None:
                scores = np.empty((len(folds), *found.shape[1:]), dtype=np.float64)
            scores[held_out] = found
    assert scores is not None
    return scores
