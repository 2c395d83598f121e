"""How far a backbone's responses to images lie from those to the images that it was pre-trained on.

Those images are not here, but batch norms keep mean and variance of every channel over them. They
are compared with those over new images: for each channel the 2-Wasserstein distance of the two
normal distributions, in standard deviations of the pre-training; of each layer the median channel,
since channels that hardly ever respond have next to no deviation; of the network the mean layer.

References:
    Li et al., "Revisiting Batch Normalization for Practical Domain Adaptation", ICLR Workshop 2017
    (the statistics are traits of a domain).
    Schneider et al., "Improving Robustness against Common Corruptions by Covariate Shift
    Adaptation", NeurIPS 2020 (Wasserstein distance of the statistics).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from engine.hardware.exact import in_float64
from engine.models.network import Network


def pretraining_distance(network: Network, look: Callable[[], object]) -> float | None:
    """Return how far responses lie from those in pre-training, in standard deviations; 0 is alike.

    Args:
        network: As it was pre-trained.
        look: Applies the network, in evaluation mode, to the images, at least two.

    Returns:
        None if the network has no batch norms, and so keeps nothing of what it has seen.
    """
    norms = [m for m in network.body.modules() if isinstance(m, _BatchNorm)]
    seen = [_Moments(norm) for norm in norms if norm.running_mean is not None]
    handles = [moments.norm.register_forward_pre_hook(moments.note) for moments in seen]
    try:
        look()
    finally:
        for handle in handles:
            handle.remove()
    return float(np.mean([moments.distance() for moments in seen])) if seen else None


class _Moments:
    """Mean and variance of what a batch norm gets, channel by channel, gathered over batches."""

    def __init__(self, norm: _BatchNorm) -> None:
        self.norm = norm
        self._n = 0
        self._sum: NDArray[np.float64] = np.zeros(norm.num_features)
        self._squares: NDArray[np.float64] = np.zeros(norm.num_features)

    def note(self, _: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].detach().float().transpose(0, 1).flatten(1)
        self._n += values.shape[1]
        self._sum += in_float64(values).sum(dim=1).cpu().numpy()
        self._squares += in_float64(values).square().sum(dim=1).cpu().numpy()

    def distance(self) -> float:
        mean = self._sum / self._n
        deviation = np.sqrt(np.maximum(self._squares / self._n - mean**2, 0.0))
        known_mean, known_variance = (
            tensor.detach().cpu().double().numpy()
            for tensor in (self.norm.running_mean, self.norm.running_var)
            if tensor is not None
        )
        known = np.sqrt(known_variance + self.norm.eps)
        return float(np.median(np.hypot(mean - known_mean, deviation - known) / known))
