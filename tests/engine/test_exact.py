"""Numbers of twice the precision on devices that have none."""

from __future__ import annotations

import torch

from engine.hardware.exact import in_float64


class _OfMetal:
    """A tensor as one of an Apple GPU: it has no float64, and can be brought to the processor."""

    device = torch.device("mps")

    def cpu(self) -> torch.Tensor:
        return torch.tensor([0.1, 0.2])

    def double(self) -> torch.Tensor:
        raise TypeError("the MPS framework doesn't support float64")


def test_an_apple_gpu_is_left_before_the_precision_is_doubled() -> None:
    exact = in_float64(_OfMetal())  # type: ignore[arg-type]
    assert (exact.dtype, exact.tolist()) == (torch.float64, torch.tensor([0.1, 0.2]).tolist())


def test_elsewhere_a_tensor_stays_where_it_is() -> None:
    assert in_float64(torch.empty(2, device="meta")).device.type == "meta"
