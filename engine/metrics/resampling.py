"""Draw groups with replacement, and count ranked pairs for many draws at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CHUNK_CELLS = 1_000_000  # 8 MB of float64: a few arrays of this size stay near the cache


def group_index(groups: ArrayLike, *, n_images: int | None = None) -> tuple[NDArray[np.int64], int]:
    """Return group numbers without gaps, shape ``(N,)``, and how many groups there are.

    Args:
        groups: Group of every image, shape ``(N,)``, any values that compare.
        n_images: The N to check for, if any.

    Raises:
        ValueError: If there are no images, or not ``n_images``.
    """
    ids = np.asarray(groups)
    if ids.ndim != 1 or ids.size == 0:
        raise ValueError("groups must be 1-D and not empty")
    if n_images is not None and len(ids) != n_images:
        raise ValueError(f"{n_images} images but {len(ids)} groups")
    unique, index = np.unique(ids, return_inverse=True)
    return index.astype(np.int64), len(unique)


def resampled_counts(
    n_groups: int, n_resamples: int, seed: int, *, n_cells: int
) -> Iterator[NDArray[np.int64]]:
    """Yield how often each group is drawn, shape ``(rows, n_groups)``, a chunk at a time.

    The draws don't depend on the chunks, whose rows are as many as ``n_cells`` numbers a
    resample allow.

    Raises:
        ValueError: If no resample is asked for.
    """
    if n_resamples < 1:
        raise ValueError("at least one resample is needed")
    generator = np.random.default_rng(seed)
    rows_at_once = max(1, _CHUNK_CELLS // max(n_cells, n_groups))
    for start in range(0, n_resamples, rows_at_once):
        rows = min(rows_at_once, n_resamples - start)
        drawn = generator.integers(0, n_groups, size=(rows, n_groups))
        drawn += np.arange(rows)[:, np.newaxis] * n_groups
        counts = np.bincount(drawn.ravel(), minlength=rows * n_groups)
        yield counts.reshape(rows, n_groups).astype(np.int64)


class _PairCounter:
    """Counts won pairs of one comparison for many resamples at once."""

    def __init__(
        self, scores: NDArray[np.float64], positive: NDArray[np.bool_], index: NDArray[np.int64]
    ) -> None:
        order = np.argsort(scores, kind="stable")
        positives, negatives = order[positive[order]], order[~positive[order]]
        self._positive_groups, self._negative_groups = index[positives], index[negatives]
        self._below = np.searchsorted(scores[negatives], scores[positives], side="left")
        self._up_to = np.searchsorted(scores[negatives], scores[positives], side="right")

    def aurocs(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the AUROC of every column of group weights (G, B), shape ``(B,)``."""
        # Resamples lie along the fast axis, so that each step works on whole rows.
        n_below = np.zeros((len(self._negative_groups) + 1, weights.shape[1]))
        np.cumsum(weights[self._negative_groups], axis=0, out=n_below[1:])
        wins = n_below[self._below]
        wins += n_below[self._up_to]
        drawn = weights[self._positive_groups]
        n_pairs = drawn.sum(axis=0) * n_below[-1]
        won = np.einsum("ij,ij->j", drawn, wins)
        shares = np.full(len(n_pairs), np.nan)
        np.divide(won, 2 * n_pairs, out=shares, where=n_pairs > 0)
        return shares


def resampled_aurocs(
    comparisons: list[tuple[NDArray[np.float64], NDArray[np.bool_]]],
    index: NDArray[np.int64] | list[NDArray[np.int64]],
    n_groups: int,
    n_resamples: int,
    seed: int,
) -> NDArray[np.float64]:
    """Return the AUROC of each comparison in each resample, shape ``(B, n_comparisons)``.

    Args:
        comparisons: Scores and which cases are positive, of each.
        index: Group number of every case; a list where comparisons are of different cases.
        n_groups: Number of groups.
        n_resamples: How many resamples to draw.
        seed: Of the resamples.
    """
    indexes = index if isinstance(index, list) else [index] * len(comparisons)
    counters = [
        _PairCounter(scores, positive, own)
        for (scores, positive), own in zip(comparisons, indexes, strict=True)
    ]
    n_cells = max(len(own) for own in indexes)
    chunks = []
    for counts in resampled_counts(n_groups, n_resamples, seed, n_cells=n_cells):
        weights = np.ascontiguousarray(counts.T, dtype=np.float64)
        chunks.append(np.stack([counter.aurocs(weights) for counter in counters], axis=1))
    return np.concatenate(chunks)
