"""Curves that grow for hours: buffers, smoothing and the points worth drawing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["GrowingSeries", "peak_decimate"]

_FIRST_CAPACITY = 4096


class GrowingSeries:
    """Points (x, y) in buffers that double when full, with a running mean kept beside them.

    The mean is exponential and corrected for its start: ``s_n = b s_(n-1) + (1 - b) y_n``, divided
    by ``1 - b^n`` (as in Adam, Kingma & Ba 2015). It skips values that aren't finite.
    """

    def __init__(self, *, memory: float = 0.95) -> None:
        """Make an empty series; ``memory`` in [0, 1) is the weight of the past in the mean."""
        self._memory = memory
        self._x = np.empty(_FIRST_CAPACITY, dtype=np.float64)
        self._y = np.empty_like(self._x)
        self._mean = np.empty_like(self._x)
        self._n = 0
        self._sum = 0.0
        self._weight = 0.0

    def __len__(self) -> int:
        """Return how many points there are."""
        return self._n

    @property
    def x(self) -> NDArray[np.float64]:
        """The positions, in order of arrival."""
        return self._x[: self._n]

    @property
    def y(self) -> NDArray[np.float64]:
        """The values."""
        return self._y[: self._n]

    @property
    def smooth(self) -> NDArray[np.float64]:
        """The running mean at each position."""
        return self._mean[: self._n]

    def append(self, x: float, y: float) -> None:
        """Add one point in constant time on average."""
        if self._n == self._x.size:
            self._grow()
        if np.isfinite(y):
            self._sum = self._memory * self._sum + (1.0 - self._memory) * y
            self._weight = self._memory * self._weight + (1.0 - self._memory)
        self._x[self._n] = x
        self._y[self._n] = y
        self._mean[self._n] = self._sum / self._weight if self._weight else y
        self._n += 1

    def clear(self) -> None:
        """Forget all points; the buffers stay."""
        self._n = 0
        self._sum = self._weight = 0.0

    def _grow(self) -> None:
        size = self._x.size * 2
        self._x = np.resize(self._x, size)
        self._y = np.resize(self._y, size)
        self._mean = np.resize(self._mean, size)


def peak_decimate(
    x: NDArray[np.float64], y: NDArray[np.float64], n_max: int = 2000
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return at most ``n_max`` points that keep every peak visible.

    Each stretch of equal length gives its lowest and its highest value; the last, shorter one too.

    Args:
        x: Positions, shape ``(N,)``, ascending.
        y: Values, shape ``(N,)``; stretches without any finite value give NaN.
        n_max: Upper bound on the returned length, at least 4.
    """
    n = x.size
    if n <= n_max:
        return x, y
    # One stretch is left for the rest that doesn't fill a whole one.
    n_stretches = n_max // 2 - 1
    length = -(-n // n_stretches)
    n_whole = n // length
    whole = y[: n_whole * length].reshape(n_whole, length)
    rest = y[n_whole * length :]
    low, high = _extremes(whole)
    starts = x[: n_whole * length : length]
    ends = x[length - 1 : n_whole * length : length]
    shown_x = np.column_stack((starts, ends)).ravel()
    shown_y = np.column_stack((low, high)).ravel()
    if rest.size:
        low, high = _extremes(rest[np.newaxis])
        shown_x = np.concatenate((shown_x, [x[n_whole * length], x[-1]]))
        shown_y = np.concatenate((shown_y, low, high))
    return shown_x, shown_y


def _extremes(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # fmin and fmax ignore NaN without the warnings of nanmin on rows that are all NaN.
    return np.fmin.reduce(rows, axis=1), np.fmax.reduce(rows, axis=1)
