"""One batch in several parts: which images, and how much each part weighs in the batch's loss.

The gradient of a batch's loss is the weighted sum of its parts' gradients, so a batch that memory
doesn't hold at once still makes one update, the same but for the order of the sums. Batch norms
that adapt are the exception: they normalise each part by its own statistics.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from torch import Tensor, nn

from engine.contract.targets import UNKNOWN
from engine.trainer.finding_losses import FindingsLoss
from engine.trainer.losses import LogitAdjustedLoss, OrdinalLoss


def part_bounds(n: int, largest: int, *, fewest: int = 1) -> list[tuple[int, int]]:
    """Return the first item of each part and the one after its last, for parts of nearly one size.

    Args:
        n: Items in all, at least 1.
        largest: Most items of a part; exceeded where ``fewest`` leaves no other way.
        fewest: Least items of a part, unless there are fewer in all.
    """
    n_parts = math.ceil(n / largest)
    if n // n_parts < fewest:
        n_parts = max(1, n // fewest)
    ends = [n * (part + 1) // n_parts for part in range(n_parts)]
    return list(zip([0, *ends], ends, strict=False))


def weigher(criterion: nn.Module) -> Callable[[Tensor], float]:
    """Return a function of labels on the CPU: by how much a loss divides when it takes their mean.

    That is the sum of the classes' weights where a loss has them, the number of known findings
    where there are several, and else the number of images.
    """
    while isinstance(criterion, LogitAdjustedLoss):
        criterion = criterion.loss
    if isinstance(criterion, FindingsLoss):
        return lambda labels: float((labels != UNKNOWN).sum())
    weights = criterion.class_weights if isinstance(criterion, OrdinalLoss) else None
    if isinstance(criterion, nn.CrossEntropyLoss):
        weights = criterion.weight
    if weights is None:
        return lambda labels: float(len(labels))
    of_class = weights.detach().cpu().double()
    return lambda labels: float(of_class[labels].sum())


def shares_of(weights: list[float]) -> list[float]:
    """Return the parts' weights as shares of the whole; where nothing weighs, all the same."""
    total = float(np.sum(weights))
    return [weight / total if total > 0 else 1.0 / len(weights) for weight in weights]
