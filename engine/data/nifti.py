"""NIfTI volumes as slices, turned so that a radiologist would recognise them.

References:
    The NIfTI-1 and NIfTI-2 data formats, https://nifti.nimh.nih.gov
"""

from __future__ import annotations

import gzip
import io
import logging
import math
import zlib
from typing import Any, Final

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from engine.contract.errors import UnreadableImageError
from engine.data.decoded import DecodedImage, ImageFile, Window
from engine.data.pictures import check_size, grey_if_equal
from engine.data.proportions import shown_size
from engine.data.units import Transform, possible_range

# Complaints about odd headers would go to the terminal.
logging.getLogger("nibabel").setLevel(logging.CRITICAL)

_nibabel: Final[Any] = nibabel  # most of its functions state no types
_MOST_INFLATED: Final = 3 << 28  # 768 MB
_MOST_GAIN: Final = 1100
"""Deflate can't do better, so that a header claiming more is wrong."""
_CHUNK: Final = 1 << 24
_HEADER_BYTES: Final = 544
_FIRST_VOXEL: Final = {348: 352, 540: 544}
_PLANES: Final = {"sagittal": 0, "coronal": 1, "axial": 2}
_COLORS: Final = (("R", "G", "B"), ("R", "G", "B", "A"))
_ERRORS: Final = (
    HeaderDataError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    zlib.error,
    np.linalg.LinAlgError,
)


class VolumeFile(ImageFile):
    """A volume in one file (``.nii`` or ``.nii.gz``), slice by slice.

    Slices are shown as on a radiologist's screen: the patient's right on the left of axial and
    coronal slices, the front on the left of sagittal ones; the front, or the head, on top. They
    count from the feet, the back, and the left.
    """

    format = "NIfTI"

    def __init__(self, data: bytes, *, axis: str = "axial") -> None:
        """Read the header, and inflate the first volume.

        Args:
            data: The whole file.
            axis: Plane of the slices: ``axial``, ``coronal`` or ``sagittal``.

        Raises:
            UnreadableImageError: If it is damaged, cut off, too large, or holds no real numbers.
        """
        try:
            self._read(data, _PLANES[axis])
        except MemoryError as error:
            raise UnreadableImageError(
                "The NIfTI volume doesn't fit into memory.", remedy="Leave it out."
            ) from error
        except _ERRORS as error:
            raise _damaged() from error

    def _read(self, data: bytes, plane: int) -> None:
        is_zipped = data.startswith(b"\x1f\x8b")
        head = _inflated(data, _HEADER_BYTES) if is_zipped else data[:_HEADER_BYTES]
        header, offset = _header(bytes(head))
        kind = _number_type(header)
        shape = tuple(int(n) for n in header.get_data_shape())
        if not shape or min(shape) < 1:
            raise ValueError("no voxels")
        volume = (*shape, 1, 1, 1)[:3]
        end = offset + math.prod(volume) * kind.itemsize
        source = _first_volume(data, end) if is_zipped else data
        if end > len(source):
            raise UnreadableImageError(
                "The NIfTI file is cut off: voxels are missing at its end.",
                remedy="Copy or export it again, or leave it out.",
            )
        voxels = np.frombuffer(source, kind, math.prod(volume), offset)
        affine, notes = _affine(header)
        if (n_volumes := math.prod(shape[3:])) > 1:
            notes.append(f"The file holds {n_volumes:,} volumes, of which the first is read.")
        self._turn(voxels.reshape(volume, order="F"), affine)
        self._transform, self._window, self._plane = _transform(header), _window(header), plane
        self.n_frames = self._voxels.shape[plane]
        self.default_frame = (self.n_frames - 1) // 2
        self.photometric = "RGB" if kind.names else kind.name
        self.notes = tuple(notes)
        rows, columns = self._slice(0).shape[:2]
        check_size(columns, rows, 1, 8 * kind.itemsize)

    def _turn(self, voxels: NDArray[Any], affine: NDArray[np.float64]) -> None:
        """Keep the voxels with axes that point right, forward and up, and their sizes."""
        orientation = _nibabel.orientations.io_orientation(affine)
        self._voxels = _nibabel.orientations.apply_orientation(voxels, orientation)
        sizes = _nibabel.affines.voxel_sizes(affine)
        self._spacing = [float(size) for size in sizes[np.argsort(orientation[:, 0])]]

    def read(self, frame: int | None = None, at_least_px: int | None = None) -> DecodedImage:
        """Return one slice, upright; see :class:`ImageFile`."""
        frame = self.chosen(frame)
        stored = self.stored(frame)
        bits = 8 * stored.dtype.itemsize
        rows, columns = stored.shape[:2]
        width, height, notes = shown_size(columns, rows, self._aspect())
        facts: dict[str, Any] = {
            "width": width,
            "height": height,
            "bits": bits,
            "format": self.format,
            "photometric": self.photometric,
            "frame": frame,
            "n_frames": self.n_frames,
            "notes": (*self.notes, *notes),
        }
        if stored.ndim == 3:
            return DecodedImage(values=grey_if_equal(stored), value_range=(0.0, 255.0), **facts)
        values = self._transform.apply(stored)
        if values.dtype.kind == "f":
            values = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
        return DecodedImage(
            values=values,
            value_range=possible_range(values, stored, bits, self._transform),
            window=self._window,
            **facts,
        )

    def stored(self, frame: int) -> NDArray[Any]:
        """Return the stored numbers of a slice, turned upright."""
        part = self._slice(self.chosen(frame))
        if part.dtype.names:
            return np.stack([part[name] for name in "RGB"], axis=-1)
        return np.ascontiguousarray(part.astype(part.dtype.newbyteorder("="), copy=False))

    def _slice(self, number: int) -> NDArray[Any]:
        """Return a view of one slice; the axes of the voxels point right, forward and up."""
        place: list[Any] = [slice(None)] * 3
        place[self._plane] = number
        part: NDArray[Any] = self._voxels[tuple(place)]
        return part[::-1, ::-1].T

    def _aspect(self) -> float:
        """Return the height of a pixel of a slice as a multiple of its width."""
        across, along = (size for i, size in enumerate(self._spacing) if i != self._plane)
        return along / across if across > 0 else 1.0


