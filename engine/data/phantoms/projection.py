"""The X-ray shadow of a simulated patient: line integrals of the attenuation coefficient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.data.phantoms.anatomy import SIDES, Anatomy, diaphragm
from engine.data.phantoms.bones import bones
from engine.data.phantoms.lungs import lung_length, vessels
from engine.data.phantoms.solids import (
    CANVAS_PX,
    Map,
    axes,
    ellipsoid,
    enlarge,
    overlap,
    power_noise,
    ramp,
    round_off,
)

WATER_PER_CM = 0.195
"""Attenuation of soft tissue near 65 keV, about the mean energy of a 110 kVp chest beam (NIST)."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Maps of one patient without disease, each of shape ``(CANVAS_PX, CANVAS_PX)``.

    Attributes:
        anatomy: What was projected.
        attenuation: Line integral of the attenuation coefficient, lung vessels left out.
        vessels: What the lung vessels add to it.
        lung_cm: Length of aerated lung on each ray.
    """

    anatomy: Anatomy
    attenuation: Map
    vessels: Map
    lung_cm: Map


def project(anatomy: Anatomy, rng: np.random.Generator) -> Projection:
    """Return the shadow of a patient; what ``anatomy`` leaves open comes from ``rng``."""
    lung = lung_length(anatomy)
    interstitium = 1.0 + np.float32(0.08) * power_noise(rng, CANVAS_PX, exponent=1.25)
    per_cm = np.float32(WATER_PER_CM) - np.float32(anatomy.lung_per_cm) * interstitium
    blood = np.float32(2.6 * (WATER_PER_CM - anatomy.lung_per_cm)) * vessels(anatomy, rng)
    tissue = _body_length(anatomy, rng) - _gas_length(anatomy, rng)
    attenuation = np.float32(WATER_PER_CM) * tissue - per_cm * lung + bones(anatomy, rng)
    # Vessels stand out only where lung surrounds them.
    seen_vessels = blood * (lung / (lung + 2.0))
    return Projection(anatomy, np.maximum(attenuation, 0.0), seen_vessels, lung)


def _body_length(anatomy: Anatomy, rng: np.random.Generator) -> Map:
    """Return the length of body, lungs included, on each ray.

    Drawn at half the resolution: nothing in it is sharp but the skin, which no reader looks at.
    """
    x, z = axes()
    x, z = x[:, ::2], z[::2]
    ax, fat = np.abs(x), anatomy.wall - 2.5
    outer = anatomy.chest_half_width + anatomy.wall
    depth = anatomy.chest_half_depth + 1.2 + 0.5 * anatomy.wall
    neck = 18.0 * np.exp(-np.maximum(ax - 4.9, 0.0) / 1.9)
    skin = anatomy.shoulder_z + 1.2 + neck - 0.035 * np.maximum(ax - 11.0, 0.0) ** 2
    rounding = round_off((1.0 - np.clip((skin - z) / 5.0, 0.0, 1.0)) ** 2)
    trunk = depth * round_off((ax / outer) ** 2) * rounding
    axilla = ramp((z + 1.0 - 0.8 * (ax - outer)) / 3.0)
    shoulders = (6.2 + 0.5 * fat) * round_off((ax / 22.0) ** 4) * rounding * axilla
    arm = 4.4 * round_off(((ax - 20.5 + 0.12 * z) / (4.2 + 0.5 * fat)) ** 2)
    arm = arm * np.clip((8.0 - z) / 8.0, 0.0, 1.0)
    body = 2.0 * (trunk**4 + shoulders**4 + arm**4) ** 0.25 + _breasts(anatomy, x, z, rng)
    texture = 1.0 + 0.012 * power_noise(rng, CANVAS_PX // 2, exponent=1.5)
    return enlarge((body * texture).astype(np.float32), 2)


def _breasts(anatomy: Anatomy, x: Map, z: Map, rng: np.random.Generator) -> Map:
    total = np.zeros(np.broadcast_shapes(x.shape, z.shape), np.float32)
    depth = anatomy.breast_depth
    for side in SIDES:
        at_x, at_z = side * rng.uniform(7.2, 8.6), -5.5 + rng.normal(0.0, 0.8)
        half_height = np.where(z < at_z, 3.8 + 0.3 * depth, 7.5)
        across = ((x - at_x) / (5.2 + 0.35 * depth)) ** 2 + ((z - at_z) / half_height) ** 2
        total += (depth * np.maximum(1.0 - across, 0.0) ** 0.55).astype(np.float32)
    return total


def _gas_length(anatomy: Anatomy, rng: np.random.Generator) -> Map:
    """Return the length of air in the trachea and in the stomach."""
    x, z = axes()
    carina = 3.8
    centre = 0.2 * np.sin(z / 3.0) + np.float32(3.0 * anatomy.rotation)
    radius = np.float32(0.85 if anatomy.is_female else 0.98)
    end = np.clip((z - carina) / 0.8, 0.0, 1.0)
    trachea = 2.0 * radius * round_off(((x - centre) / radius) ** 2) * end
    at = (rng.uniform(4.5, 7.5), 3.0, anatomy.dome_z[1] - rng.uniform(1.8, 2.6))
    size = (rng.uniform(1.0, 2.6), rng.uniform(0.0, 2.2), rng.uniform(0.6, 1.3))
    return np.asarray(trachea + overlap(diaphragm(anatomy), ellipsoid(x, z, at, size)), np.float32)
