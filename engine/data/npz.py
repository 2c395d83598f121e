"""Arrays of small images in the layout of MedMNIST: ``train_images``, ``train_labels``, ``val_…``.

References:
    Yang et al., "MedMNIST v2", Scientific Data 10:41, 2023.
"""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from engine.contract.errors import NotAnImageError, UnreadableImageError
from engine.data.decoded import DecodedImage, ImageFile
from engine.data.pictures import check_size, grey_if_equal
from engine.data.units import Transform, possible_range
from engine.files import long_path

PARTS: Final = ("train", "val", "test")
_MOST_BYTES: Final = 3 << 28  # 768 MB
_MOST_LABELS: Final = 1 << 26
_HEADERS: Final = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_ERRORS: Final = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,  # the header of an array is a piece of Python
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NpzItem:
    """One image of the arrays.

    Attributes:
        frame: Counted over training, then validation, then test images.
        label: The number of its class as text; the positive columns of several, such as ``0|3``,
            empty where none is; None without labels.
        split: ``train``, ``val`` or ``test``.
    """

    frame: int
    label: str | None
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stack:
    """An array of images, seen but not read."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class ArrayFile(ImageFile):
    """The images of a MedMNIST file; arrays are read when one of their images is asked for."""

    format = "NPZ"

    def __init__(self, data: bytes) -> None:
        """Find the arrays.

        Args:
            data: The whole file.

        Raises:
            NotAnImageError: If its arrays are not called as in MedMNIST.
            UnreadableImageError: If it is damaged.
        """
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
            self._stacks = _stacks(self._archive)
        except _ERRORS as error:
            raise _damaged() from error
        if not self._stacks:
            raise NotAnImageError(
                "The file holds NumPy arrays, but not as in MedMNIST (train_images, train_labels).",
                remedy="Save the arrays under these names, or leave the file out.",
            )
        self.n_frames = sum(stack.shape[0] for stack in self._stacks)
        if not self.n_frames:
            raise _damaged()
        self.photometric = "RGB" if len(self._stacks[0].shape) == 4 else "L"
        self._kept: tuple[str, NDArray[Any]] | None = None

    def read(self, frame: int | None = None, at_least_px: int | None = None) -> DecodedImage:
        """Return one image; see :class:`ImageFile`."""
        frame = self.chosen(frame)
        values = self.stored(frame)
        bits = 8 * values.dtype.itemsize
        value_range = possible_range(values, values, bits, Transform())
        if values.ndim == 3:
            values = grey_if_equal(values)
        elif values.dtype.kind == "f":
            values = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
        return DecodedImage(
            values=values,
            width=values.shape[1],
            height=values.shape[0],
            value_range=value_range,
            bits=bits,
            format=self.format,
            photometric=self.photometric,
            frame=frame,
            n_frames=self.n_frames,
        )

    def stored(self, frame: int) -> NDArray[Any]:
        """Return one image of the arrays."""
        number = self.chosen(frame)
        for stack in self._stacks:
            if number < stack.shape[0]:
                break
            number -= stack.shape[0]
        try:
            if self._kept is None or self._kept[0] != stack.name:
                self._kept = None  # one of them at a time
                self._kept = stack.name, _read_array(self._archive, stack.name, _MOST_BYTES)
            image = self._kept[1][number]
        except MemoryError as error:
            raise UnreadableImageError(
                "The arrays don't fit into memory.", remedy="Save them in several files."
            ) from error
        except _ERRORS as error:
            raise _damaged() from error
        native: NDArray[Any] = image.astype(image.dtype.newbyteorder("="), copy=False)
        return native


def read_items(path: Path) -> list[NpzItem]:
    """Return the images of a MedMNIST file with their labels and their part.

    Only the labels are read. Images of a part without labels have none.

    Raises:
        NotAnImageError: If the arrays are not called as in MedMNIST.
        UnreadableImageError: If the file is damaged, can't be opened, or its labels don't fit.
    """
    items: list[NpzItem] = []
    try:
        with zipfile.ZipFile(long_path(path)) as archive:
            for stack in _stacks(archive):
                part = stack.name.removesuffix("_images")
                labels = _labels(archive, part, stack.shape[0])
                items += [
                    NpzItem(frame=frame, label=label, split=part)
                    for frame, label in enumerate(labels, start=len(items))
                ]
    except _ERRORS as error:
        raise _damaged() from error
    if not items:
        raise NotAnImageError(
            "The file holds NumPy arrays, but not as in MedMNIST (train_images, train_labels).",
            remedy="Save the arrays under these names, or leave the file out.",
        )
    return items


def shorter_side(path: Path) -> int:
    """Return the shorter side of the images of a MedMNIST file in px; only headers are read.

    Raises:
        UnreadableImageError: If the file is damaged, or holds no such images.
    """
    try:
        with zipfile.ZipFile(long_path(path)) as archive:
            return min(min(stack.shape[1:3]) for stack in _stacks(archive))
    except _ERRORS as error:
        raise _damaged() from error


def _stacks(archive: zipfile.ZipFile) -> list[_Stack]:
    """Return the arrays of images, from their headers.

    Raises:
        UnreadableImageError: If an array holds no images or too large ones.
    """
    stacks = []
    names = set(archive.namelist())
    for name in (f"{part}_images" for part in PARTS):
        if f"{name}.npy" not in names:
            continue
        with archive.open(f"{name}.npy") as stream:
            shape, _, dtype = _array_header(stream)
        is_color = len(shape) == 4 and shape[3] == 3
        if not (len(shape) == 3 or is_color) or min(shape[1:]) < 1 or dtype.kind not in "buif":
            raise UnreadableImageError(
                f"The array “{name}” holds no pictures (its shape should be N × H × W, or "
                "N × H × W × 3).",
                remedy="Save flat images; volumes can be saved as NIfTI.",
            )
        check_size(shape[2], shape[1], 3 if is_color else 1, 8 * dtype.itemsize)
        stacks.append(_Stack(name=name, shape=shape, dtype=dtype))
    return stacks


def _array_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(stream)
    read_header = _HEADERS.get(version)
    if read_header is None:
        raise ValueError("an array of a newer kind")
    shape, is_fortran, dtype = read_header(stream)
    if dtype.hasobject:
        raise ValueError("objects are never unpickled")
    return shape, is_fortran, dtype


def _read_array(archive: zipfile.ZipFile, name: str, most: int) -> NDArray[Any]:
    """Read one array, refusing it by its claim before memory is used."""
    with archive.open(f"{name}.npy") as stream:
        shape, is_fortran, dtype = _array_header(stream)
        n_bytes = math.prod(shape) * dtype.itemsize
        if n_bytes > most:
            raise UnreadableImageError(
                f"The array “{name}” has {n_bytes / 2**20:,.0f} MB, more than the {most >> 20} MB "
                "that RadTune reads.",
                remedy="Use a smaller version, or save the arrays in several files.",
            )
        found = bytearray()
        while len(found) < n_bytes and (part := stream.read(min(1 << 24, n_bytes - len(found)))):
            found += part
    array = np.frombuffer(found, dtype, math.prod(shape))
    return array.reshape(shape, order="F" if is_fortran else "C")


def _labels(archive: zipfile.ZipFile, part: str, n_images: int) -> list[str | None]:
    if f"{part}_labels.npy" not in archive.namelist():
        return [None] * n_images
    labels = _read_array(archive, f"{part}_labels", _MOST_LABELS)
    if labels.shape[:1] != (n_images,) or labels.ndim > 2 or labels.dtype.kind not in "buif":
        raise UnreadableImageError(
            f"The array “{part}_labels” doesn't fit the images: it should have one row for each.",
            remedy="Save labels and images of the same length.",
        )
    if labels.ndim == 2 and labels.shape[1] > 1:
        return ["|".join(map(str, np.flatnonzero(row).tolist())) for row in labels]
    return [_text(number) for number in labels.reshape(n_images).tolist()]


def _text(number: float) -> str:
    return str(int(number)) if math.isfinite(number) and number == int(number) else str(number)


def _damaged() -> UnreadableImageError:
    return UnreadableImageError(
        "The file of arrays is damaged and can't be read.",
        remedy="Download or save it again, or leave it out.",
    )