def _inflated(data: bytes, most: int) -> bytearray:
    """Inflate the beginning of a gzip file, without reserving memory for what it claims."""
    found = bytearray()
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        while len(found) < most and (part := stream.read(min(_CHUNK, most - len(found)))):
            found += part
    return found


def _first_volume(data: bytes, end: int) -> bytearray:
    if end > _MOST_INFLATED:
        raise UnreadableImageError(
            f"The NIfTI volume inflates to {end / 2**30:.1f} GB, more than the "
            f"{_MOST_INFLATED >> 20} MB that RadTune reads.",
            remedy="Save it in fewer bits or without compression, or leave it out.",
        )
    if end > _MOST_GAIN * len(data):
        raise _damaged()
    return _inflated(data, end)


def _header(head: bytes) -> tuple[Any, int]:
    """Return the header and where the voxels begin."""
    size = int.from_bytes(head[:4], "little" if head[0] else "big")
    kind = _nibabel.Nifti1Header if size == 348 else _nibabel.Nifti2Header
    header = kind.from_fileobj(io.BytesIO(head), check=False)
    stated = float(header["vox_offset"])
    first = _FIRST_VOXEL[size]
    return header, max(first, int(stated)) if math.isfinite(stated) else first


def _number_type(header: Any) -> np.dtype[Any]:
    kind: np.dtype[Any] = header.get_data_dtype()
    if kind.kind in "iuf" or kind.names in _COLORS:
        return kind
    raise UnreadableImageError(
        "The NIfTI volume holds no grey values or colours, but numbers of another kind.",
        remedy="Save it with whole or decimal numbers, or leave it out.",
    )


def _affine(header: Any) -> tuple[NDArray[np.float64], list[str]]:
    """Return where the voxels lie in the patient, and what had to be assumed."""
    unknown = "The file doesn't say how it lies in the patient: its usual order was assumed."
    notes = [] if header["sform_code"] > 0 or header["qform_code"] > 0 else [unknown]
    try:
        affine = np.asarray(header.get_best_affine(), np.float64)
        is_sound = np.isfinite(affine).all() and np.linalg.matrix_rank(affine) == 4
    except _ERRORS:
        is_sound = False
    return (affine, notes) if is_sound else (np.diag([-1.0, 1.0, 1.0, 1.0]), [unknown])


def _transform(header: Any) -> Transform:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return Transform()  # as the format says
    return Transform(slope=slope, intercept=intercept if math.isfinite(intercept) else 0.0)


def _window(header: Any) -> Window | None:
    """Return the range that the file asks to be shown with, if it does."""
    low, high = float(header["cal_min"]), float(header["cal_max"])
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return None
    return Window.between(low, high)


def _damaged() -> UnreadableImageError:
    return UnreadableImageError(
        "The NIfTI file is damaged: its header can't be, or its voxels can't be inflated.",
        remedy="Copy or export it again, or leave it out.",
    )
