"""The skeleton of the simulated patient: ribs, clavicles, shoulders and spine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from engine.data.phantoms.anatomy import SIDES, Anatomy, chest_wall
from engine.data.phantoms.solids import (
    CANVAS_PX,
    Deposit,
    Map,
    Points,
    add_tube,
    axes,
    ramp,
)

_CORTICAL_EXTRA_PER_CM = 0.42
_SPONGY_TO_CORTICAL = 0.18
_BLADE_CM = 0.15
_N_STEPS = 240


@dataclass(frozen=True, slots=True)
class _Bone:
    """A tubular bone: axis of shape ``(N, 3)``, half the section's height and depth, its wall."""

    path: Points
    half_height: float
    half_depth: float
    wall: float


def bones(anatomy: Anatomy, rng: np.random.Generator) -> Map:
    """Return what the skeleton attenuates beyond the soft tissue in its place."""
    tubes = Deposit()
    ends = np.clip(12.0 * (0.5 - np.abs(np.linspace(-0.5, 0.5, _N_STEPS))), 0.0, 1.0)
    for side in SIDES:
        ribs = [_rib(anatomy, number, side, rng) for number in range(12)]
        shoulder = _shoulder(anatomy, side, rng)
        _add_blade(tubes, medial=shoulder[0].path, lateral=shoulder[1].path)
        for bone, share in ribs + [(bone, ends) for bone in shoulder]:
            add_tube(
                tubes,
                bone.path,
                half_height=bone.half_height,
                half_depth=bone.half_depth,
                wall=bone.wall,
                core=_SPONGY_TO_CORTICAL,
                share=share,
            )
    return np.float32(_CORTICAL_EXTRA_PER_CM) * tubes.length(0.9) + _spine(anatomy, rng)


def _rib(
    anatomy: Anatomy, number: int, side: float, rng: np.random.Generator
) -> tuple[_Bone, Points]:
    """Return a rib from the spine to the front, and how bony each point is.

    A rib lies in a plane that falls towards the front; its front end is cartilage, which a
    radiograph hardly shows.
    """
    end = np.radians(130.0 if number == 0 else 142.0 if number < 10 else 75.0)
    angle = np.linspace(0.12, end, _N_STEPS)
    drop = anatomy.rib_drop * np.interp(number, [0, 2, 6, 11], [4.0, 6.5, 9.5, 10.5])
    start = anatomy.first_rib_z - anatomy.rib_spacing * number + rng.normal(0.0, 0.06)
    neck = 0.5 * np.sin(np.minimum(3.0 * angle, np.pi))
    z = start - drop * 0.5 * (1.0 - np.cos(angle)) + neck
    width, depth = chest_wall(anatomy, z.astype(np.float32))
    y = -(np.maximum(depth, 3.0) + 0.35) * np.cos(angle)
    x = side * np.maximum((np.maximum(width, 3.0) + 0.35) * np.sin(angle), 1.6)
    path = np.stack([x + anatomy.rotation * y, y, z], axis=1)
    rib = _Bone(path, anatomy.rib_half_height, 0.36, 0.13)
    return rib, np.clip((end - angle) / 0.25, 0.0, 1.0)


def _shoulder(anatomy: Anatomy, side: float, rng: np.random.Generator) -> list[_Bone]:
    """Return scapula (medial edge, lateral edge, spine), clavicle and humerus of one side."""
    top = anatomy.shoulder_z - 2.2 + rng.normal(0.0, 0.3)
    edge = 13.0 + rng.uniform(-0.8, 0.8)
    sternal = anatomy.apex_z - 4.6

    def curve(*knots: tuple[float, float]) -> Points:
        at = np.linspace(0.0, len(knots) - 1.0, _N_STEPS)
        x, z = (
            ndimage.gaussian_filter1d(np.interp(at, range(len(knots)), k), 17, mode="nearest")
            for k in zip(*knots, strict=True)
        )
        return np.stack([x * side, np.zeros(_N_STEPS), z], axis=1)

    def hang(*knots: tuple[float, float]) -> Points:
        return curve(*((edge + out, top + up) for out, up in knots))

    shaft = (10.0, top + 0.9), (13.5, top + 0.9), (18.0, top + 0.6)
    clavicle = curve((1.7, sternal), (5.0, sternal + 0.7), *shaft)
    clavicle[:, 0] += 8.0 * anatomy.rotation * np.linspace(1.0, 0.0, _N_STEPS)
    medial = hang((-1.2, 0.0), (-1.0, -5.0), (0.4, -9.5), (1.4, -12.3))
    lateral = hang((5.5, -0.5), (4.6, -3.6), (3.6, -7.0), (1.4, -12.3))
    return [
        _Bone(medial, 0.16, 0.5, 0.14),
        _Bone(lateral, 0.3, 0.6, 0.16),
        _Bone(hang((-1.0, -2.4), (1.5, -1.2), (4.0, 0.3), (6.5, 0.7)), 0.5, 0.4, 0.1),
        _Bone(clavicle, 0.62, 0.55, 0.2),
        _Bone(hang((5.6, -0.2), (6.4, -2.0), (7.2, -8.0), (8.0, -24.0)), 1.3, 1.3, 0.26),
    ]


def _add_blade(deposit: Deposit, *, medial: Points, lateral: Points) -> None:
    """Deposit the thin plate between the two edges of a scapula."""
    across = (lateral - medial)[:, None] * np.linspace(0.0, 1.0, 36)[:, None]
    points = medial[:, None] + across
    step = np.linalg.norm(np.gradient(medial, axis=0), axis=1)
    area = step * np.linalg.norm(lateral - medial, axis=1) / points.shape[1]
    volume = _BLADE_CM * np.broadcast_to(area[:, None], points.shape[:2])
    deposit.add(points[..., 0], points[..., 2], volume)


def _spine(anatomy: Anatomy, rng: np.random.Generator) -> Map:
    """Return the extra attenuation of the vertebrae, which repeat with the rib spacing."""
    x, z = axes()
    columns = np.abs(x[0]) < 5.0
    bend = rng.normal(0.0, 0.25) * np.sin(z / 9.0 + rng.uniform(0.0, 6.0))
    across = np.abs(x[:, columns] - bend.astype(np.float32))
    level = (anatomy.first_rib_z - z) / np.float32(anatomy.rib_spacing)
    phase = (level + 0.35) % 1.0 - 0.5
    half_width = 1.45 + 0.07 * np.clip(level, -1.0, 12.0)
    waist = half_width * (0.86 + 0.5 * phase**2)
    body = ramp((waist - across) / 0.12) * ramp((0.41 - np.abs(phase)) / 0.07)
    rim = np.exp(-(((across - waist + 0.12) / 0.1) ** 2)) * (np.abs(phase) < 0.42)
    plates = np.exp(-(((np.abs(phase) - 0.38) / 0.03) ** 2)) * (across < waist)
    pedicle = np.hypot((across - 0.68 * half_width) / 0.32, (phase + 0.12) * 5.0)
    ring = np.exp(-(((pedicle - 1.0) / 0.3) ** 2))
    process = np.exp(-((across / 0.3) ** 2)) * np.exp(-(((phase - 0.32) * 5.5) ** 2))
    transverse = np.exp(-(((phase + 0.1) * 5.5) ** 2)) * ramp((3.0 - across) / 0.3)
    spine = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    spine[:, columns] = (
        0.10 * body + 0.05 * (rim + transverse) + 0.06 * plates + 0.07 * ring + 0.09 * process
    )
    return spine
