"""What differs from one simulated patient to the next, and the shapes that several organs share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from engine.data.phantoms.solids import Interval, Map, axes

SIDES = (-1.0, 1.0)
"""Right and left side of the patient, as the sign of x."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """One adult. Lengths in centimetres.

    Attributes:
        chest_half_width: Of the cavity at its widest; ``chest_half_depth`` likewise.
        wall: Thickness of muscle and fat outside the ribs.
        apex_z: Height of the lung apices.
        dome_z: Height of the right and the left dome of the diaphragm; low after a deep breath.
        dome_curvature: How steeply a dome falls to the side, per centimetre.
        heart_scale: Width of heart and great vessels, 1 for an average heart.
        rotation: Tangent of the angle by which the patient is turned about the long axis.
        rib_spacing: From one rib to the next at the spine.
        rib_drop: Slope of the ribs, 1 on average.
        rib_half_height: Half the height of a rib.
        shoulder_z: Height of the shoulders.
        breast_depth: Greatest thickness of the breasts.
        lung_per_cm: Attenuation of aerated lung.
        vessel_scale: Width of the lung vessels, 1 on average.
    """

    is_female: bool
    age_years: int
    chest_half_width: float
    chest_half_depth: float
    wall: float
    apex_z: float
    dome_z: tuple[float, float]
    dome_curvature: float
    heart_scale: float
    rotation: float
    rib_spacing: float
    rib_drop: float
    rib_half_height: float
    shoulder_z: float
    breast_depth: float
    lung_per_cm: float
    vessel_scale: float

    @property
    def first_rib_z(self) -> float:
        """Height at which the first rib leaves the spine."""
        return self.apex_z - 0.3


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw one adult patient."""

    def about(mean: float, spread: float, low: float, high: float) -> float:
        return float(np.clip(rng.normal(mean, spread), low, high))

    is_female = bool(rng.random() < 0.5)
    size = about(0.96 if is_female else 1.03, 0.035, 0.86, 1.13)
    right_dome = -8.2 * size + about(0.0, 1.1, -2.4, 2.4)
    return Anatomy(
        is_female=is_female,
        age_years=int(rng.integers(22, 88)),
        chest_half_width=13.6 * size + about(0.0, 0.4, -1.0, 1.0),
        chest_half_depth=9.3 * size + about(0.0, 0.5, -1.2, 1.2),
        wall=about(2.5, 0.6, 1.5, 4.2),
        apex_z=11.8 * size + about(0.0, 0.3, -0.8, 0.8),
        dome_z=(right_dome, right_dome - about(1.3, 0.5, 0.2, 2.6)),
        dome_curvature=float(rng.uniform(0.045, 0.075)),
        heart_scale=about(1.0, 0.085, 0.82, 1.25),
        rotation=about(0.0, 0.04, -0.09, 0.09),
        rib_spacing=2.25 * size * about(1.0, 0.04, 0.9, 1.1),
        rib_drop=float(rng.uniform(0.8, 1.2)),
        rib_half_height=float(rng.uniform(0.62, 0.78)),
        shoulder_z=about(11.0, 1.0, 8.5, 13.5),
        breast_depth=float(rng.uniform(0.8, 4.5) if is_female else rng.uniform(0.0, 1.0)),
        lung_per_cm=0.052 * about(1.0, 0.1, 0.75, 1.3),
        vessel_scale=float(rng.uniform(0.85, 1.2)),
    )


def chest_wall(anatomy: Anatomy, z: Map) -> tuple[Map, Map]:
    """Return half-width and half-depth of the chest cavity at height ``z``."""
    bottom = -14.0
    height = np.clip((z - bottom) / (anatomy.apex_z + 0.6 - bottom), 0.0, 0.999)
    width = anatomy.chest_half_width * (1.0 - height**2.6) ** 0.52 * (0.97 + 0.03 * height)
    depth = anatomy.chest_half_depth * (1.0 - height**3) ** 0.5
    return width.astype(np.float32), depth.astype(np.float32)


def diaphragm(anatomy: Anatomy) -> Interval:
    """Return what lies below the two domes, bowls whose tops are in front of the middle."""
    x, z = axes()
    across = np.abs(x) - 6.2
    drop = anatomy.dome_curvature * across**2 + 0.0007 * np.maximum(across, 0.0) ** 4
    top = (np.where(x < 0, *anatomy.dome_z) - drop).astype(np.float32)
    return 1.5, np.sqrt(np.maximum(top - z, 0.0) * np.float32(1.0 / 0.055))


def silhouette(anatomy: Anatomy, z: Map) -> tuple[Map, Map]:
    """Return x of the right and the left border of heart and great vessels at height ``z``.

    From below: right atrium and vena cava on the right; left ventricle, pulmonary trunk and
    aortic arch on the left.
    """
    floor = anatomy.dome_z[1]
    height = np.array([-4.0, -1.0, 0.8, 3.0, 5.5, 8.0, 10.0, 11.6, 13.0, 16.0, 20.0])
    left = np.array([5.5, 7.6, 8.2, 7.9, 6.4, 4.5, 3.7, 3.5, 2.9, 2.6, 2.9])
    right = np.array([2.6, 3.2, 3.7, 4.1, 3.9, 3.3, 2.8, 2.6, 2.5, 2.5, 2.8])
    # The heart varies in width far more than the vessels above it.
    widening = 1.0 + 1.3 * (anatomy.heart_scale - 1.0) * np.clip((11.0 - height) / 4.0, 0.0, 1.0)
    at = floor - 0.3 + height * (anatomy.apex_z - floor) / 20.0
    within = np.clip(z, at[0], at[-1])
    low = PchipInterpolator(at, -right * widening)(within)
    high = PchipInterpolator(at, left * widening)(within)
    return low.astype(np.float32), high.astype(np.float32)
