"""What happens to radiographs by accident, in five severities each.

After Hendrycks and Dietterich, with degradations and strengths that a reading room knows instead
of snow and fog. Severity 1 passes unnoticed, severity 5 would be sent back. Everything works on
images as the network gets them; lengths are in pixels of a 224-px image and grow with the side.

References:
    Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
    Perturbations", ICLR 2019.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from engine.data.image_quality import add_noise, gaussian_blur
from engine.data.transforms import move

N_SEVERITIES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Corruption:
    """One kind of degradation.

    Attributes:
        key: As in ``CorruptionPoint.kind``.
        levels: Strength at severities 1 to 5.
        words: A severity in words, with ``{0}`` for its level and ``{1}`` for its percentage.
        apply: Takes images ``(N, C, H, W)`` in [0, 1], a level, a random number generator on the
            CPU and the padding of the image contract; returns new images of the same shape.
    """

    key: str
    levels: tuple[float, ...]
    words: str
    apply: Callable[[Tensor, float, torch.Generator, str], Tensor]

    def level_text(self, severity: int) -> str:
        """Return how strong a severity from 1 to 5 is, in words."""
        level = self.levels[severity - 1]
        return self.words.format(level, 100.0 * level)


def corrupt(
    images: Tensor, key: str, severity: int, *, seed: int = 0, padding: str = "black"
) -> Tensor:
    """Return degraded copies of images.

    Args:
        images: Values in [0, 1], ``(N, C, H, W)``, H equal to W.
        key: A key of :data:`CORRUPTIONS`.
        severity: From 0, which changes nothing, to 5.
        seed: Of noise, and of the side to which images turn or their exposure errs.
        padding: ``ImageContract.padding``.

    Returns:
        Values in [0, 1], same shape; the same on every call.

    Raises:
        ValueError: If there is no such corruption or severity.
    """
    if key not in CORRUPTIONS or not 0 <= severity <= N_SEVERITIES:
        raise ValueError(f"no corruption {key!r} of severity {severity}")
    if severity == 0:
        return images.clone()
    corruption = CORRUPTIONS[key]
    generator = torch.Generator().manual_seed(seed)
    changed = corruption.apply(images, corruption.levels[severity - 1], generator, padding)
    return changed.clamp_(0.0, 1.0)


def _noise(images: Tensor, level: float, generator: torch.Generator, _padding: str) -> Tensor:
    """Add noise as of too low a dose: Gaussian, of standard deviation ``level``."""
    return add_noise(images, torch.full((len(images),), level), generator)


def _blur(images: Tensor, level: float, _generator: torch.Generator, _padding: str) -> Tensor:
    """Blur as motion or a badly focused scan does: Gaussian of ``level`` pixels."""
    return gaussian_blur(images, torch.full((len(images),), level, device=images.device))


def _resolution(images: Tensor, level: float, _generator: torch.Generator, _padding: str) -> Tensor:
    """Keep fewer pixels, as a screenshot or a small export does: ``level`` times fewer a side."""
    side = images.shape[-1]
    small = F.interpolate(images, size=max(1, round(side / level)), mode="area")
    return F.interpolate(small, size=side, mode="bilinear", align_corners=False)


def _contrast(images: Tensor, level: float, _generator: torch.Generator, _padding: str) -> Tensor:
    """Flatten as too wide a window does: ``level`` times the distance from the mean grey."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + level * (images - mean)


def _exposure(images: Tensor, level: float, generator: torch.Generator, _padding: str) -> Tensor:
    """Darken half of the images and brighten the others: a gamma of ``level`` or its inverse."""
    gamma = level ** _sides(len(images), generator)
    return images.pow(gamma.to(images).view(-1, 1, 1, 1))


def _jpeg(images: Tensor, level: float, _generator: torch.Generator, _padding: str) -> Tensor:
    """Compress as a messenger does: JPEG of quality ``level``."""
    arrays = (images * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    decoded = [_through_jpeg(array, round(level)) for array in arrays]
    stacked = torch.from_numpy(np.stack(decoded)).to(images.device)
    return stacked.permute(0, 3, 1, 2).to(images.dtype) / 255.0


def _rotation(images: Tensor, level: float, generator: torch.Generator, padding: str) -> Tensor:
    """Turn as a patient lies: by ``level`` degrees, half of the images to each side."""
    still = torch.zeros(len(images), device=images.device)
    return move(
        images,
        angle_deg=level * _sides(len(images), generator).to(images),
        shift_x=still,
        shift_y=still,
        zoom=still + 1.0,
        padding=padding,
    )


def _sides(n: int, generator: torch.Generator) -> Tensor:
    """Return -1 or 1 for each of ``n`` images, as evenly as ``n`` allows."""
    order = torch.randperm(n, generator=generator)
    return torch.where(order % 2 == 0, -1.0, 1.0)


def _through_jpeg(array: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    grey = array.shape[2] == 1
    stream = io.BytesIO()
    Image.fromarray(array[:, :, 0] if grey else array).save(stream, "JPEG", quality=quality)
    decoded = np.asarray(Image.open(stream))
    return decoded[:, :, np.newaxis] if grey else decoded


CORRUPTIONS: Final = {
    corruption.key: corruption
    for corruption in (
        Corruption(
            key="noise",
            levels=(0.02, 0.04, 0.07, 0.11, 0.16),
            words="noise of {1:.0f} % of the grey range",
            apply=_noise,
        ),
        Corruption(
            key="blur", levels=(0.6, 1.0, 1.6, 2.4, 3.5), words="blur of {0:g} px", apply=_blur
        ),
        Corruption(
            key="resolution",
            levels=(1.5, 2.0, 3.0, 4.0, 6.0),
            words="{0:g} times coarser",
            apply=_resolution,
        ),
        Corruption(
            key="contrast",
            levels=(0.75, 0.6, 0.45, 0.3, 0.18),
            words="{1:.0f} % of the contrast",
            apply=_contrast,
        ),
        Corruption(
            key="exposure",
            levels=(1.2, 1.4, 1.7, 2.1, 2.6),
            words="gamma {0:g} or its inverse",
            apply=_exposure,
        ),
        Corruption(
            key="jpeg",
            levels=(60.0, 35.0, 20.0, 12.0, 6.0),
            words="JPEG quality {0:g}",
            apply=_jpeg,
        ),
        Corruption(
            key="rotation",
            levels=(4.0, 8.0, 12.0, 18.0, 25.0),
            words="turned by {0:g}°",
            apply=_rotation,
        ),
    )
}
"""By key, in the order in which they are reported."""
