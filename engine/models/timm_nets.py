"""Backbones that timm builds, and the names that other files give to their tensors."""

from __future__ import annotations

import os
import re
from typing import Final

from torch import nn

_BLOCKS_PER_STAGE: Final = (1, 2, 2, 3, 3, 4, 1)  # EfficientNet-B0 and Lite0
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


def build_timm(builder: str) -> nn.Module:
    """Return timm's network of that name with random weights and its 1,000-class head."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when timm imports the hub's client
    import timm

    network: nn.Module = timm.create_model(builder, pretrained=False)
    return network


def rename_lite0(name: str) -> str:
    """Return timm's name for a tensor of the EfficientNet-Lite authors' files.

    There, blocks are counted through (``_blocks.5._bn0``) and norms are numbered from 0 with the
    expansion, which the first block lacks; timm counts blocks within stages (``blocks.3.0.bn1``).
    Any other name comes back unchanged.
    """
    if match := re.fullmatch(r"(.*)_blocks\.(\d+)\.(_\w+)\.(\w+)", name):
        prefix, index, layer, tensor = match[1], int(match[2]), match[3], match[4]
        layers = _OTHER_BLOCKS if index else _FIRST_BLOCK
        if layer in layers and index < sum(_BLOCKS_PER_STAGE):
            return f"{prefix}blocks.{_stage_and_block(index)}.{layers[layer]}.{tensor}"
        return name
    if (match := re.fullmatch(r"(.*\.)?(_\w+)\.(\w+)", name)) and match[2] in _OUTER:
        return f"{match[1] or ''}{_OUTER[match[2]]}.{match[3]}"
    return name


def _stage_and_block(index: int) -> str:
    for stage, n_blocks in enumerate(_BLOCKS_PER_STAGE):
        if index < n_blocks:
            return f"{stage}.{index}"
        index -= n_blocks
    raise ValueError("the network has no such block")
