"""How much memory a training step needs, found with images too small to need much."""

from __future__ import annotations

import copy
from typing import Final

import torch
from torch import Tensor

from engine.contract.backbones import nearest_sizes
from engine.models.network import Network

_PROBE_PX: Final = 96
# Gradients of the maps and workspaces come on top of what is kept for them. Peaks of steps with 16
# images in fp32 were 0.9 to 1.3 times what is kept (EfficientNet-Lite0, ResNet-18, ViT-Tiny).
_ON_TOP: Final = 1.3
_COPIES: Final = 4  # of each trained weight: its gradient, two moments, an average


def bytes_per_image(network: Network, size_px: int, *, channels: int, precision: str) -> int:
    """Return the bytes that autograd keeps of one image until its gradient is computed.

    They grow with the pixels, so a forward pass with small images tells those of large ones.

    Args:
        network: In the mode and with the frozen layers of its training; a copy of it is used.
        size_px: Side of the image.
        channels: 1 or 3.
        precision: ``fp32``, ``bf16`` or ``fp16``.
    """
    network = copy.deepcopy(network).cpu()
    probe_px = nearest_sizes(network.card, _PROBE_PX)[-1]
    with torch.random.fork_rng(devices=[]):
        # What doesn't grow, such as weights in 16 bits, is in both and so in neither.
        one, two = (_kept_bytes(network, n, channels, probe_px, precision) for n in (1, 2))
    return int((two - one) * (size_px / probe_px) ** 2)


def _kept_bytes(network: Network, n: int, channels: int, size_px: int, precision: str) -> int:
    own = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    images = torch.rand(n, channels, size_px, size_px)
    with (
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision != "fp32"),
    ):
        logits = network(images)  # holds on to what is kept, so that no address is used twice
    del logits
    return sum(kept.values())


def step_bytes(network: Network, per_image: int, n_images: int) -> int:
    """Return about how many bytes a training step adds to those that the network itself has.

    Args:
        network: Its trained parameters count.
        per_image: What :func:`bytes_per_image` says.
        n_images: Images that are computed at once.
    """
    trained = sum(p.numel() * p.element_size() for p in network.parameters() if p.requires_grad)
    return int(_COPIES * trained + n_images * per_image * _ON_TOP)
