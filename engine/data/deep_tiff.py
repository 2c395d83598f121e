"""TIFFs of a depth that Pillow doesn't know or reduces, such as doubles or 16 bits for each colour.

Uncompressed and deflated ones only, as scientific programs write them.

References:
    TIFF 6.0; Adobe Photoshop TIFF Technical Note 3 (floating-point values).
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from engine.contract.errors import UnreadableImageError
from engine.data.decoded import DecodedImage, ImageFile
from engine.data.pictures import check_size, grey_if_equal, turned_upright
from engine.data.units import Transform, possible_range

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 274, 277, 278, 279
_PLANAR, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 284, 317, 322, 323, 324, 325
_SAMPLE_FORMAT: Final = 339
_KINDS: Final = {1: "u", 2: "i", 3: "f"}
_PLAIN: Final = 1
_DEFLATED: Final = frozenset({8, 32946})
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_BY_PLANE: Final = 2
_DIFFERENCES: Final = 2
_MOST_IN_BLOCK: Final = 1 << 20
_MOST_PAGES: Final = 100_000
_ERRORS: Final = (
    ValueError,
    LookupError,
    TypeError,
    OSError,
    SyntaxError,
    ArithmeticError,
    struct.error,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """Layout of a page.

    Attributes:
        samples: Of each pixel, further ones such as transparency included.
        block: Height and width of a strip or tile.
        is_tiled: Whether they are tiles.
        places: Offset and length of each of them.
    """

    rows: int
    columns: int
    samples: int
    dtype: np.dtype[Any]
    photometric: int
    is_deflated: bool
    has_differences: bool
    is_planar: bool
    block: tuple[int, int]
    is_tiled: bool
    places: tuple[tuple[int, int], ...]
    orientation: int


def is_deep(data: bytes) -> bool:
    """Return whether the first page of a TIFF needs this reader and can be read by it."""
    try:
        return _page(data, _directory(data, _first(data))) is not None
    except _ERRORS:
        return False


class DeepTiffFile(ImageFile):
    """A TIFF of which :func:`is_deep` says that it is one."""

    format = "TIFF"

    def __init__(self, data: bytes) -> None:
        """Find the pages.

        Raises:
            UnreadableImageError: If a page is too large.
        """
        self._data = data
        self._pages: list[_Page] = []
        at, seen = _first(data), set[int]()
        while at and at not in seen and len(seen) < _MOST_PAGES:
            seen.add(at)
            try:
                directory = _directory(data, at)
                page = _page(data, directory)
            except _ERRORS:
                break  # the pages before it are sound
            if page is not None:  # others are of another kind, such as a small preview
                self._pages.append(page)
            at = directory.next
        self.n_frames = len(self._pages)
        self.photometric = "RGB" if self._pages[0].photometric == _RGB else "F"

    def read(self, frame: int | None = None, at_least_px: int | None = None) -> DecodedImage:
        """Return a page, upright; see :class:`ImageFile`."""
        frame = self.chosen(frame)
        stored = self.stored(frame)
        page = self._pages[frame]
        bits = 8 * page.dtype.itemsize
        values = stored
        if values.dtype.kind == "f":
            values = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
        values = turned_upright(values, page.orientation)
        value_range = possible_range(values, stored, bits, Transform())
        return DecodedImage(
            values=grey_if_equal(values) if values.ndim == 3 else values,
            width=values.shape[1],
            height=values.shape[0],
            value_range=value_range,
            is_inverted=page.photometric == _WHITE_IS_ZERO,
            bits=bits,
            format=self.format,
            photometric=self.photometric,
            frame=frame,
            n_frames=self.n_frames,
        )

    def stored(self, frame: int) -> NDArray[Any]:
        """Return the pixels of a page as they are stored; see :class:`ImageFile`."""
        page = self._pages[self.chosen(frame)]
        try:
            return _pixels(self._data, page)
        except (ValueError, IndexError, zlib.error) as error:
            raise UnreadableImageError(
                "The TIFF file is damaged or cut off and can't be decoded.",
                remedy="Copy or export it again, or leave it out.",
            ) from error


def _first(data: bytes) -> int:
    """Return where the first directory lies."""
    order = "little" if data[:2] == b"II" else "big"
    is_big = data[2:4] in (b"+\0", b"\0+")
    return int.from_bytes(data[8:16] if is_big else data[4:8], order)  # type: ignore[arg-type]


def _directory(data: bytes, at: int) -> ImageFileDirectory_v2:
    is_big = data[2:4] in (b"+\0", b"\0+")
    directory = ImageFileDirectory_v2(data[:16] if is_big else data[:8])
    stream = io.BytesIO(data)
    stream.seek(at)
    directory.load(stream)
    return directory


def _page(data: bytes, tags: ImageFileDirectory_v2) -> _Page | None:
    """Return the layout of a page, or None if it is one for Pillow or for nobody."""
    samples, photometric = int(tags.get(_SAMPLES, 1)), int(tags[_PHOTOMETRIC])
    number = _number_type(tags, samples, photometric)
    compression, predictor = int(tags.get(_COMPRESSION, 1)), int(tags.get(_PREDICTOR, 1))
    if number is None or (compression != _PLAIN and compression not in _DEFLATED):
        return None
    has_differences = predictor == _DIFFERENCES and number[0] != "f"
    if predictor != 1 and not has_differences:
        return None
    rows, columns = int(tags[_HEIGHT]), int(tags[_WIDTH])
    check_size(columns, rows, samples, 8 * int(number[1:]))
    is_planar = int(tags.get(_PLANAR, 1)) == _BY_PLANE and samples > 1
    block, places = _blocks(tags, rows, columns)
    if min(rows, columns, *block) < 1 or block[0] * block[1] > max(_MOST_IN_BLOCK, rows * columns):
        return None
    n_blocks = -(-rows // block[0]) * -(-columns // block[1])
    if len(places) != n_blocks * (samples if is_planar else 1):
        return None
    return _Page(
        rows=rows,
        columns=columns,
        samples=samples,
        dtype=np.dtype(("<" if data[:2] == b"II" else ">") + number),
        photometric=photometric,
        is_deflated=compression != _PLAIN,
        has_differences=has_differences,
        is_planar=is_planar,
        block=block,
        is_tiled=_TILES in tags,
        places=places,
        orientation=int(tags.get(_ORIENTATION, 1)),
    )


def _number_type(tags: ImageFileDirectory_v2, samples: int, photometric: int) -> str | None:
    """Return the type of the samples, such as ``f8``, if it is one that Pillow can't keep."""
    depths, kinds = set(tags.get(_BITS, (1,))), set(tags.get(_SAMPLE_FORMAT, (1,)))
    if len(depths) != 1 or len(kinds) != 1:
        return None
    [bits], [kind] = depths, kinds
    if photometric == _RGB:
        is_wanted = samples in (3, 4) and bits in (16, 32, 64)
    else:
        is_unknown = bits == 64 or (bits, kind) in ((16, 3), (32, 1))  # to Pillow
        is_wanted = photometric <= _BLACK_IS_ZERO and samples == 1 and is_unknown
    return f"{_KINDS[kind]}{bits // 8}" if is_wanted and kind in _KINDS else None


