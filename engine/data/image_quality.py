"""What a detector and a film do to an image: blur and noise, of another strength for each image."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

REFERENCE_PX: Final = 224.0
"""Widths of blur are in pixels of an image of this side, and grow with the side."""
_REACH: Final = 3.0  # standard deviations, beyond which a Gaussian is cut off


def gaussian_blur(images: Tensor, sigma_px: Tensor) -> Tensor:
    """Return images blurred by a Gaussian; outside an image its border goes on.

    Args:
        images: ``(N, C, H, W)``.
        sigma_px: Standard deviation for each image, in pixels of a 224-px image, ``(N,)``; 0 leaves
            an image as it is.
    """
    n, channels, height, width = images.shape
    sigma = sigma_px * (width / REFERENCE_PX)
    reach = max(1, round(_REACH * float(sigma.max())))
    at = torch.arange(-reach, reach + 1, dtype=torch.float32, device=images.device)
    weights = torch.exp(-0.5 * (at / sigma.clamp_min(1e-3)[:, None]) ** 2)
    weights = (weights / weights.sum(dim=1, keepdim=True)).to(images.dtype)
    rows = weights.repeat_interleave(channels, dim=0).view(n * channels, 1, 1, -1)
    # One group per image and channel: each has a Gaussian of its own.
    flat = images.reshape(1, n * channels, height, width)
    padded = F.pad(flat, (reach, reach, reach, reach), mode="replicate")
    across = F.conv2d(padded, rows, groups=n * channels)
    blurred = F.conv2d(across, rows.transpose(2, 3), groups=n * channels)
    return blurred.view(n, channels, height, width)


def add_noise(images: Tensor, sd: Tensor, generator: torch.Generator) -> Tensor:
    """Return images with independent Gaussian noise in every grey value, not limited to [0, 1].

    Args:
        images: ``(N, C, H, W)``.
        sd: Standard deviation for each image as a share of the full range, ``(N,)``.
        generator: On the CPU, so that every device gets the same noise.
    """
    noise = torch.randn(images.shape, generator=generator).to(images)
    return images + sd.to(images).view(-1, 1, 1, 1) * noise
