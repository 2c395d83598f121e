"""Lungs of the simulated patient: the cavity, what takes room in it, and the vessels."""

from __future__ import annotations

import numpy as np

from engine.data.phantoms.anatomy import SIDES, Anatomy, chest_wall, diaphragm, silhouette
from engine.data.phantoms.solids import (
    PITCH_CM,
    Deposit,
    Interval,
    Map,
    Points,
    axes,
    ellipsoid,
    overlap,
    round_off,
)

_RADII_CM = np.array([0.09, 0.3])
_N_ROOTS = 13
_N_GENERATIONS = 6


def lung_length(anatomy: Anatomy) -> Map:
    """Return the length of aerated lung on each ray, in centimetres."""
    x, z = axes()
    width, depth = chest_wall(anatomy, z)
    towards_apex = np.clip((z + 14.0) / (anatomy.apex_z + 14.0), 0.0, 1.0)
    medial = np.clip((2.8 + 4.2 * towards_apex**9 - np.abs(x)) / 1.8, 0.0, 1.0)
    half = depth * round_off((x / np.maximum(width, 0.1)) ** 2) * round_off(medial**2)
    whole: Interval = (0.0, half)
    cavity = 2.0 * half - overlap(whole, diaphragm(anatomy))
    middle = np.abs(x[0]) < 12.0
    inner = half[:, middle]
    solids = _mediastinum(anatomy, x[:, middle], z)
    covered = sum(overlap((0.0, inner), solid) for solid in solids)
    cavity[:, middle] *= 1.0 - np.minimum(covered / np.maximum(2.0 * inner, 1e-3), 1.0)
    return np.asarray(cavity, np.float32)


def _mediastinum(anatomy: Anatomy, x: Map, z: Map) -> list[Interval]:
    """Heart and great vessels, descending aorta, aortic arch, and the tissue around the spine.

    Turning the patient moves what lies in front against what lies behind.
    """
    shift = 3.0 * anatomy.rotation
    low, high = silhouette(anatomy, z)
    across = (x - 0.5 * (low + high) - np.float32(2.0 * shift)) / (0.5 * (high - low))
    fade = np.clip((z - anatomy.dome_z[1] + 2.5) / 3.0, 0.0, 1.0)
    heart = np.float32(6.2) * round_off(across**2) * fade
    paraspinal = np.float32(3.8) * round_off(((x + np.float32(shift)) / 3.2) ** 2) ** 2
    return [
        (2.6, heart),
        ellipsoid(x, z, (1.5 - 2.0 * shift, -4.6, -3.5), (1.5, 1.5, 10.5)),
        ellipsoid(x, z, (2.1, -2.0, anatomy.apex_z - 6.6), (1.7, 2.6, 1.7)),
        (-7.0, np.broadcast_to(paraspinal, heart.shape)),
    ]


def vessels(anatomy: Anatomy, rng: np.random.Generator) -> Map:
    """Return the length of blood on each ray: trees that branch from both hila."""
    layers = [Deposit() for _ in _RADII_CM]
    for side in SIDES:
        _grow_tree(anatomy, side, layers, rng)
    # The chord of a round tube has the spread of a Gaussian of half its radius.
    blurs = np.maximum(0.5 * _RADII_CM / PITCH_CM, 0.6)
    total: Map = sum(  # type: ignore[assignment]
        layer.length(float(blur)) for layer, blur in zip(layers, blurs, strict=True)
    )
    return total


def _grow_tree(
    anatomy: Anatomy, side: float, layers: list[Deposit], rng: np.random.Generator
) -> None:
    """Deposit the vessels of one lung; each branch splits in two, thinner and shorter."""
    hilum = np.array([side * 3.3, 0.8 if side < 0 else 1.6])
    start = hilum + rng.normal(0.0, 0.7, (_N_ROOTS, 2)) * [0.6, 1.0]
    angle = np.linspace(-1.35, 1.2, _N_ROOTS) + rng.normal(0.0, 0.12, _N_ROOTS)
    # Upright, the lower zones get more blood.
    radius = rng.uniform(0.2, 0.34, _N_ROOTS) * np.where(angle < 0, 1.15, 0.9)
    radius *= anatomy.vessel_scale
    length = rng.uniform(2.0, 3.2, _N_ROOTS)
    t = np.linspace(0.0, 1.0, 40)
    for _ in range(_N_GENERATIONS):
        heading = angle[:, None] + rng.normal(0.0, 0.22, len(angle))[:, None] * t
        step = (length / len(t))[:, None]
        x = start[:, 0, None] + side * np.cumsum(np.cos(heading) * step, axis=1)
        z = start[:, 1, None] + np.cumsum(np.sin(heading) * step, axis=1)
        taper = radius[:, None] * (1.0 - 0.22 * t)
        _deposit_by_radius(layers, x, z, taper, step)
        spread = rng.uniform(0.18, 0.55, len(angle))
        start = np.tile(np.stack([x[:, -1], z[:, -1]], axis=1), (2, 1))
        angle = np.concatenate([heading[:, -1] + spread, heading[:, -1] - spread])
        radius = np.tile(radius, 2) * 0.78 * rng.uniform(0.75, 1.05, len(angle))
        length = np.tile(length, 2) * rng.uniform(0.65, 1.05, len(angle))


def _deposit_by_radius(
    layers: list[Deposit], x: Points, z: Points, radius: Points, step: Points
) -> None:
    nearest = np.searchsorted(np.sqrt(_RADII_CM[1:] * _RADII_CM[:-1]), radius)
    volume = np.pi * radius**2 * step
    for index, layer in enumerate(layers):
        mine = nearest == index
        layer.add(x[mine], z[mine], volume[mine])
