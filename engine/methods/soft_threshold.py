"""Soft threshold: only the weights that the new task needs move, the others stay exactly.

After each update every change from the pre-trained weights is shrunk by a fixed amount and stops at
zero: the proximal step of an L1 penalty on the distance from the starting point (L1-SP).

References:
    Li, Grandvalet and Davoine, "Explicit Inductive Bias for Transfer Learning with Convolutional
    Networks", ICML 2018. Parikh and Boyd, "Proximal Algorithms", 2014, section 6.5.2. Yun, Lozano
    and Yang, "Adaptive Proximal Gradient Methods for Structured Neural Networks", NeurIPS 2021
    (proximal steps with Adam).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.methods.anchored import AnchoredLayer, AnchoredMethod
from engine.methods.descent import with_refitted_head
from engine.methods.method import MethodContext
from engine.models.network import Network


class SoftThreshold(AnchoredMethod):
    """``w = w0 + soft(w - w0, lr * strength)`` after each update."""

    key: ClassVar[str] = "soft_threshold"
    strengths: ClassVar[tuple[float, ...]] = (0.3, 0.5, 0.7)

    def pulled(self, change: Tensor, step: float) -> Tensor:
        """Return the change, nearer to zero by ``step`` and at most zero."""
        return F.softshrink(change, step)

    @torch.no_grad()
    def finish_epoch(self, network: Network, context: MethodContext) -> Network:
        """Return the averaged body, in which what training holds at the start lies there.

        An average of a weight that left its pre-trained value for a few steps lies beside it and
        would count as changed, though the proximal step holds it exactly there by now.
        """
        body = copy.deepcopy(network.body)
        trained = dict(self._trained.body.named_parameters())
        for name, parameter in body.named_parameters():
            start = self._origin[name]
            parameter.copy_(torch.where(trained[name] == start, start, parameter))
        return with_refitted_head(network, body, context)

    def effect(self, layers: Sequence[AnchoredLayer]) -> dict[str, Any]:
        """Return how many weights are exactly as pre-trained.

        Some of them would be without any pull, too: those that never got a gradient.

        Returns:
            ``untouched``: ``layers``, the name of each group with its weights, how many of them are
            exactly as pre-trained and whether they were ``trained`` or frozen; ``share`` of all
            that are untouched, and ``share_of_trained`` of those that could change, None where
            none could.
        """
        counted = [
            {
                "name": layer.name,
                "weights": sum(now.numel() for now, _ in layer.pairs),
                "untouched": sum(int((now == start).sum()) for now, start in layer.pairs),
                "trained": layer.is_trained,
            }
            for layer in layers
        ]
        return {
            "untouched": {
                "share": _share_untouched(counted),
                "share_of_trained": _share_untouched([la for la in counted if la["trained"]]),
                "layers": counted,
            }
        }


def _share_untouched(layers: Sequence[dict[str, Any]]) -> float | None:
    n_weights = sum(layer["weights"] for layer in layers)
    return sum(layer["untouched"] for layer in layers) / n_weights if n_weights else None
