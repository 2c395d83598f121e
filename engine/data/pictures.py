"""PNG, JPEG, TIFF and BMP through Pillow, at the depth of the file and upright."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    ImageChops,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
)
from PIL.ImageFile import ImageFile as PillowFile

from engine.contract.errors import UnreadableImageError
from engine.data.decoded import DecodedImage, ImageFile

Decoded = TypeVar("Decoded")

# Complaints about odd tags would go to the terminal, with the place of the library's files.
warnings.filterwarnings("ignore", module=r"PIL(\..*)?$")

MAX_PIXELS: Final = 100_000_000
"""More is no radiograph, and could be a file made to fill the memory."""
_MAX_BYTES: Final = 1 << 28
"""Of one decoded frame: decoding and windowing need several times as much."""
# Naming the plugins loads them here; Pillow would load all it has, in whichever thread is first.
_PILLOW_FORMATS: Final = tuple(
    plugin.format
    for plugin in (
        PngImagePlugin.PngImageFile,
        JpegImagePlugin.JpegImageFile,
        TiffImagePlugin.TiffImageFile,
        BmpImagePlugin.BmpImageFile,
    )
)
_SHOWN_FORMAT: Final = {"MPO": "JPEG"}  # a JPEG with further pictures behind, as cameras write it
_GREY_MODES: Final = frozenset({"1", "L", "I;16", "I;16B", "I;16L", "I;16N", "I", "F"})
_BITS_IN_MEMORY: Final = {"I": 32, "F": 32, "I;16": 16, "I;16B": 16, "I;16L": 16, "I;16N": 16}
_TIFF_BITS, _TIFF_PHOTOMETRIC, _ORIENTATION = 258, 262, 274
_TIFF_SAMPLE_FORMAT, _UNSIGNED, _SIGNED = 339, 1, 2
_WHITE_IS_ZERO: Final = 0
PILLOW_ERRORS: Final = (
    OSError,
    SyntaxError,  # Pillow's word for a broken PNG or TIFF
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class PictureFile(ImageFile):
    """A PNG, JPEG, TIFF or BMP."""

    def __init__(self, data: bytes, kind: str) -> None:
        """Read the header.

        Args:
            data: The whole file.
            kind: What its first bytes say it is, for messages.

        Raises:
            UnreadableImageError: If the file is broken or too large.
        """
        self._kind = kind
        try:
            self._picture: PillowFile = Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS)
            self._check_size()
            if self._picture.format == "TIFF":
                self.n_frames = int(getattr(self._picture, "n_frames", 1))
        except MemoryError as error:
            raise _too_large(kind) from error
        except PILLOW_ERRORS as error:
            raise _broken(kind, error) from error
        name = self._picture.format or ""
        self.format = _SHOWN_FORMAT.get(name, name)
        self.photometric = self._picture.mode
        self._data = data
        self._loaded_frame: int | None = None

    def read(self, frame: int | None = None, at_least_px: int | None = None) -> DecodedImage:
        """Decode a picture or a page, upright; see :class:`ImageFile`.

        JPEGs of which a reduced version will do are decoded at a half, a quarter or an eighth of
        their size.
        """
        return self._guarded(frame, lambda: self._decoded(self.chosen(frame), at_least_px))

    def stored(self, frame: int) -> NDArray[Any]:
        """Return the pixels of a page as they are stored; see :class:`ImageFile`."""
        return self._guarded(frame, lambda: self._loaded(None))

    def _guarded(self, frame: int | None, decode: Callable[[], Decoded]) -> Decoded:
        """Decode a page, turning what Pillow raises into a sentence for users."""
        frame = self.chosen(frame)
        try:
            if frame == self._loaded_frame:
                # Once decoded, perhaps at a reduced size, it can't be decoded anew.
                self._picture = Image.open(io.BytesIO(self._data), formats=_PILLOW_FORMATS)
            if self.n_frames > 1:
                self._picture.seek(frame)
                self._check_size()
            self._loaded_frame = frame
            return decode()
        except MemoryError as error:
            raise _too_large(self._kind) from error
        except PILLOW_ERRORS as error:
            raise _broken(self._kind, error) from error

    def _check_size(self) -> None:
        picture = self._picture
        samples = len(picture.getbands())
        check_size(*picture.size, samples, _BITS_IN_MEMORY.get(picture.mode, 8))

    def _loaded(self, at_least_px: int | None) -> NDArray[Any]:
        picture = self._picture
        if at_least_px is not None and picture.format in ("JPEG", "MPO"):
            picture.draft(None, (2 * at_least_px, 2 * at_least_px))
        picture.load()
        return _values(picture)

    def _decoded(self, frame: int, at_least_px: int | None) -> DecodedImage:
        picture = self._picture
        mode, size = picture.mode, picture.size
        bits, is_inverted = _depth(picture)
        notes = _notes(picture)
        values = self._loaded(at_least_px)
        orientation = picture.getexif().get(_ORIENTATION, 1)
        if picture.size != size and picture.format == "TIFF":
            size = picture.size  # Pillow turns TIFFs itself
        if orientation in _UPRIGHT:
            values = turned_upright(values, orientation)
            size = size[::-1] if orientation >= 5 else size
        if values.dtype == np.uint8:
            value_range, bits = (0.0, 255.0), min(bits, 8)
        else:
            value_range = _possible_range(values, bits)
        return DecodedImage(
            values=values,
            width=size[0],
            height=size[1],
            value_range=value_range,
            is_inverted=is_inverted,
            bits=bits,
            format=self.format,
            photometric=mode,
            frame=frame,
            n_frames=self.n_frames,
            notes=notes,
        )


def _too_large(kind: str) -> UnreadableImageError:
    return UnreadableImageError(
        f"The {kind} image doesn't fit into memory.", remedy="Save it smaller."
    )


def check_size(width: int, height: int, samples: int, bits: int) -> None:
    """Refuse what a header claims to be too large, before memory is used for it.

    Args:
        width: In pixels.
        height: Likewise.
        samples: Values per pixel.
        bits: Of each value.

    Raises:
        UnreadableImageError: If a frame has more than 100 million pixels or 256 MB.
    """
    if width * height > MAX_PIXELS:
        limit = f"{MAX_PIXELS // 1_000_000} million"
    elif width * height * samples * -(-bits // 8) > _MAX_BYTES:
        limit = f"{_MAX_BYTES >> 20} MB"
    else:
        return
    raise UnreadableImageError(
        f"The image has {width} × {height} pixels, more than the {limit} that RadTune reads.",
        remedy="Save it smaller, or leave it out.",
    )


def _broken(kind: str, error: BaseException) -> UnreadableImageError:
    text = str(error).lower()
    if any(word in text for word in ("truncated", "unexpected end", "cut off", "incomplete")):
        message = f"The {kind} file is cut off: its end is missing."
    elif "decompression bomb" in text or "too large" in text or "exceeds limit" in text:
        message = f"The {kind} file claims to be larger than RadTune reads."
    elif "cannot identify" in text:
        message = (
            f"The file begins like a {kind} image, but its header is damaged or of a kind that "
            "RadTune doesn't read."
        )
    else:
        message = f"The {kind} file is damaged and can't be decoded."
    return UnreadableImageError(message, remedy="Copy or export it again, or leave it out.")


# How to turn what was stored into what was seen, by EXIF orientation (TIFF 6.0, tag 274).
_UPRIGHT: Final[dict[int, Callable[[NDArray[Any]], NDArray[Any]]]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def turned_upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return stored values as they were seen, by their EXIF orientation."""
    turn = _UPRIGHT.get(orientation)
    return values if turn is None else np.ascontiguousarray(turn(values))


