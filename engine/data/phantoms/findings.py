"""Disease of the simulated patient: lung opacities and pleural effusions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from engine.data.phantoms.anatomy import SIDES, chest_wall
from engine.data.phantoms.projection import Projection
from engine.data.phantoms.solids import CANVAS_PX, Map, axes, power_noise, round_off

LABELS: Final = ("normal", "opacity", "effusion")


@dataclass(frozen=True, slots=True, kw_only=True)
class _OpacityKind:
    """Ranges from which an opacity is drawn; lengths in centimetres.

    Attributes:
        probability: How often this kind is drawn.
        n: Fewest and most foci.
        radius: Of one focus.
        thickness: Of consolidated lung, as extra tissue in the middle of a focus.
        raggedness: How far noise eats into the outline; 0 is smooth.
        power: Of the profile: 0.5 is a sphere, 1 rises softly from the edge.
        blur_px: Final blur.
    """

    probability: float
    n: tuple[int, int]
    radius: tuple[float, float]
    thickness: tuple[float, float]
    raggedness: float
    power: float
    blur_px: float


_KINDS = (
    _OpacityKind(  # consolidation
        probability=0.45,
        n=(1, 2),
        radius=(4.5, 7.5),
        thickness=(5.5, 9.5),
        raggedness=0.45,
        power=1.0,
        blur_px=3.0,
    ),
    _OpacityKind(  # patches
        probability=0.35,
        n=(7, 13),
        radius=(1.6, 3.2),
        thickness=(4.5, 8.0),
        raggedness=0.45,
        power=1.0,
        blur_px=2.5,
    ),
    _OpacityKind(  # nodules
        probability=0.2,
        n=(7, 13),
        radius=(1.0, 2.1),
        thickness=(3.2, 5.0),
        raggedness=0.0,
        power=0.5,
        blur_px=1.0,
    ),
)


def extra_tissue(label: str, projection: Projection, rng: np.random.Generator) -> Map:
    """Return how much tissue the disease puts in the place of lung on each ray.

    Returns:
        Centimetres, between 0 and the length of lung, shape of the canvas; 0 for ``normal``.

    Raises:
        ValueError: If ``label`` is not one of ``LABELS``.
    """
    if label == "normal":
        return np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    if label == "opacity":
        return _opacity(projection, rng)
    if label == "effusion":
        return _effusion(projection, rng)
    raise ValueError(f"label must be one of {LABELS}, not {label!r}")


def _opacity(projection: Projection, rng: np.random.Generator) -> Map:
    """Consolidation, patches or nodules."""
    kind = _KINDS[int(rng.choice(len(_KINDS), p=[k.probability for k in _KINDS]))]
    rough = np.float32(kind.raggedness) * power_noise(rng, CANVAS_PX, exponent=1.6)
    side = float(rng.choice(SIDES))
    total = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    for _ in range(int(rng.integers(kind.n[0], kind.n[1] + 1))):
        reach = _squared_reach(projection, kind, side, rng) + rough
        thickness = np.float32(rng.uniform(*kind.thickness))
        total += thickness * np.clip(reach, 0.0, 1.0) ** np.float32(kind.power)
        if rng.random() < 0.4:
            side = -side
    total *= np.maximum(1.0 + np.float32(0.3) * rough, 0.0)
    blurred = ndimage.gaussian_filter(total, kind.blur_px, truncate=3.0)
    return np.asarray(np.minimum(blurred, np.float32(0.85) * projection.lung_cm), np.float32)


def _squared_reach(
    projection: Projection, kind: _OpacityKind, side: float, rng: np.random.Generator
) -> Map:
    """Return 1 in the middle of a randomly placed and turned ellipse, 0 on its edge."""
    x, z = axes()
    at_x, at_z = _place_in_lung(projection, side, rng)
    radius, stretch = rng.uniform(*kind.radius), rng.uniform(0.75, 1.3)
    turn = rng.uniform(0.0, np.pi)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    dx, dz = x - np.float32(at_x), z - np.float32(at_z)
    u = (c * dx + s * dz) / np.float32(radius * stretch)
    v = (c * dz - s * dx) / np.float32(radius / stretch)
    return np.asarray(1.0 - u * u - v * v, np.float32)


def _place_in_lung(
    projection: Projection, side: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Return a point whose ray meets at least 9 cm of lung; the lower zones are likelier."""
    x, z = axes()
    weight = (projection.lung_cm > 9.0) * (side * x > 0.0) * np.where(z < 0.0, 1.8, 1.0)
    by_row = weight.sum(axis=1)
    row = int(rng.choice(CANVAS_PX, p=by_row / by_row.sum()))
    col = int(rng.choice(CANVAS_PX, p=weight[row] / by_row[row]))
    return float(x[0, col]), float(z[row, 0])


def _effusion(projection: Projection, rng: np.random.Generator) -> Map:
    """Fluid around one lung or both.

    A layer between chest wall and lung, thicker the lower: it fills the costophrenic angle, and
    where rays graze it along the side wall it shows as the meniscus of an upright film.
    """
    x, z = axes()
    width, _ = chest_wall(projection.anatomy, z)
    whole = np.maximum(round_off((x / np.maximum(width, 0.1)) ** 2), 1e-3)
    first = int(rng.integers(2))
    share = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    for index in (first, 1 - first) if rng.random() < 0.4 else (first,):
        top = projection.anatomy.dome_z[index] + min(0.8 + rng.gamma(2.5, 2.0), 10.0)
        below = np.maximum(top - z, 0.0) / rng.uniform(4.0, 8.0)
        kept = np.clip(1.0 - below ** rng.uniform(1.5, 2.2), 0.0, 1.0).astype(np.float32)
        lung = kept * round_off((x / np.maximum(width * kept, 0.05)) ** 2)
        share += (1.0 - lung / whole) * (SIDES[index] * x > 0.0)
    return np.asarray(np.clip(share, 0.0, 1.0) * projection.lung_cm, np.float32)
