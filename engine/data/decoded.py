"""What a reader returns: one image at full depth, and what is needed to show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_SMALLEST_WIDTH: Final = 1e-30


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which values are shown from black to white; values outside saturate.

    Attributes:
        center: In the units of :attr:`DecodedImage.values`.
        width: Positive, in the same units.
        kind: ``linear``, ``linear_exact`` or ``sigmoid``, the functions of DICOM PS3.3 C.11.2.1.
    """

    center: float
    width: float
    kind: str = "linear_exact"

    @classmethod
    def between(cls, low: float, high: float) -> Window:
        """Return the window that shows ``low`` as black and ``high`` as white."""
        return cls(center=(low + high) / 2, width=max(high - low, _SMALLEST_WIDTH))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VoiLut:
    """A table instead of a window (VOI LUT Sequence).

    Attributes:
        first: Value that the first entry stands for; values outside take the nearest entry.
        levels: float32, shape ``(N,)``, in [0, 1].
    """

    first: int
    levels: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedImage:
    """One image as its file holds it, upright, before any windowing.

    Attributes:
        values: Shape ``(H, W)`` for grey, ``(H, W, 3)`` for RGB. Integers as stored, or in
            modality units (Hounsfield units, counts…) after the rescale; float32 where the
            rescale isn't whole-numbered. Smaller than ``height`` and ``width`` only if a reduced
            version was asked for.
        width: Width of the whole image in pixels.
        height: Height likewise.
        value_range: Smallest and largest value that the file could hold, in the same units.
        window: First window of the file, if it has one.
        voi_lut: Table of the file, if it has one; takes precedence over ``window``.
        is_inverted: Whether small values are bright (MONOCHROME1, TIFF "white is zero").
        padding: Lowest and highest padding value, in the units of ``values``: areas that the
            device filled and that hold no image.
        bits: Bits stored per sample.
        format: ``DICOM``, ``PNG``, ``JPEG``, ``TIFF`` or ``BMP``.
        modality: DICOM modality such as ``DX``; empty for other formats.
        photometric: DICOM photometric interpretation, or Pillow's mode.
        frame: Which of ``n_frames`` this is, from 0.
        patient_id: As in the file. Memory only: never store, log or export it.
        study_uid: Likewise.
        covariates: ``view``, ``sex``, ``age`` (years, at most 90) and ``device``, where known.
        dicom: Whitelisted header fields, by readable name.
    """

    values: NDArray[Any]
    width: int
    height: int
    value_range: tuple[float, float]
    bits: int
    format: str
    photometric: str
    modality: str = ""
    window: Window | None = None
    voi_lut: VoiLut | None = field(default=None, repr=False)
    is_inverted: bool = False
    padding: tuple[float, float] | None = None
    frame: int = 0
    n_frames: int = 1
    patient_id: str | None = field(default=None, repr=False)
    study_uid: str | None = field(default=None, repr=False)
    covariates: dict[str, str] = field(default_factory=dict, repr=False)
    dicom: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_color(self) -> bool:
        """Whether the image has three channels that differ."""
        return self.values.ndim == 3
