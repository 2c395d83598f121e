"""The state of an optimizer, and of a gradient scaler, as named tensors."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_WHOLE_SCALER_FACTS: Final = ("growth_interval", "_growth_tracker")


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as named tensors."""
    packed: dict[str, Tensor] = {}
    for index, slots in optimizer.state_dict()["state"].items():
        for name, value in slots.items():
            packed[f"optimizer.{index}.{name}"] = torch.as_tensor(value).cpu()
    return packed


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put a packed state back into an optimizer over the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    for parameter, slots in optimizer.state.items():
        for name, value in slots.items():
            if value.shape == parameter.shape:
                # The fused kernel goes through memory in order: a slot that lies there in another
                # order than its parameter (channels-last) would meet the wrong weights.
                slots[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def pack_scaler(scaler: torch.amp.GradScaler) -> dict[str, Tensor]:
    """Return the gradient scaler's state as named tensors; nothing while it is switched off."""
    return {
        f"scaler.{name}": torch.tensor(value, dtype=torch.float64)
        for name, value in scaler.state_dict().items()
    }


def unpack_scaler(scaler: torch.amp.GradScaler, tensors: dict[str, Tensor]) -> None:
    """Put a packed state back into a scaler that is switched on."""
    state = {
        name.removeprefix("scaler."): tensor.item()
        for name, tensor in tensors.items()
        if name.startswith("scaler.")
    }
    if state:
        scaler.load_state_dict(
            {**state, **{name: int(state[name]) for name in _WHOLE_SCALER_FACTS}}
        )
