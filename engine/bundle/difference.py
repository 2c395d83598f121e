"""A network's tensors as what differs from the pre-trained ones: exact, and often far smaller.

A tensor that is as it was is left out. Of one that changed in places, ``NAME.changed`` holds a bit
for each value, first value in the highest bit, and ``NAME.values`` the new values in their order.
A tensor that the pre-trained network lacks, or has in another shape, is stored as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from torch import Tensor

_CHANGED: Final = ".changed"
_VALUES: Final = ".values"


def difference_of(tensors: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what has to be stored of tensors when those of ``base`` are at hand.

    Args:
        tensors: To be stored, on the CPU.
        base: The pre-trained network's, on the CPU.
    """
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        start = base.get(name)
        if start is None or start.shape != tensor.shape or start.dtype != tensor.dtype:
            stored[name] = tensor.contiguous()
            continue
        is_changed = (tensor != start).flatten()
        if is_changed.any():
            bits = np.packbits(is_changed.numpy())
            stored[name + _CHANGED] = torch.from_numpy(bits)
            stored[name + _VALUES] = tensor.flatten()[is_changed].contiguous()
    return stored


def restored(stored: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that :func:`difference_of` was given, bit by bit.

    Args:
        stored: What it returned.
        base: The same as there.

    Raises:
        ValueError: If ``stored`` doesn't fit ``base``.
    """
    tensors = {name: tensor.clone() for name, tensor in base.items()}
    for name, tensor in stored.items():
        if name.endswith(_CHANGED):
            target = name.removesuffix(_CHANGED)
            if target not in base or target + _VALUES not in stored:
                raise ValueError(f"the difference of {target} belongs to another network")
            shape, n_values = base[target].shape, base[target].numel()
            bits = np.unpackbits(tensor.numpy(), count=n_values).astype(bool)
            flat, values = base[target].flatten().clone(), stored[target + _VALUES]
            if int(bits.sum()) != len(values) or len(tensor) != (n_values + 7) // 8:
                raise ValueError(f"the difference of {target} is incomplete")
            flat[torch.from_numpy(bits)] = values
            tensors[target] = flat.view(shape)
        elif not name.endswith(_VALUES):
            tensors[name] = tensor
    return tensors
