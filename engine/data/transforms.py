"""Pixels to network input, and the small random changes that training makes to it.

Everything works on whole batches of tensors. Nothing mirrors: in a chest the side matters.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.contract.config import AugmentationConfig
from engine.data.image_quality import add_noise, gaussian_blur

_DRAWS: Final = 7  # angle, shift x, shift y, zoom, brightness, contrast, gamma
_VIEWS: Final[tuple[tuple[float, float, float], ...]] = (  # zoom, shift x, shift y
    (1.0, 0.0, 0.0),
    (1.05, 0.0, 0.0),
    (1.0, 0.03, 0.0),
    (1.0, -0.03, 0.0),
    (0.95, 0.0, 0.0),
    (1.0, 0.0, 0.03),
    (1.0, 0.0, -0.03),
    (1.1, 0.0, 0.0),
    (1.05, 0.03, 0.03),
    (1.05, -0.03, -0.03),
    (1.05, 0.03, -0.03),
    (1.05, -0.03, 0.03),
    (0.95, 0.02, 0.02),
    (0.95, -0.02, -0.02),
    (1.0, 0.05, 0.0),
    (1.0, -0.05, 0.0),
)


def pixels_to_batch(pixels: NDArray[Any], device: str = "cpu") -> Tensor:
    """Return cached pixels as network input.

    Args:
        pixels: ``(N, H, W)`` or ``(N, H, W, 3)``, uint8 or uint16, full range.
        device: Where the batch goes; the pixels travel there in their smaller type.

    Returns:
        Float32 in [0, 1], ``(N, 1, H, W)`` or ``(N, 3, H, W)``.
    """
    largest = np.iinfo(pixels.dtype).max
    batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
    batch = batch.to(torch.float32).mul_(1.0 / largest)
    return batch.unsqueeze(1) if pixels.ndim == 3 else batch.permute(0, 3, 1, 2)


class Augment:
    """Random rotation, shift, zoom, brightness, contrast, gamma, blur and noise, for each image.

    What comes in at the borders has the value that the image contract pads with. Grey values
    change after that, so that both kinds of padding stay alike and a moved image can't be told by
    its border. Blur and noise come last, as a detector adds them.
    """

    def __init__(self, config: AugmentationConfig, *, padding: str = "black") -> None:
        """Prepare.

        Args:
            config: Largest changes.
            padding: ``ImageContract.padding``: ``black`` or ``edge_mean``.
        """
        self._config = config
        self._padding = padding

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Return a changed copy of a batch.

        Args:
            batch: Values in [0, 1], ``(N, C, H, W)``.
            generator: On the CPU, so that every device gets the same changes; 7 N numbers are
                drawn from it, and more for blur and noise where there are any.

        Returns:
            Values in [0, 1], of the same shape.
        """
        config = self._config
        draws = torch.rand(_DRAWS, len(batch), generator=generator).mul_(2.0).sub_(1.0)
        angle, shift_x, shift_y, zoom, brightness, contrast, gamma = draws.to(batch.device)
        if config.rotation_deg or config.shift or config.zoom:
            batch = move(
                batch,
                angle_deg=angle * config.rotation_deg,
                shift_x=shift_x * config.shift,
                shift_y=shift_y * config.shift,
                zoom=1.0 + zoom * config.zoom,
                padding=self._padding,
            )
        batch = change_greys(
            batch,
            brightness=brightness * config.brightness,
            contrast=1.0 + contrast * config.contrast,
            gamma=1.0 + gamma * config.gamma,
        )
        return self._degraded(batch, generator)

    def _degraded(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        config = self._config
        if config.blur:
            sigma = config.blur * torch.rand(len(batch), generator=generator)
            batch = gaussian_blur(batch, sigma.to(batch.device))
        if config.noise:
            sd = config.noise * torch.rand(len(batch), generator=generator)
            batch = add_noise(batch, sd, generator).clamp_(0.0, 1.0)
        return batch


def move(
    batch: Tensor,
    *,
    angle_deg: Tensor,
    shift_x: Tensor,
    shift_y: Tensor,
    zoom: Tensor,
    padding: str,
) -> Tensor:
    """Return images rotated about their centre, zoomed and shifted, with bilinear interpolation.

    Args:
        batch: ``(N, C, H, W)``, H equal to W.
        angle_deg: Clockwise on the screen, degrees, ``(N,)``.
        shift_x: To the right, as a share of the side, ``(N,)``.
        shift_y: Downwards, likewise.
        zoom: Above 1 enlarges, ``(N,)``.
        padding: What comes in at the borders: ``black`` or ``edge_mean``.
    """
    radians = torch.deg2rad(angle_deg)
    cos, sin = torch.cos(radians) / zoom, torch.sin(radians) / zoom
    # The grid asks where each output pixel comes from, in half sides from the centre.
    x, y = -2.0 * shift_x, -2.0 * shift_y
    top = torch.stack([cos, sin, cos * x + sin * y], dim=1)
    bottom = torch.stack([-sin, cos, -sin * x + cos * y], dim=1)
    grid = F.affine_grid(torch.stack([top, bottom], dim=1), list(batch.shape), align_corners=False)
    fill = _padding_values(batch) if padding == "edge_mean" else None
    if fill is None:
        return F.grid_sample(batch, grid, padding_mode="zeros", align_corners=False)
    # grid_sample only pads with zeros, so the padding's value is made zero for a moment.
    return F.grid_sample(batch - fill, grid, padding_mode="zeros", align_corners=False) + fill


def change_greys(batch: Tensor, *, brightness: Tensor, contrast: Tensor, gamma: Tensor) -> Tensor:
    """Return ``(v ** gamma - 1/2) * contrast + 1/2 + brightness``, limited to [0, 1].

    Args:
        batch: Values in [0, 1], ``(N, C, H, W)``.
        brightness: Added to each image, ``(N,)``.
        contrast: Factor about mid-grey, ``(N,)``.
        gamma: Exponent, ``(N,)``.
    """
    gamma, contrast, brightness = (t.view(-1, 1, 1, 1) for t in (gamma, contrast, brightness))
    offset = brightness + 0.5 - 0.5 * contrast
    return batch.pow(gamma).mul_(contrast).add_(offset).clamp_(0.0, 1.0)


def _padding_values(batch: Tensor) -> Tensor:
    """Return the value that each image was letterboxed with, ``(N, C, 1, 1)``.

    Two opposite borders of one value each are the letterbox; an image without one gets the mean of
    its outer frame, which is what a letterbox would have had.
    """
    frame = (batch[:, :, 0, :], batch[:, :, -1, :], batch[:, :, :, 0], batch[:, :, :, -1])
    first, last, left, right = frame
    inner = (left[:, :, 1:-1], right[:, :, 1:-1])
    value = torch.cat([first, last, *inner], dim=2).mean(dim=2)
    for one, other in ((left, right), (first, last)):
        both = torch.cat([one, other], dim=2)
        is_bar = both.amax(dim=2) == both.amin(dim=2)
        value = torch.where(is_bar, both[:, :, 0], value)
    return value[:, :, None, None]


def test_time_views(batch: Tensor, n: int, *, padding: str = "black") -> list[Tensor]:
    """Return ``n`` fixed views of a batch: itself, then slightly zoomed and shifted copies.

    Args:
        batch: Values in [0, 1], ``(N, C, H, W)``.
        n: From 1 to 16.
        padding: ``ImageContract.padding``.

    Raises:
        ValueError: If there are not so many views.
    """
    if not 1 <= n <= len(_VIEWS):
        raise ValueError(f"there are 1 to {len(_VIEWS)} views, not {n}")
    still = torch.zeros(len(batch), device=batch.device)
    return [batch] + [
        move(
            batch,
            angle_deg=still,
            shift_x=still + shift_x,
            shift_y=still + shift_y,
            zoom=still + zoom,
            padding=padding,
        )
        for zoom, shift_x, shift_y in _VIEWS[1:n]
    ]
