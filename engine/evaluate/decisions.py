"""How a network's logits become answers, and by how much each right answer leads.

Of one class an image there is one answer, the class. Of several findings at once there is one for
each finding that is known: present or absent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.contract.targets import UNKNOWN
from engine.models.attacks import Criterion

REST: Final = math.log(99.0)
"""A lead below minus this is wrong by a wide margin: at a threshold of 0.5 the right answer's
probability is below 1 %."""
_LEAST: Final = 1e-6  # a threshold at the very end would have no odds


class Answering(Protocol):
    """What an attack has to know about the answers."""

    def leads(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return by how much each right answer leads, ``(N, Q)``; NaN where none is known.

        Below 0 the answer is wrong.
        """

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what an attack raises, ``(N,)``: of two changes the one with more is worse."""

    def restarts(self, n_logits: int) -> tuple[Criterion, ...]:
        """Return what an attack raises in turn when it starts anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One class an image.

    Attributes:
        threshold: Probability of the positive class from which an image counts as positive; None
            takes the largest logit.
        positive: Index of the positive class of two.
    """

    threshold: float | None
    positive: int = 1

    def margin(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return by how much the right answer leads, ``(N,)``; below 0 it is the wrong one."""
        if self.threshold is None:
            own = logits.gather(1, labels[:, None])[:, 0]
            others = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
            return own - others
        lead = logits[:, self.positive] - logits[:, 1 - self.positive]
        lead = lead - _log_odds(self.threshold)
        return torch.where(labels == self.positive, lead, -lead)

    def leads(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the margin as the lead of the only answer, ``(N, 1)``."""
        return self.margin(logits, labels)[:, None]

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return how far the right answer is behind, ``(N,)``."""
        return -self.margin(logits, labels)

    def restarts(self, n_logits: int) -> tuple[Criterion, ...]:
        """Return the cross-entropy, too, where it isn't the same direction."""
        return (self.loss,) if n_logits == 2 else (F.cross_entropy, self.loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingsDecision:
    """Several findings an image, each by its own threshold.

    One change is sought for all known findings of an image together. What it raises is their mean
    binary cross-entropy, counted from each finding's threshold, where answers turn, and no further
    once a finding is wrong by a wide margin, so that one lost finding doesn't draw all effort.

    Attributes:
        thresholds: Probability from which each finding counts as present, K of them.
    """

    thresholds: Sequence[float]

    def leads(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the lead of each finding's right state, ``(N, K)``; NaN where it is unknown."""
        leads = self._signed(logits, labels)
        return leads.masked_fill(labels == UNKNOWN, torch.nan)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean binary cross-entropy of the known findings, ``(N,)``."""
        return self._mean(F.softplus(-self._capped(logits, labels)), labels)

    def restarts(self, n_logits: int) -> tuple[Criterion, ...]:
        """Return the cross-entropy and the mean lead, which doesn't fade where a network is sure.

        References:
            Carlini and Wagner, "Towards Evaluating the Robustness of Neural Networks", IEEE S&P
            2017.
        """
        return (self.loss, lambda logits, labels: self._mean(-self._capped(logits, labels), labels))

    def _signed(self, logits: Tensor, labels: Tensor) -> Tensor:
        odds = [_log_odds(threshold) for threshold in self.thresholds]
        above = logits - torch.tensor(odds, dtype=logits.dtype, device=logits.device)
        return torch.where(labels == 1, above, -above)

    def _capped(self, logits: Tensor, labels: Tensor) -> Tensor:
        return self._signed(logits, labels).clamp(min=-REST)

    def _mean(self, values: Tensor, labels: Tensor) -> Tensor:
        is_known = labels != UNKNOWN
        return torch.where(is_known, values, 0.0).sum(dim=1) / is_known.sum(dim=1).clamp(min=1)


def _log_odds(threshold: float) -> float:
    share = min(max(threshold, _LEAST), 1.0 - _LEAST)
    return math.log(share / (1.0 - share))
