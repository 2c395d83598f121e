"""What of a backbone comes before pooling and head, run step by step."""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.layouts import CHANNELS_LAST, TOKENS, Layout


class Body(nn.Sequential):
    """A library network's layers under the library's names.

    Called on ``(N, 3, H, W)`` normalised values it gives the last feature maps, ``(N, F, h, w)``.

    Attributes:
        layout: In which order the layers run, and where features are taken.
    """

    def __init__(self, layers: OrderedDict[str, nn.Module], layout: Layout) -> None:
        super().__init__(layers)
        self.layout = layout

    def step(self, name: str, x: Tensor) -> Tensor:
        """Return what the layer of that name makes of what the one before gave."""
        y: Tensor = self.get_submodule(name)(x)
        return y

    def as_maps(self, x: Tensor) -> Tensor:
        """Return what a step gave as feature maps, ``(N, C, h, w)``."""
        return x.permute(0, 3, 1, 2) if self.layout.axes == CHANNELS_LAST else x

    def class_token(self, x: Tensor) -> Tensor | None:
        """Return the token, ``(N, C)``, that sums up the image after a step; None without one."""
        return None

    def forward(self, x: Tensor) -> Tensor:
        """Return the last feature maps."""
        for name in (name for names in self.layout.stages for name in names):
            x = self.step(name, x)
        return self.as_maps(x)


class TokenBody(Body):
    """The body of a vision transformer: a square image becomes a token for each patch.

    The position embedding was learned for one grid of patches and is interpolated for any other,
    as timm does it (bicubic, smoothed where the grid is coarser).
    """

    cls_token: nn.Parameter
    pos_embed: nn.Parameter

    def __init__(
        self,
        layers: OrderedDict[str, nn.Module],
        layout: Layout,
        *,
        cls_token: nn.Parameter,
        pos_embed: nn.Parameter,
    ) -> None:
        super().__init__(layers, layout)
        self.cls_token = cls_token
        self.pos_embed = pos_embed

    def step(self, name: str, x: Tensor) -> Tensor:
        """Return what the layer of that name makes of images or tokens.

        Raises:
            ValueError: If images are not square, or no whole number of patches wide.
        """
        return self._embed(x) if name == "patch_embed" else super().step(name, x)

    def _embed(self, images: Tensor) -> Tensor:
        first = self.get_submodule("patch_embed.proj")
        assert isinstance(first, nn.Conv2d)
        patch = first.stride[0]
        height, width = images.shape[-2:]
        if height != width or height % patch:
            raise ValueError(f"images must be squares of whole {patch} px patches, not {height} px")
        patches = self.get_submodule("patch_embed")(images).flatten(1, 2)
        tokens = torch.cat((self.cls_token.expand(len(patches), -1, -1), patches), dim=1)
        return tokens + resampled_positions(self.pos_embed, height // patch)

    def as_maps(self, x: Tensor) -> Tensor:
        """Return the patches' tokens where they lie in the image, ``(N, C, h, w)``."""
        side = math.isqrt(x.shape[1] - 1)
        return x[:, 1:].transpose(1, 2).reshape(len(x), -1, side, side)

    def class_token(self, x: Tensor) -> Tensor | None:
        """Return the token that belongs to no patch."""
        return x[:, 0]


def make_body(network: nn.Module, layout: Layout) -> Body:
    """Take a library's network apart and return what comes before pooling and head."""
    dropped = (*layout.dropped, *layout.heads)
    layers = OrderedDict((n, m) for n, m in network.named_children() if n not in dropped)
    if layout.axes == TOKENS:
        loose = dict(network.named_parameters(recurse=False))
        return TokenBody(layers, layout, cls_token=loose["cls_token"], pos_embed=loose["pos_embed"])
    if "relu" in layout.taps:  # DenseNet applies it in forward(): not a layer of its own
        layers["relu"] = nn.ReLU(inplace=True)
    return Body(layers, layout)


def resampled_positions(pos_embed: Tensor, side: int) -> Tensor:
    """Return a position embedding for another grid.

    Args:
        pos_embed: Shape ``(1, 1 + g * g, C)``, the class token's first.
        side: Patches along a side of the new grid.

    Returns:
        Shape ``(1, 1 + side * side, C)``.
    """
    old_side = math.isqrt(pos_embed.shape[1] - 1)
    if old_side == side:
        return pos_embed
    # As a product of matrices, whose gradient is the same in every run, unlike interpolation's.
    weights = _resampling(old_side, side).to(pos_embed.device)
    with torch.autocast(pos_embed.device.type, enabled=False):
        grid = pos_embed[0, 1:].float().view(old_side, old_side, -1)
        grid = torch.einsum("ia,jb,abc->ijc", weights, weights, grid)
    return torch.cat((pos_embed[:, :1], grid.flatten(0, 1)[None]), dim=1)


@cache
def _resampling(old_side: int, side: int) -> Tensor:
    """Return the matrix that interpolates ``old_side`` values at ``side`` places."""
    with torch.inference_mode(False):  # kept: it takes part in training later
        unit = torch.eye(old_side, device="cpu")[None, None]
        return F.interpolate(unit, size=(side, old_side), mode="bicubic", antialias=True)[0, 0]
