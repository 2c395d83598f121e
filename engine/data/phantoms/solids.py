"""Projection of analytic solids: how much of each X-ray lies in an ellipsoid or a curved tube.

Lengths are in centimetres. ``x`` points to the patient's left (right in the image), ``y`` to the
front, ``z`` to the head; the origin is the middle of the chest. The beam is parallel to ``y``, so
that a ray is one point ``(x, z)`` of the canvas, whose row 0 is at the head.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Map = NDArray[np.float32]
Points = NDArray[np.float64]

Interval = tuple[float | Map, Map]
"""Middle and half-length of the stretch of depth that a convex solid covers on each ray."""

PITCH_CM = 0.078
CANVAS_PX = 560


def axes() -> tuple[Map, Map]:
    """Return x of each column, shape ``(1, n)``, and z of each row, shape ``(n, 1)``."""
    at = (np.arange(CANVAS_PX, dtype=np.float32) - (CANVAS_PX - 1) / 2) * np.float32(PITCH_CM)
    return at[None, :], -at[:, None]


def round_off(squared: NDArray[np.floating]) -> Map:
    """Return ``sqrt(1 - squared)``, zero outside: the chord of a unit circle."""
    return np.asarray(np.sqrt(np.maximum(1.0 - squared, 0.0)), np.float32)


def ramp(t: NDArray[np.floating]) -> Map:
    """Return a linear step from 0 at ``t = -1`` to 1 at ``t = 1``."""
    return np.asarray(np.clip(0.5 + 0.5 * t, 0.0, 1.0), np.float32)


def ellipsoid(
    x: Map, z: Map, at: tuple[float, float, float], size: tuple[float, float, float]
) -> Interval:
    """Return the interval of an ellipsoid with its centre and semi-axes along x, y and z."""
    across = ((x - np.float32(at[0])) / np.float32(size[0])) ** 2
    along = ((z - np.float32(at[2])) / np.float32(size[2])) ** 2
    return at[1], np.float32(size[1]) * round_off(across + along)


def overlap(a: Interval, b: Interval) -> Map:
    """Return the length of depth that two solids share on each ray."""
    front = np.minimum(a[0] + a[1], b[0] + b[1])
    back = np.maximum(a[0] - a[1], b[0] - b[1])
    return np.asarray(np.maximum(front - back, 0.0), np.float32)


def enlarge(image: Map, factor: int) -> Map:
    """Return ``image`` with ``factor`` times the rows and columns, interpolated linearly."""
    offsets = (np.arange(factor) + 0.5) / factor - 0.5
    for _ in range(2):
        padded = np.pad(image, ((1, 1), (0, 0)), mode="edge")
        offset = offsets[:, None].astype(np.float32)
        grown = padded[1:-1, None] * (1.0 - np.abs(offset))
        grown += padded[:-2, None] * np.maximum(-offset, 0.0)
        grown += padded[2:, None] * np.maximum(offset, 0.0)
        image = np.asarray(grown.reshape(-1, image.shape[1]).T, np.float32)
    return image


def power_noise(rng: np.random.Generator, size_px: int, *, exponent: float) -> Map:
    """Return square noise of unit variance whose amplitude is ``1 / frequency ** exponent``.

    Anatomy looks like this to a detector.

    References:
        Burgess, "Mammographic structure: data preparation and spatial statistics analysis",
        SPIE Medical Imaging 1999.
    """
    white = rng.standard_normal((size_px, size_px // 2 + 1, 2), dtype=np.float32)
    fy = fft.fftfreq(size_px).astype(np.float32)[:, None]
    fx = fft.rfftfreq(size_px).astype(np.float32)[None, :]
    amplitude = np.maximum(np.hypot(fy, fx), np.float32(2.0 / size_px)) ** np.float32(-exponent)
    spectrum = white.view(np.complex64)[..., 0] * amplitude
    noise = fft.irfft2(spectrum, s=(size_px, size_px), overwrite_x=True)
    return np.asarray(noise / noise.std(), np.float32)


class Deposit:
    """Collects the mass of tubes point by point and turns it into a map.

    Points far closer than a pixel make the sum as good as an integral, whatever the shape.
    """

    def __init__(self) -> None:
        self._points: list[tuple[Map, ...]] = []

    def add(self, x: Points, z: Points, volume: Points) -> None:
        """Add volumes in cubic centimetres at image positions; arrays of equal shape."""
        # Single precision places a point to a thousandth of a pixel.
        self._points.append(tuple(v.ravel().astype(np.float32) for v in (x, z, volume)))

    def length(self, blur_px: float) -> Map:
        """Return the length along each ray, the volume above a pixel over the pixel's area."""
        x, z, volume = (np.concatenate(part) for part in zip(*self._points, strict=True))
        half = np.float32((CANVAS_PX - 1) / 2)
        col = x * np.float32(1.0 / PITCH_CM) + half
        row = half - z * np.float32(1.0 / PITCH_CM)
        left, top = col.astype(np.int32), row.astype(np.int32)
        right, down = col - left, row - top
        last = CANVAS_PX - 2
        volume *= (col >= 0) & (row >= 0) & (left <= last) & (top <= last)
        first = np.clip(top, 0, last) * CANVAS_PX + np.clip(left, 0, last)
        lower = volume * down
        upper = volume - lower
        lower_right, upper_right = lower * right, upper * right
        n = CANVAS_PX**2
        total = np.bincount(first, upper - upper_right, n)
        total[1:] += np.bincount(first, upper_right, n)[:-1]
        total[CANVAS_PX:] += np.bincount(first, lower - lower_right, n)[:-CANVAS_PX]
        total[CANVAS_PX + 1 :] += np.bincount(first, lower_right, n)[: -CANVAS_PX - 1]
        image = (total / PITCH_CM**2).astype(np.float32).reshape(CANVAS_PX, CANVAS_PX)
        return np.asarray(ndimage.gaussian_filter(image, blur_px, truncate=3.0), np.float32)


