"""L2-SP: weights are drawn back to their pre-trained values, the more the further they are away.

References:
    Li, Grandvalet and Davoine, "Explicit Inductive Bias for Transfer Learning with Convolutional
    Networks", ICML 2018.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from engine.methods.anchored import AnchoredMethod


class L2SP(AnchoredMethod):
    """``w = w0 + (w - w0) * (1 - lr * strength)`` after each update."""

    key: ClassVar[str] = "l2_sp"
    strengths: ClassVar[tuple[float, ...]] = (3.0, 10.0, 30.0)

    def pulled(self, change: Tensor, step: float) -> Tensor:
        """Return a share of the change; never beyond the pre-trained value."""
        return change * max(0.0, 1.0 - step)
