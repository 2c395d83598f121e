"""PNG, JPEG, TIFF and BMP through Pillow, at the depth of the file and upright."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
)

from engine.contract.errors import UnreadableImageError
from engine.data.decoded import DecodedImage

# Complaints about odd tags would go to the terminal, with the place of the library's files.
warnings.filterwarnings("ignore", module=r"PIL(\..*)?$")

MAX_PIXELS: Final = 100_000_000
"""More is no radiograph, and could be a file made to fill the memory."""
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
_TIFF_BITS, _TIFF_PHOTOMETRIC, _ORIENTATION = 258, 262, 274
_WHITE_IS_ZERO: Final = 0
_PILLOW_ERRORS: Final = (
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


def read_picture(
    data: bytes, kind: str, *, frame: int | None = None, at_least_px: int | None = None
) -> DecodedImage:
    """Decode a PNG, JPEG, TIFF or BMP.

    Args:
        data: The whole file.
        kind: What its first bytes say it is, for messages.
        frame: Page of a TIFF; None takes the first.
        at_least_px: A smaller version will do, if its shorter side has twice as many pixels.
            JPEGs are then decoded at a half, a quarter or an eighth of their size.

    Raises:
        UnreadableImageError: If the file is broken or too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as picture:
            _check_size(picture.size)
            return _decode(picture, frame, at_least_px)
    except MemoryError as error:
        raise UnreadableImageError(
            f"The {kind} image doesn't fit into memory.", remedy="Save it smaller."
        ) from error
    except _PILLOW_ERRORS as error:
        raise _broken(kind, error) from error


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise UnreadableImageError(
            f"The image has {size[0]} × {size[1]} pixels, more than the "
            f"{MAX_PIXELS // 1_000_000} million that RadTune reads.",
            remedy="Save it smaller, or leave it out.",
        )


def _broken(kind: str, error: BaseException) -> UnreadableImageError:
    text = str(error).lower()
    if any(word in text for word in ("truncated", "unexpected end", "cut off", "incomplete")):
        message = f"The {kind} file is cut off: its end is missing."
    elif "decompression bomb" in text or "too large" in text or "exceeds limit" in text:
        message = f"The {kind} file claims to be larger than RadTune reads."
    elif "cannot identify" in text:
        message = f"The file begins like a {kind} image, but its header is damaged."
    else:
        message = f"The {kind} file is damaged and can't be decoded."
    return UnreadableImageError(message, remedy="Copy or export it again, or leave it out.")


def _decode(
    picture: ImageFile.ImageFile, frame: int | None, at_least_px: int | None
) -> DecodedImage:
    n_frames = int(getattr(picture, "n_frames", 1)) if picture.format == "TIFF" else 1
    if frame:
        if frame >= n_frames:
            raise ValueError(f"frame {frame} of {n_frames}")
        picture.seek(frame)
    mode, size = picture.mode, picture.size
    bits, is_inverted = _depth(picture)
    if at_least_px is not None and picture.format in ("JPEG", "MPO"):
        picture.draft(None, (2 * at_least_px, 2 * at_least_px))
    picture.load()
    values = _values(picture)
    orientation = picture.getexif().get(_ORIENTATION, 1)
    if picture.size != size and picture.format == "TIFF":
        size = picture.size  # Pillow turns TIFFs itself
    if orientation in _UPRIGHT:
        values = np.ascontiguousarray(_UPRIGHT[orientation](values))
        size = size[::-1] if orientation >= 5 else size
    if values.dtype == np.uint8:
        value_range, bits = (0.0, 255.0), min(bits, 8)
    else:
        value_range = _possible_range(values, bits)
    name = picture.format or ""
    return DecodedImage(
        values=values,
        width=size[0],
        height=size[1],
        value_range=value_range,
        is_inverted=is_inverted,
        bits=bits,
        format=_SHOWN_FORMAT.get(name, name),
        photometric=mode,
        frame=frame or 0,
        n_frames=n_frames,
    )


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


def _depth(picture: ImageFile.ImageFile) -> tuple[int, bool]:
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


def _values(picture: ImageFile.ImageFile) -> NDArray[Any]:
    """Return the pixels without changing their depth; colour only where it is some."""
    if picture.mode in ("LA", "La"):
        return np.asarray(picture.getchannel(0))
    if picture.mode == "1":
        return np.asarray(picture.convert("L"))
    if picture.mode in _GREY_MODES:
        values = np.asarray(picture)
        if values.dtype.kind == "f":
            return np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    return grey_if_equal(np.asarray(picture.convert("RGB")))


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
