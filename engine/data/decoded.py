"""What a reader returns: a file, one image of it at full depth, and what is needed to show it."""

from __future__ import annotations

import datetime
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import UnreadableImageError

_SMALLEST_WIDTH: Final = 1e-30


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which values are shown from black to white; values outside saturate.

    Attributes:
        center: In the units of :attr:`DecodedImage.values`.
        width: Positive, in the same units.
        kind: ``linear``, ``linear_exact`` or ``sigmoid``, the functions of DICOM PS3.3 C.11.2.1.
        name: What the file calls it, such as ``LUNG``.
    """

    center: float
    width: float
    kind: str = "linear_exact"
    name: str = ""

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
        name: What the file calls it.
    """

    first: int
    levels: NDArray[np.float32]
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedImage:
    """One image as its file holds it, upright, before any windowing.

    Attributes:
        values: Shape ``(H, W)`` for grey, ``(H, W, 3)`` for RGB. Integers as stored, or in
            modality units (Hounsfield units, counts…) after the rescale; float32 where the
            rescale isn't whole-numbered. On the grid of the file: H and W differ from ``height``
            and ``width`` where a reduced version was asked for or where pixels aren't square.
        width: Width of the whole image in square pixels, as it is shown.
        height: Height likewise. Where the pixels of a file aren't square, the side along which
            they are longer is counted in the shorter unit, so that no detail is lost.
        value_range: Smallest and largest value that the file could hold, in the same units.
        window: First window of the file, if it has one.
        voi_lut: First table of the file, if it has one; takes precedence over ``window``.
        named_views: All windows and tables of the file that have a name.
        is_inverted: Whether small values are bright (MONOCHROME1, TIFF "white is zero").
        padding: Lowest and highest padding value, in the units of ``values``: areas that the
            device filled and that hold no image.
        bits: Bits stored per sample.
        format: ``DICOM``, ``PNG``, ``JPEG``, ``TIFF``, ``BMP``, ``NIfTI`` or ``NPZ``.
        modality: DICOM modality such as ``DX``; empty for other formats.
        photometric: DICOM photometric interpretation, or Pillow's mode.
        frame: Which of ``n_frames`` this is, from 0.
        patient_id: As in the file. Memory only: never store, log or export it.
        study_uid: Likewise.
        sop_uid: Likewise.
        site: Name of the institution. Likewise.
        acquired: Day of acquisition. Likewise.
        burned_in: What the header says on text burned into the image: ``yes``, ``no`` or empty.
        covariates: ``view``, ``sex``, ``age`` (years, at most 90) and ``device``, where known.
        dicom: Whitelisted header fields, by readable name.
        notes: What was assumed or left out, as sentences without identifiers.
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
    named_views: tuple[Window | VoiLut, ...] = field(default=(), repr=False)
    is_inverted: bool = False
    padding: tuple[float, float] | None = None
    frame: int = 0
    n_frames: int = 1
    patient_id: str | None = field(default=None, repr=False)
    study_uid: str | None = field(default=None, repr=False)
    sop_uid: str | None = field(default=None, repr=False)
    site: str | None = field(default=None, repr=False)
    acquired: datetime.date | None = field(default=None, repr=False)
    burned_in: str = ""
    covariates: dict[str, str] = field(default_factory=dict, repr=False)
    dicom: dict[str, str] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def is_color(self) -> bool:
        """Whether the image has three channels that differ."""
        return self.values.ndim == 3


class ImageFile(ABC):
    """A file whose header was read once and whose frames are decoded when they are asked for.

    Attributes:
        format: As in :class:`DecodedImage`.
        n_frames: Frames, pages, slices or array items.
        default_frame: The frame that stands for the file: the middle one, the first page of a
            TIFF, the first item of an array.
        photometric: DICOM photometric interpretation, or Pillow's mode.
        transfer_syntax: UID as stated by a DICOM file; empty for other files.
        notes: What was assumed, as sentences without identifiers.
    """

    format: str = ""
    n_frames: int = 1
    default_frame: int = 0
    photometric: str = ""
    transfer_syntax: str = ""
    notes: tuple[str, ...] = ()

    @abstractmethod
    def read(self, frame: int | None = None, at_least_px: int | None = None) -> DecodedImage:
        """Decode one frame.

        Args:
            frame: From 0; None takes :attr:`default_frame`.
            at_least_px: A reduced version will do, as long as its shorter side has twice this
                many pixels; saves time with large JPEGs. None reads the whole image.

        Raises:
            UnreadableImageError: If the frame is missing, damaged, too large, or compressed in a
                way that isn't understood.
        """

    @abstractmethod
    def stored(self, frame: int) -> NDArray[Any]:
        """Return the decoded values of a frame before any table, rescale or rotation.

        Colour is in RGB, palettes are not applied.

        Returns:
            Shape ``(rows, columns)`` or ``(rows, columns, 3)``.

        Raises:
            UnreadableImageError: As :meth:`read`.
        """

    def chosen(self, frame: int | None) -> int:
        """Return a frame that exists: the one asked for, or the default one.

        Raises:
            UnreadableImageError: If there is no such frame, for instance because the file changed.
        """
        if frame is None:
            return self.default_frame
        if not 0 <= frame < self.n_frames:
            has = "1 frame" if self.n_frames == 1 else f"{self.n_frames:,} frames"
            raise UnreadableImageError(
                f"The file has {has}; there is no frame {frame} (they count from 0).",
                remedy="Choose another frame, or import the file again if it has changed.",
            )
        return frame