def _depth(picture: PillowFile) -> tuple[int, bool]:
    """Return bits per sample, and whether a deep TIFF stores white as zero."""
    by_mode = {"1": 1, "I": 32, "F": 32}
    bits = by_mode.get(picture.mode, 16 if picture.mode.startswith("I;16") else 8)
    tags = getattr(picture, "tag_v2", None)
    if tags is None:
        return bits, False
    if picture.mode not in ("1", "P"):
        bits = int(tags.get(_TIFF_BITS, (bits,))[0])
    # Pillow turns 1- and 8-bit ones round itself.
    is_deep = picture.mode.startswith("I") or picture.mode == "F"
    return bits, is_deep and tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO


def _values(picture: PillowFile) -> NDArray[Any]:
    """Return the pixels without changing their depth; colour only where it is some."""
    if picture.mode in ("LA", "La"):
        return np.asarray(picture.getchannel(0))
    if picture.mode == "1":
        return np.asarray(picture.convert("L"))
    if picture.mode in _GREY_MODES:
        values = _with_sign(np.asarray(picture), picture)
        if values.dtype.kind == "f":
            return np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if picture.mode == "CMYK" and picture.format == "JPEG" and "adobe" not in picture.info:
        # Adobe stores ink as its absence, and Pillow takes every file for one of Adobe's.
        return grey_if_equal(np.asarray(ImageChops.invert(picture).convert("RGB")))
    return grey_if_equal(np.asarray(picture.convert("RGB")))


def _with_sign(values: NDArray[Any], picture: PillowFile) -> NDArray[Any]:
    """Mend what Pillow gets wrong with TIFFs: signed bytes, and unsigned 32-bit values."""
    tags = getattr(picture, "tag_v2", None)
    if tags is None:
        return values
    kind = tags.get(_TIFF_SAMPLE_FORMAT, (_UNSIGNED,))[0]
    if values.dtype == np.uint8 and kind == _SIGNED:
        return values.view(np.int8)
    if values.dtype == np.int32 and kind == _UNSIGNED and tags[_TIFF_BITS][0] == 32:
        return values.view(np.uint32)
    return values


def _notes(picture: PillowFile) -> tuple[str, ...]:
    """Return what Pillow reduces without saying so."""
    arguments: Any = picture.tile[0][3] if picture.tile else ""
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    if isinstance(raw, str) and ";16" in raw and picture.mode not in _GREY_MODES:
        return ("The file has 16 bits for each colour, of which the upper 8 are read.",)
    return ()


def grey_if_equal(values: NDArray[Any]) -> NDArray[Any]:
    """Return one channel of an ``(H, W, 3)`` image whose channels are all the same."""
    first = values[..., 0]
    if np.array_equal(first, values[..., 1]) and np.array_equal(first, values[..., 2]):
        return np.ascontiguousarray(first)
    return values


def _possible_range(values: NDArray[Any], bits: int) -> tuple[float, float]:
    if values.dtype.kind == "u":
        return 0.0, float(2 ** min(bits, 16) - 1)
    return float(values.min()), float(values.max())
