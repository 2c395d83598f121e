"""From the shadow of a simulated patient to the picture of a digital chest stand.

Beer-Lambert law, scatter, quantum noise, detector blur, then what a radiography system does
before it shows a film: logarithm, harmonisation, edge enhancement.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engine.data.phantoms.projection import WATER_PER_CM, Projection
from engine.data.phantoms.solids import PITCH_CM, Map, enlarge

MAX_VALUE: Final = 4095
_SCATTER_TO_PRIMARY = 0.55  # behind an anti-scatter grid
_SCATTER_SIGMA_CM = 3.0
_MARKER_TEXT = (
    " ### ### #   #",
    "#     #  ## ##",
    "#     #  # # #",
    " ##   #  #   #",
    "   #  #  #   #",
    "   #  #  #   #",
    "###  ### #   #",
)
_MARKER_SCALE = 3
_MARKER_MARGIN_PX = 8


def marker() -> NDArray[np.uint16]:
    """Return the tile with the word SIM that stands in the upper left corner of every film."""
    bits = np.array([[c == "#" for c in line] for line in _MARKER_TEXT], dtype=np.uint16)
    letters = np.kron(bits, np.ones((_MARKER_SCALE, _MARKER_SCALE), np.uint16))
    return np.pad(letters, _MARKER_MARGIN_PX).astype(np.uint16) * np.uint16(3600)


def draw_shape(rng: np.random.Generator) -> tuple[int, int]:
    """Draw rows and columns of a film: about 512 x 512, multiples of 8."""
    return 8 * int(rng.integers(61, 67)), 8 * int(rng.integers(60, 68))


def expose(projection: Projection, tissue_cm: Map, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Take one film of a patient: position, expose, process.

    Args:
        projection: The patient without disease.
        tissue_cm: What the disease puts in the place of lung, centimetres, shape of the canvas.
        rng: Source of positioning, exposure, noise and processing.

    Returns:
        Stored values 0 to 4095, bone bright, shape as drawn by ``draw_shape``.
    """
    shape = draw_shape(rng)
    line = _reposition(_with_disease(projection, tissue_cm), shape, rng)
    photons = np.float32(rng.uniform(5000.0, 14000.0))
    primary = np.exp(-line)
    spread = _blur(primary, 8, _SCATTER_SIGMA_CM / PITCH_CM)
    expected = (
        primary + np.float32(_SCATTER_TO_PRIMARY * rng.uniform(0.8, 1.2)) * spread
    ) * photons
    # Poisson counts this large are normal to three digits, and drawn three times faster so.
    counted = expected + np.sqrt(expected) * rng.standard_normal(shape, dtype=np.float32)
    seen = ndimage.gaussian_filter(counted, rng.uniform(0.5, 0.7), truncate=3.0)
    film = _develop(-np.log(np.maximum(seen, 1.0) / photons), rng)
    tile = marker()
    film[: tile.shape[0], : tile.shape[1]] = tile
    return film


def _with_disease(projection: Projection, tissue_cm: Map) -> Map:
    """Return the line integrals; a vessel in lung without air can't be told from it."""
    contrast = np.float32(WATER_PER_CM - projection.anatomy.lung_per_cm)
    aerated = 1.0 - tissue_cm / np.maximum(projection.lung_cm, 1e-3)
    line = projection.attenuation + contrast * tissue_cm + projection.vessels * aerated
    return np.asarray(line, np.float32)


def _reposition(line: Map, shape: tuple[int, int], rng: np.random.Generator) -> Map:
    """Turn, shift and magnify slightly, as between two visits."""
    turn, scale = rng.normal(0.0, 0.012), np.clip(rng.normal(1.0, 0.012), 0.96, 1.04)
    shift_px = rng.normal(0.0, 5.0, 2)
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    matrix = np.array([[c, s], [-s, c]])
    offset = (np.array(line.shape) - 1) / 2 - matrix @ ((np.array(shape) - 1) / 2) + shift_px
    moved = ndimage.affine_transform(line, matrix, offset, shape, order=1, mode="nearest")
    return np.asarray(moved, np.float32)


def _develop(density: Map, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Compress the broad differences, sharpen the fine ones, and spread the chest over 12 bits."""
    image = density - np.float32(0.42) * _blur(density, 8, 48.0)
    image += np.float32(0.6) * (image - _blur(image, 2, 2.0))
    dark, bright = chest_range(image, 2.0)
    gain, brightness = 2200.0 * rng.normal(1.0, 0.04), 900.0 + rng.normal(0.0, 60.0)
    values = brightness + gain * (image - dark) / (bright - dark)
    return np.asarray(np.clip(np.rint(values), 0, MAX_VALUE), np.uint16)


def chest_range(image: Map | NDArray[np.uint16], tail: float) -> tuple[float, float]:
    """Return the range of values in the middle of a film, without ``tail`` percent at each end.

    That part holds lungs, heart and spine, and no air outside even a slender patient.
    """
    rows, cols = image.shape
    middle = image[rows // 4 : 3 * rows // 4 : 4, cols // 4 : 3 * cols // 4 : 4]
    low, high = np.percentile(middle.astype(np.float64), [tail, 100.0 - tail])
    return float(low), float(high)


def _blur(image: Map, step: int, sigma_px: float) -> Map:
    """Blur at a fraction of the resolution; both sides of ``image`` are multiples of ``step``."""
    rows, cols = image.shape
    small = image.reshape(rows // step, step, cols).mean(axis=1)
    small = small.reshape(rows // step, cols // step, step).mean(axis=2)
    blurred = ndimage.gaussian_filter(small, sigma_px / step, mode="nearest", truncate=2.5)
    return enlarge(blurred, step)
