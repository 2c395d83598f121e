"""From a decoded image to the square pixels that a network sees, and to its thumbnail.

The order is fixed: window at full depth, scale down with anti-aliasing, fit into the square, and
only then round to the depth of the cache. Nothing is ever stretched.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.contract.config import ImageContract
from engine.data.decoded import DecodedImage
from engine.data.voi import display_levels, effective_window, levels_through, numbers_of
from engine.project.thumbnails import THUMBNAIL_PX

_LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow's "L"
_BICUBIC: Final = Image.Resampling.BICUBIC
_REDUCING_GAP: Final = 2.0
"""Whole-numbered averaging comes first as long as the image stays twice as large as wanted."""


def to_pixels(image: DecodedImage, contract: ImageContract) -> NDArray[Any]:
    """Return an image as the contract wants it.

    Returns:
        uint8 (``depth_bits`` up to 8) or uint16 (more), shape ``(S, S)`` for one channel,
        ``(S, S, 3)`` for three, over the full range of the type.
    """
    return fit_levels(display_levels(image, contract.window), image, contract)


def to_thumbnail(image: DecodedImage, contract: ImageContract | None = None) -> NDArray[np.uint8]:
    """Return a small version of the whole image on black, windowed as the contract wants it.

    Returns:
        uint8, shape ``(128, 128)`` for grey images, ``(128, 128, 3)`` for colour.
    """
    levels = display_levels(image, (contract or ImageContract()).window)
    return _small(levels, image)


def to_pixels_and_thumbnail(
    image: DecodedImage, contract: ImageContract
) -> tuple[NDArray[Any], NDArray[np.uint8], tuple[float, float]]:
    """Return pixels, a thumbnail, and centre and width of the window, found once for both.

    The thumbnail is made from the pixels where they show the whole image, which of a large image
    saves nearly half of the time.
    """
    window = effective_window(image, contract.window)
    levels = levels_through(image, window)
    pixels = fit_levels(levels, image, contract)
    inner = _whole_image(pixels, image, contract)
    return pixels, _small(levels if inner is None else inner, image), numbers_of(window)


def _whole_image(
    pixels: NDArray[Any], image: DecodedImage, contract: ImageContract
) -> NDArray[np.uint8] | None:
    """Return the image within its letterbox; None where the pixels say less than a thumbnail."""
    if (
        contract.fit == "center_crop"
        or contract.size_px < THUMBNAIL_PX
        or contract.depth_bits > 8
        or (image.is_color and contract.channels != 3)
    ):
        return None
    top, left, height, width = _place_in_square(image, contract.size_px)
    inner = pixels[top : top + height, left : left + width]
    return np.ascontiguousarray(inner if image.is_color or inner.ndim == 2 else inner[..., 0])


def _place_in_square(image: DecodedImage, side: int) -> tuple[int, int, int, int]:
    """Return top, left, height and width of an image in its letterbox."""
    scale = side / max(image.width, image.height)
    width, height = (max(1, round(n * scale)) for n in (image.width, image.height))
    return (side - height) // 2, (side - width) // 2, height, width


def _small(levels: NDArray[Any], image: DecodedImage) -> NDArray[np.uint8]:
    contract = ImageContract(size_px=THUMBNAIL_PX, channels=3 if image.is_color else 1)
    return fit_levels(levels, image, contract).astype(np.uint8, copy=False)


def in_square_pixels(values: NDArray[Any], image: DecodedImage) -> NDArray[Any]:
    """Return values or levels of a whole image on a grid of square pixels.

    Between the pixels of the file they are interpolated bilinearly, which adds no values beyond
    those that are there.

    Args:
        values: Of the shape of ``image.values``.
        image: The image they belong to.

    Returns:
        Of the same type, shape ``(height, width)`` or ``(height, width, 3)``; the values themselves
        where the pixels are square.
    """
    size = (image.width, image.height)
    if values.shape[1::-1] == size:
        return values
    if values.ndim == 3:
        planes = [in_square_pixels(values[..., c], image) for c in range(values.shape[2])]
        return np.stack(planes, axis=2)
    picture = Image.fromarray(values.astype(np.float32))
    scaled = np.asarray(picture.resize(size, Image.Resampling.BILINEAR))
    return scaled if values.dtype.kind == "f" else np.rint(scaled).astype(values.dtype)


def fit_levels(levels: NDArray[Any], image: DecodedImage, contract: ImageContract) -> NDArray[Any]:
    """Scale display levels into the square of the contract and round them to its depth.

    Args:
        levels: uint8 or float32 in [0, 1], shape ``(H, W)`` or ``(H, W, 3)``.
        image: The image they come from; its full size decides the shape, so that a reduced
            version fills the same pixels.
        contract: Size, fit, padding, channels and depth.
    """
    if levels.ndim == 3 and contract.channels != 3:
        levels = _luminance(levels)
    if contract.fit == "center_crop":
        square = _crop(levels, image, contract.size_px)
    else:
        square = _letterbox(levels, image, contract)
    square = _round(square, contract.depth_bits)
    if square.ndim == 2 and contract.channels == 3:
        return np.repeat(square[:, :, np.newaxis], 3, axis=2)
    return square


def _luminance(levels: NDArray[Any]) -> NDArray[Any]:
    if levels.dtype == np.uint8:
        return np.asarray(Image.fromarray(levels).convert("L"))
    return (levels @ _LUMA).astype(np.float32, copy=False)


def _letterbox(levels: NDArray[Any], image: DecodedImage, contract: ImageContract) -> NDArray[Any]:
    side = contract.size_px
    top, left, height, width = _place_in_square(image, side)
    inner = _resize(levels, (width, height))
    if inner.shape[:2] == (side, side):
        return inner
    square = np.zeros((side, side, *inner.shape[2:]), dtype=inner.dtype)
    if contract.padding == "edge_mean":
        mean = _edge_mean(inner)
        square[...] = np.rint(mean) if inner.dtype == np.uint8 else mean
    square[top : top + height, left : left + width] = inner
    return square


def _edge_mean(inner: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean of the outermost pixels, per channel."""
    edges = (inner[0], inner[-1], inner[1:-1, 0], inner[1:-1, -1])
    mean: NDArray[np.float64] = np.concatenate(edges).astype(np.float64).mean(axis=0)
    return mean


