"""Backbones that timm builds, and the names that other files give to their tensors."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from torch import nn

LITE0_BLOCKS: Final = (1, 2, 2, 3, 3, 4, 1)
"""Blocks per stage of EfficientNet-Lite0."""
LITE1_BLOCKS: Final = (1, 3, 3, 4, 4, 5, 1)
"""Blocks per stage of EfficientNet-Lite1 and Lite2."""
_OUTER: Final = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST_BLOCK: Final = {  # no expansion
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_OTHER_BLOCKS: Final = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def build_timm(builder: str, drop_path: float = 0.0) -> nn.Module:
    """Return timm's network of that name with random weights and its original head.

    Vision transformers take images of any whole number of patches.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when timm imports the hub's client
    import timm

    # Transformers have no size of their own here; see ``TokenBody``.
    sizes: dict[str, Any] = {"dynamic_img_size": True} if builder.startswith("vit_") else {}
    network: nn.Module = timm.create_model(
        builder, pretrained=False, drop_path_rate=drop_path, **sizes
    )
    return network


def rename_lite(name: str, *, n_blocks: tuple[int, ...] = LITE0_BLOCKS) -> str:
    """Return timm's name for a tensor of the EfficientNet-Lite authors' files.

    There, blocks are counted through (``_blocks.5._bn0``) and norms are numbered from 0 with the
    expansion, which the first block lacks; timm counts blocks within stages (``blocks.3.0.bn1``).
    Any other name comes back unchanged.

    Args:
        name: Name in the file.
        n_blocks: Blocks per stage.
    """
    if match := re.fullmatch(r"(.*)_blocks\.(\d+)\.(_\w+)\.(\w+)", name):
        prefix, index, layer, tensor = match[1], int(match[2]), match[3], match[4]
        layers = _OTHER_BLOCKS if index else _FIRST_BLOCK
        if layer in layers and index < sum(n_blocks):
            return f"{prefix}blocks.{_stage_and_block(index, n_blocks)}.{layers[layer]}.{tensor}"
        return name
    if (match := re.fullmatch(r"(.*\.)?(_\w+)\.(\w+)", name)) and match[2] in _OUTER:
        return f"{match[1] or ''}{_OUTER[match[2]]}.{match[3]}"
    return name


def _stage_and_block(index: int, n_blocks: tuple[int, ...]) -> str:
    for stage, n in enumerate(n_blocks):
        if index < n:
            return f"{stage}.{index}"
        index -= n
    raise ValueError("the network has no such block")
