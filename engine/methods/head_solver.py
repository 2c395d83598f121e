"""Fits of a linear layer with an L2 penalty, fast enough to follow a user who relabels.

Features of one image are thousands of numbers that mostly move together, so that plain descent
takes hundreds of steps. The directions in which they vary most are found once by a randomised
singular value decomposition; along these every fit knows how its loss curves where it begins, and
works in coordinates in which all directions curve alike (a preconditioner). It then takes five to
twenty steps. Nothing is left out: the solution is that of the whole problem.

References:
    Halko, Martinsson and Tropp, "Finding Structure with Randomness", SIAM Review 2011.
    Liu and Nocedal, "On the limited memory BFGS method", Mathematical Programming 1989.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Loss = Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]
"""From logits ``(N, K)`` to the sum of the losses and its gradient at the logits."""

Layer = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Weight ``(K, F)`` and bias ``(K,)``."""

_RANK: Final = 150
ROUGH, FINE = 3e-5, 3e-6
"""Slopes of the mean loss, in preconditioned coordinates, at which a fit may end. A rough one is as
near to the solution as scikit-learn's by default."""
_MAX_ITERATIONS: Final = 500
_SLABS: Final = 8
_NUDGE: Final = 1e-4  # of a logit, to see how the slope of the loss changes
_LEAST_CURVATURE: Final = 1e-3  # of an image, as a share of the mean
_UNSURE: Final = 1e-4  # share of a curvature that sums in float32 may be off by, with room


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let NumPy's and SciPy's own libraries work alone, also as a decorator.

    Their threads spin while they wait for vectors that are too short to be worth handing out, and
    take the processor from torch's threads and from other programs: a fit cost twice the time.
    """
    import scipy.optimize  # noqa: F401 - brings a library of its own, which must be there to obey
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


class HeadSolver:
    """Minimises ``loss + penalty / 2 * |weight| ** 2`` over a linear layer on fixed features."""

    def __init__(self, features: Tensor) -> None:
        """Find the directions in which the features vary most.

        Args:
            features: Standardised, float32, shape ``(N, F)``, on the CPU.
        """
        self._x = _Slabs(features)
        n, width = features.shape
        rank = min(_RANK, n, width)
        generator = torch.Generator().manual_seed(0)
        sketch = features @ torch.randn(width, rank, generator=generator)
        # NumPy's decompositions: torch's want libraries that a built app leaves out.
        basis = torch.from_numpy(np.linalg.qr(sketch.numpy()).Q)
        small = basis.T @ features
        squares, turn = map(torch.from_numpy, np.linalg.eigh((small @ small.T).double().numpy()))
        kept = squares > squares[-1] * 1e-10
        sizes, turn = squares[kept].sqrt().float(), turn[:, kept].float()
        self._directions = small.T @ turn / sizes  # (F, R)
        # Each image's place along the directions, and 1 for the bias.
        self._places = torch.cat([basis @ turn * sizes, torch.ones(n, 1)], dim=1)  # (N, R + 1)
        left = float(features.square().sum(dtype=torch.float64)) - float(squares[kept].sum())
        self._rest = max(0.0, left) / max(1, width - len(sizes))

    def fit(self, loss: Loss, penalty: float, start: Layer, *, slope: float = FINE) -> Layer:
        """Return weight ``(K, F)`` and bias ``(K,)``; the bias has no penalty.

        Args:
            loss: What is minimised, besides the penalty.
            penalty: Above 0.
            start: Weight and bias to begin from.
            slope: Where to end.
        """
        from scipy.optimize import minimize

        n, first, first_bias = len(self._places), torch.from_numpy(start[0]).float(), start[1]
        begin = self._x.logits(first).double().numpy() + first_bias
        coordinates = self._coordinates(loss, begin, penalty)

        def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            step, bias_step = coordinates.step(flat)
            weight = first + step
            logits = self._x.logits(weight).double().numpy() + (first_bias + bias_step)
            value, slopes = loss(logits)
            value += 0.5 * penalty * float(weight.square().sum(dtype=torch.float64))
            at_logits = torch.from_numpy(slopes).float()
            gradient = self._x.gradient(at_logits) + penalty * weight
            return value / n, coordinates.slope(gradient, at_logits.sum(dim=0)) / n

        found = minimize(
            objective,
            np.zeros(coordinates.size),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _MAX_ITERATIONS, "gtol": slope, "ftol": 1e-10},
        ).x
        step, bias_step = coordinates.step(found)
        return (first + step).double().numpy(), first_bias + bias_step

    def _coordinates(self, loss: Loss, logits: NDArray[np.float64], penalty: float) -> _Coordinates:
        """Return coordinates in which loss and penalty curve alike, as seen from some logits."""
        curvature = _curvature(loss, logits)
        rank = self._places.shape[1] - 1
        own = torch.diag(torch.tensor([penalty] * rank + [0.0], dtype=torch.float64))
        factors = []
        for weights in torch.from_numpy(curvature).float().T:
            weighted = self._places * weights.sqrt()[:, None]
            hessian = (weighted.T @ weighted).double() + own
            hessian.diagonal().mul_(1.0 + _UNSURE)
            factors.append(np.linalg.inv(np.linalg.cholesky(hessian.numpy())))
        rest = 1.0 / np.sqrt(curvature.mean(axis=0) * self._rest + penalty)
        return _Coordinates(
            self._directions,
            torch.from_numpy(np.stack(factors)).float(),
            torch.from_numpy(rest).float()[:, None],
        )


def ahead(fits: Sequence[tuple[float, Layer]], strength: float) -> Layer:
    """Return where a fit at the next strength may begin: on the line through the last two.

    Layers change evenly with the logarithm of the strength, so that a fit that begins there takes
    two thirds of the steps.

    Args:
        fits: The strengths before, at least one, and their layers.
        strength: The next inverse regularisation strength.
    """
    now, (weight, bias) = fits[-1]
    if len(fits) == 1:
        return weight, bias
    before, (weight_before, bias_before) = fits[-2]
    share = float(np.log(strength / now) / np.log(now / before))
    return weight + share * (weight - weight_before), bias + share * (bias - bias_before)


class _Coordinates:
    """Where a linear layer is, from where its fit began, in units in which the fit curves alike.

    Along the main directions and the bias these are the rows of the inverse of a Cholesky factor
    of the curvature, a class at a time; elsewhere a number a class.
    """

    def __init__(self, directions: Tensor, factors: Tensor, rest: Tensor) -> None:
        self._directions, self._factors, self._rest = directions, factors, rest
        (self._n_classes, self._n_along, _), width = factors.shape, len(directions)
        self.size = self._n_classes * (self._n_along + width)

    def step(self, flat: NDArray[np.float64]) -> tuple[Tensor, NDArray[np.float64]]:
        """Return the changes of weight ``(K, F)`` and bias ``(K,)`` that coordinates stand for."""
        both = torch.from_numpy(flat).float()
        n_inside = self._n_classes * self._n_along
        inside, outside = both[:n_inside], both[n_inside:]
        along = torch.einsum("kr,krs->ks", inside.view(self._n_classes, -1), self._factors)
        across = self._rest * outside.view(self._n_classes, -1)
        weight = across + (along[:, :-1] - across @ self._directions) @ self._directions.T
        return weight, along[:, -1].double().numpy()

    def slope(self, gradient: Tensor, bias_gradient: Tensor) -> NDArray[np.float64]:
        """Return the gradient at the coordinates, from that at weight and bias."""
        along = gradient @ self._directions
        both = torch.cat([along, bias_gradient[:, None]], dim=1)
        inside = torch.einsum("ks,krs->kr", both, self._factors)
        outside = self._rest * (gradient - along @ self._directions.T)
        return torch.cat([inside.ravel(), outside.ravel()]).double().numpy()


class _Slabs:
    """Features of images, cut into slabs of images that threads work on side by side.

    Libraries don't share out a product with a matrix of a few rows: two threads took as long as
    one. A batch of products they do.
    """

    def __init__(self, features: Tensor) -> None:
        n_slabs = min(_SLABS, len(features))
        rows = len(features) // n_slabs
        self._even = features[: n_slabs * rows].view(n_slabs, rows, -1)
        self._left = features[n_slabs * rows :]

    def logits(self, weight: Tensor) -> Tensor:
        """Return ``features @ weight.T``, shape ``(N, K)``."""
        n_slabs, rows, _ = self._even.shape
        even = torch.bmm(weight.expand(n_slabs, -1, -1), self._even.transpose(1, 2))
        even = even.transpose(1, 2).reshape(n_slabs * rows, -1)
        return torch.cat([even, self._left @ weight.T])

    def gradient(self, slopes: Tensor) -> Tensor:
        """Return ``slopes.T @ features``, shape ``(K, F)``, for slopes ``(N, K)``."""
        n_slabs, rows, _ = self._even.shape
        even = slopes[: n_slabs * rows].view(n_slabs, rows, -1).transpose(1, 2)
        of_left: Tensor = slopes[n_slabs * rows :].T @ self._left
        return of_left + torch.bmm(even, self._even).sum(dim=0)


def _curvature(loss: Loss, logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the second derivative of the loss in each logit of each image, above 0."""
    _, slopes = loss(logits)
    curvature = np.empty_like(slopes)
    for k in range(logits.shape[1]):
        nudged = logits.copy()
        nudged[:, k] += _NUDGE
        curvature[:, k] = (loss(nudged)[1][:, k] - slopes[:, k]) / _NUDGE
    np.maximum(curvature, 0.0, out=curvature)  # some losses bend both ways
    curvature += _LEAST_CURVATURE * curvature.mean(axis=0) + 1e-9
    return curvature