def _crop(levels: NDArray[Any], image: DecodedImage, side: int) -> NDArray[Any]:
    # In pixels of the levels, which may be a reduced version of the image.
    height, width = levels.shape[:2]
    share = min(image.width, image.height)
    box_width, box_height = width * share / image.width, height * share / image.height
    left, top = (width - box_width) / 2, (height - box_height) / 2
    return _resize(levels, (side, side), (left, top, left + box_width, top + box_height))


def _resize(
    levels: NDArray[Any],
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
) -> NDArray[Any]:
    """Resize with an anti-aliased bicubic filter, at the depth of ``levels``."""
    if levels.dtype != np.uint8 and levels.ndim == 3:  # Pillow has no deep colour
        planes = [_resize(np.ascontiguousarray(levels[..., c]), size, box) for c in range(3)]
        return np.stack(planes, axis=2)
    picture = Image.fromarray(levels)
    if picture.size == size and box is None:
        return levels
    resized = picture.resize(size, _BICUBIC, box=box, reducing_gap=_REDUCING_GAP)
    return np.asarray(resized)


def _round(square: NDArray[Any], depth_bits: int) -> NDArray[Any]:
    """Round levels to 8 bits, or to 16 where the contract wants more than 8."""
    if square.dtype == np.uint8:
        return square if depth_bits <= 8 else square.astype(np.uint16) * np.uint16(257)
    top, target = (255, np.uint8) if depth_bits <= 8 else (65535, np.uint16)
    # The bicubic filter overshoots at edges.
    rounded: NDArray[Any] = np.rint(np.clip(square, 0, 1) * np.float32(top))
    return rounded.astype(target)
