"""Numbers of twice the precision, also of devices that have none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def in_float64(tensor: Tensor) -> Tensor:
    """Return a tensor in float64, on its device or, from an Apple GPU, on the processor.

    Metal has no float64, and torch raises a ``TypeError`` where one is asked of it.
    """
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()
