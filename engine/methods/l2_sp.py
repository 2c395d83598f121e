"""L2-SP: weights are drawn back to their pre-trained values, the more the further they are away.

References:
    Li, Grandvalet and Davoine, "Explicit Inductive Bias for Transfer Learning with Convolutional
    Networks", ICML 2018.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from torch import Tensor

from engine.hardware.exact import in_float64
from engine.methods.anchored import AnchoredLayer, AnchoredMethod


class L2SP(AnchoredMethod):
    """``w = w0 + (w - w0) * (1 - lr * strength)`` after each update."""

    key: ClassVar[str] = "l2_sp"
    strengths: ClassVar[tuple[float, ...]] = (3.0, 10.0, 30.0)

    def pulled(self, change: Tensor, step: float) -> Tensor:
        """Return a share of the change; never beyond the pre-trained value."""
        return change * max(0.0, 1.0 - step)

    def effect(self, layers: Sequence[AnchoredLayer]) -> dict[str, Any]:
        """Return how far weights went from their pre-trained values.

        How many stayed there says nothing here: this pull gets none quite back, and those that stay
        are the ones without a gradient.

        Returns:
            ``moved``: ``layers``, the name of each group, whether it was ``trained`` or frozen, and
            its ``distance``, the norm of its change relative to that of the pre-trained values; and
            ``distance_of_trained``, that of all groups that could change, None where none could.
        """
        trained = [pair for layer in layers if layer.is_trained for pair in layer.pairs]
        return {
            "moved": {
                "distance_of_trained": _distance(trained) if trained else None,
                "layers": [
                    {
                        "name": layer.name,
                        "distance": _distance(layer.pairs),
                        "trained": layer.is_trained,
                    }
                    for layer in layers
                ],
            }
        }


def _distance(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    pairs = list(pairs)
    change = sum(
        float((in_float64(now) - in_float64(start)).square().sum()) for now, start in pairs
    )
    norm = sum(float(in_float64(start).square().sum()) for _, start in pairs)
    return math.sqrt(change / norm) if norm > 0 else 0.0