def add_tube(
    deposit: Deposit,
    path: Points,
    *,
    half_height: float,
    half_depth: float,
    wall: float,
    core: float = 0.0,
    share: Points | float = 1.0,
) -> None:
    """Deposit a tube of elliptic section: a thin wall around a lighter core.

    Args:
        deposit: Receives the tube.
        path: Points of the axis, shape ``(N, 3)``.
        half_height: Semi-axis of the section towards the head.
        half_depth: Semi-axis across it.
        wall: Thickness of the wall.
        core: Density of the core, the wall's being 1.
        share: How much of the tube is there at each point, 0 to 1, shape ``(N,)``.
    """
    step = np.gradient(path, axis=0)
    length = np.linalg.norm(step, axis=1)
    tangent = step / length[:, None]
    across = np.cross(tangent, [0.0, 0.0, 1.0])
    across /= np.maximum(np.linalg.norm(across, axis=1), 1e-6)[:, None]
    upward = np.cross(across, tangent)
    n = max(8, round(np.pi * (half_height + half_depth) / 0.15))
    phi = np.arange(n) * (2.0 * np.pi / n)
    up, out = half_height * np.cos(phi), half_depth * np.sin(phi)
    arc = np.hypot(half_height * np.sin(phi), half_depth * np.cos(phi)) * (2.0 * np.pi / n)
    x_ring = upward[:, 0, None] * up + across[:, 0, None] * out
    z_ring = upward[:, 2, None] * up + across[:, 2, None] * out
    present = (length * share)[:, None]
    x, z = path[:, 0, None], path[:, 2, None]
    deposit.add(x + x_ring, z + z_ring, present * (arc * wall))
    if core == 0.0:
        return
    # The core as a thinner ring: half the points do, for nothing in it is sharp.
    section = present * (core * np.pi * half_height * half_depth / len(phi[::2]))
    ring = 0.55 * x_ring[:, ::2], 0.55 * z_ring[:, ::2]
    deposit.add(x + ring[0], z + ring[1], np.broadcast_to(section, ring[0].shape))
