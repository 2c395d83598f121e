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
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.contract.config import ExperimentConfig
from engine.methods.anchored import AnchoredMethod
from engine.methods.descent import with_refitted_head
from engine.methods.method import MethodContext, ParameterGroup
from engine.models.network import Network

_STEPS_AT_REST: Final = 3.0


class SoftThreshold(AnchoredMethod):
    """``w = w0 + soft(w - w0, lr * strength)`` after each update."""

    key: ClassVar[str] = "soft_threshold"
    title: ClassVar[str] = "Soft threshold"
    strengths: ClassVar[tuple[float, ...]] = (0.01, 0.03, 0.1)

    def pulled(self, change: Tensor, step: float) -> Tensor:
        """Return the change, nearer to zero by ``step`` and at most zero."""
        return F.softshrink(change, step)

    def parameter_groups(
        self, network: Network, config: ExperimentConfig
    ) -> tuple[ParameterGroup, ...]:
        """Return the groups of full fine-tuning, and remember how far a step takes each weight."""
        groups = super().parameter_groups(network, config)
        names = {id(p): n for n, p in network.body.named_parameters()}
        self._steps = {
            names[id(parameter)]: config.optimizer.learning_rate * group.lr_ratio
            for group in groups
            for parameter in group.parameters
            if id(parameter) in names
        }
        return groups

    @torch.no_grad()
    def finish_epoch(self, network: Network, context: MethodContext) -> Network:
        """Return the averaged body, in which only what really moved has moved.

        An average of a weight that left its pre-trained value for a few steps, or trembles around
        it, lies beside it and would count as changed. Adam moves a weight by about the learning
        rate at most, so an average that is no more than three steps of the peak rate away hasn't
        been going anywhere: it is put back, and so is what training has at rest in the end.
        """
        body = copy.deepcopy(network.body)
        trained = dict(self._trained.body.named_parameters())
        for name, parameter in body.named_parameters():
            start = self._origin[name]
            is_at_rest = trained[name] == start
            reach = _STEPS_AT_REST * self._steps.get(name, 0.0)
            is_at_rest |= (parameter - start).abs() < reach
            parameter.copy_(torch.where(is_at_rest, start, parameter))
        return with_refitted_head(network, body, context)