def _blocks(
    tags: ImageFileDirectory_v2, rows: int, columns: int
) -> tuple[tuple[int, int], tuple[tuple[int, int], ...]]:
    """Return height and width of the strips or tiles, and offset and length of each."""
    if _TILES in tags:
        block = int(tags[_TILE_HEIGHT]), int(tags[_TILE_WIDTH])
        offsets, lengths = tags[_TILES], tags[_TILE_BYTES]
    else:
        block = min(rows, int(tags.get(_ROWS_PER_STRIP, rows))), columns
        offsets, lengths = tags[_STRIPS], tags[_STRIP_BYTES]
    return block, tuple(zip(map(int, offsets), map(int, lengths), strict=True))


def _pixels(data: bytes, page: _Page) -> NDArray[Any]:
    """Put the strips or tiles of a page together."""
    together = 1 if page.is_planar else page.samples
    height, width = page.block
    image = np.zeros((page.rows, page.columns, page.samples), page.dtype.newbyteorder("="))
    across = -(-page.columns // width)
    in_plane = across * -(-page.rows // height)
    for number, (offset, length) in enumerate(page.places):
        plane, place = divmod(number, in_plane)
        top, left = place // across * height, place % across * width
        # Tiles are whole; the last strip holds only the rows that are left.
        n_rows = height if page.is_tiled else min(height, page.rows - top)
        shape = n_rows, width, together
        n_bytes = n_rows * width * together * page.dtype.itemsize
        raw = data[offset : offset + length]
        if page.is_deflated:
            raw = zlib.decompressobj().decompress(raw, n_bytes)
        block = np.frombuffer(raw, page.dtype, n_rows * width * together).reshape(shape)
        if page.has_differences:
            block = np.cumsum(block, axis=1, dtype=page.dtype.newbyteorder("="))
        seen = block[: page.rows - top, : page.columns - left]
        target = image[top : top + seen.shape[0], left : left + seen.shape[1]]
        if page.is_planar:
            target[..., plane] = seen[..., 0]
        else:
            target[...] = seen
    return image[..., :3] if page.samples > 1 else image[..., 0]
