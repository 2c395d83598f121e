"""One look at every thumbnail: what it shows, as small numbers that fit into memory.

A thumbnail holds the whole image on black; all that is measured here is measured on the image
itself, without the borders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.project.thumbnails import THUMBNAIL_PX, Thumbnails

if TYPE_CHECKING:
    from engine.audit.study import Study

GIST_PX: Final = 16
_DARK: Final = 8
_BRIGHT: Final = 247
_FLAT: Final = 6
"""Grey levels by which the pixels of an empty border may differ, mostly through compression."""
_LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow's "L"
_LANCZOS: Final = Image.Resampling.LANCZOS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """What thumbnails show; grey levels are 0 to 255.

    Attributes:
        hashes: Perceptual hashes, uint64 ``(N,)``.
        mirrored: Those of the mirrored images.
        gists: The images at 16 × 16, uint8 ``(N, 16, 16)``.
        spread: Standard deviation of the grey levels, float32 ``(N,)``.
        dark: Share of nearly black pixels, float32 ``(N,)``.
        bright: Share of nearly white ones.
        border: Share of the area outside the smallest box that holds all that isn't uniform.
        is_colour: bool ``(N,)``.
    """

    hashes: NDArray[np.uint64]
    mirrored: NDArray[np.uint64]
    gists: NDArray[np.uint8]
    spread: NDArray[np.float32]
    dark: NDArray[np.float32]
    bright: NDArray[np.float32]
    border: NDArray[np.float32]
    is_colour: NDArray[np.bool_]

    @property
    def is_blank(self) -> NDArray[np.bool_]:
        """Which images show nothing: one grey level, nearly all black or nearly all white."""
        return (self.spread < 1.5) | (self.dark > 0.995) | (self.bright > 0.995)


def look_at_thumbnails(study: Study) -> Pictures:
    """Return what the thumbnails of a study show.

    References:
        The hash is ImageHash's ``phash`` of 64 bits: signs of the low frequencies of a cosine
        transform around their median.
    """
    n = len(study)
    hashes, mirrored = np.empty(n, dtype=np.uint64), np.empty(n, dtype=np.uint64)
    gists = np.empty((n, GIST_PX, GIST_PX), dtype=np.uint8)
    numbers = np.empty((n, 4), dtype=np.float32)
    is_colour = np.empty(n, dtype=np.bool_)
    for i, thumbnail in enumerate(_thumbnails(study)):
        grey = as_grey(thumbnail)
        content = grey[content_box(*_size(study, i), side=THUMBNAIL_PX)]
        picture = Image.fromarray(np.ascontiguousarray(content))
        hashes[i] = _packed(picture)
        mirrored[i] = _packed(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        gists[i] = np.asarray(picture.resize((GIST_PX, GIST_PX), _LANCZOS))
        numbers[i] = (
            content.std(),
            np.mean(content < _DARK),
            np.mean(content > _BRIGHT),
            _border_share(content),
        )
        is_colour[i] = thumbnail.ndim == 3
        study.tick(i + 1, n)
    return Pictures(
        hashes=hashes,
        mirrored=mirrored,
        gists=gists,
        spread=numbers[:, 0],
        dark=numbers[:, 1],
        bright=numbers[:, 2],
        border=numbers[:, 3],
        is_colour=is_colour,
    )


def thumbnail_contents(study: Study, indices: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    """Return the grey images of some thumbnails without their borders, one after the other."""
    for i, thumbnail in zip(indices.tolist(), _thumbnails(study, indices), strict=True):
        yield as_grey(thumbnail)[content_box(*_size(study, i), side=THUMBNAIL_PX)]


def content_box(width: float, height: float, *, side: int) -> tuple[slice, slice]:
    """Return where an image lies in a square that it was letterboxed into."""
    scale = side / max(width, height)
    inner = [max(1, min(side, round(n * scale))) for n in (height, width)]
    starts = [(side - n) // 2 for n in inner]
    top, left = (slice(a, a + n) for a, n in zip(starts, inner, strict=True))
    return top, left


def as_grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture in grey, shape ``(H, W)``."""
    if picture.ndim == 2:
        return picture
    return np.asarray(np.rint(picture @ _LUMA), dtype=np.uint8)


def _thumbnails(
    study: Study, indices: NDArray[np.int64] | None = None
) -> Iterator[NDArray[np.uint8]]:
    rows = study.rows if indices is None else study.rows[indices]
    thumbnails = Thumbnails(study.project)
    for row in rows.tolist():
        yield thumbnails.image(row)
    thumbnails.close()


def _size(study: Study, i: int) -> tuple[float, float]:
    numbers = study.facts.numbers
    return float(numbers["width"][i]), float(numbers["height"][i])


def _packed(picture: Image.Image) -> np.uint64:
    """Return the 64 bits of a perceptual hash as a number."""
    bits = np.packbits(imagehash.phash(picture).hash.ravel())
    return np.uint64(int.from_bytes(bits.tobytes(), "big"))


def _border_share(content: NDArray[np.uint8]) -> float:
    """Return the share of an image that lies in a uniform frame around the rest."""
    columns, rows = np.ptp(content, axis=0) > _FLAT, np.ptp(content, axis=1) > _FLAT
    if not rows.any() or not columns.any():
        return 1.0
    inner = _extent(rows) * _extent(columns)
    return 1.0 - inner / content.size


def _extent(is_used: NDArray[np.bool_]) -> int:
    used = np.flatnonzero(is_used)
    return int(used[-1] - used[0] + 1)
