"""Fits of a linear layer with an L2 penalty, fast enough to follow a user who relabels.

Features of one image are thousands of numbers that mostly move together, so that plain descent
takes hundreds of steps. The directions in which they vary most are found once by a randomised
singular value decomposition, and every fit works in coordinates in which those curve alike
(a preconditioner); it then takes a dozen or two. Nothing is left out: the solution is that of the
whole problem.

References:
    Halko, Martinsson and Tropp, "Finding Structure with Randomness", SIAM Review 2011.
    Liu and Nocedal, "On the limited memory BFGS method", Mathematical Programming 1989.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Loss = Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]
"""From logits ``(N, K)`` to the sum of the losses and its gradient at the logits."""

_RANK: Final = 200
ROUGH, FINE = 1e-5, 1e-6
"""Slopes of the mean loss, in preconditioned coordinates, at which a fit may end. A rough one is as
near to the solution as scikit-learn's by default."""
_MAX_ITERATIONS: Final = 500
_CURVATURE: Final = 0.25  # the largest that cross-entropy has in a logit


class HeadSolver:
    """Minimises ``loss + penalty / 2 * |weight| ** 2`` over a linear layer on fixed features."""

    def __init__(self, features: Tensor) -> None:
        """Find the directions in which the features vary most.

        Args:
            features: Standardised, float32, shape ``(N, F)``, on the CPU.
        """
        self._x = features
        n, width = features.shape
        rank = min(_RANK, n, width)
        generator = torch.Generator().manual_seed(0)
        sketch = features @ torch.randn(width, rank, generator=generator)
        # NumPy's decompositions: torch's want libraries that a built app leaves out.
        basis = torch.from_numpy(np.linalg.qr(sketch.numpy()).Q)
        small = basis.T @ features
        squares, turn = map(torch.from_numpy, np.linalg.eigh((small @ small.T).double().numpy()))
        kept = squares > squares[-1] * 1e-10
        self._squares = squares[kept]
        self._directions = small.T @ (turn[:, kept] / self._squares.sqrt()).float()  # (F, R)
        left = float(features.square().sum(dtype=torch.float64)) - float(self._squares.sum())
        self._rest = max(0.0, left) / max(1, width - len(self._squares))

    def fit(
        self,
        loss: Loss,
        penalty: float,
        start: tuple[NDArray[np.float64], NDArray[np.float64]],
        *,
        slope: float = FINE,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight ``(K, F)`` and bias ``(K,)``; the bias has no penalty.

        Args:
            loss: What is minimised, besides the penalty.
            penalty: Above 0.
            start: Weight and bias to begin from.
            slope: Where to end.
        """
        from scipy.optimize import minimize

        shape, n = start[0].shape, len(self._x)
        plain = float(1.0 / np.sqrt(_CURVATURE * self._rest + penalty))
        along = (_CURVATURE * self._squares + penalty).rsqrt()
        bias_scale = 1.0 / np.sqrt(_CURVATURE * n)

        def scaled(weight: Tensor, factors: Tensor, rest: float) -> Tensor:
            inside = (weight @ self._directions) * (factors - rest).float()
            result: Tensor = weight * rest + inside @ self._directions.T
            return result

        def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            inner, bias = flat[: -shape[0]].reshape(shape), flat[-shape[0] :] * bias_scale
            weight = scaled(torch.from_numpy(inner).float(), along, plain)
            logits = (weight @ self._x.T).T.double().numpy() + bias
            value, slopes = loss(logits)
            value += 0.5 * penalty * float(weight.square().sum(dtype=torch.float64))
            gradient = torch.from_numpy(slopes).float().T @ self._x + penalty * weight
            inner_gradient = scaled(gradient, along, plain).double().numpy()
            both = np.concatenate([inner_gradient.ravel(), slopes.sum(axis=0) * bias_scale])
            return value / n, both / n

        weight, bias = start
        inner = scaled(torch.from_numpy(weight).float(), 1.0 / along, 1.0 / plain)
        flat = np.concatenate([inner.double().numpy().ravel(), bias / bias_scale])
        found = minimize(
            objective,
            flat,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _MAX_ITERATIONS, "gtol": slope, "ftol": 1e-10},
        ).x
        inner = torch.from_numpy(found[: -shape[0]].reshape(shape)).float()
        return scaled(inner, along, plain).double().numpy(), found[-shape[0] :] * bias_scale
