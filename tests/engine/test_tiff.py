"""TIFFs of every number, layout and number of pages."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from engine.contract.errors import UnreadableImageError
from engine.data.images import decode_image, open_image
from engine.data.voi import display_levels


def tiff(
    pages: list[np.ndarray], *, is_deflated: bool = False, tile: int = 0, order: str = "<"
) -> bytes:
    """Return a TIFF in one strip, or in tiles, a page (TIFF 6.0, section 2)."""
    body, at_link = bytearray(b"II*\0" if order == "<" else b"MM\0*"), 4
    body += bytes(4)
    for page in pages:
        flat = page.reshape(*page.shape[:2], -1)
        planes = flat.astype(f"{order}{page.dtype.kind}{page.dtype.itemsize}")
        rows, columns, samples = planes.shape
        side = tile or max(rows, columns)
        blocks = []
        for top in range(0, rows, side):
            for left in range(0, columns, side):
                block = planes[top : top + side, left : left + side]
                if tile:
                    block = np.pad(
                        block, ((0, tile - block.shape[0]), (0, tile - block.shape[1]), (0, 0))
                    )
                raw = block.tobytes()
                blocks.append(zlib.compress(raw) if is_deflated else raw)
        offsets = []
        for stored in blocks:
            offsets.append(len(body))
            body += stored + b"\0" * (len(stored) % 2)
        kind = {"u": 1, "i": 2, "f": 3}[page.dtype.kind]
        tags: dict[int, list[int]] = {
            256: [columns],
            257: [rows],
            258: [8 * page.dtype.itemsize] * samples,
            259: [8 if is_deflated else 1],
            262: [2 if samples == 3 else 1],
            277: [samples],
            339: [kind] * samples,
        }
        lengths = list(map(len, blocks))
        tags |= (
            {322: [tile], 323: [tile], 324: offsets, 325: lengths}
            if tile
            else {273: offsets, 278: [rows], 279: lengths}
        )
        entries = b""
        for tag, values in sorted(tags.items()):
            packed = struct.pack(f"{order}{len(values)}L", *values)
            if len(values) > 1:
                place = len(body)
                body += packed
                packed = struct.pack(f"{order}L", place)
            entries += struct.pack(f"{order}HHL", tag, 4, len(values)) + packed
        struct.pack_into(f"{order}L", body, at_link, len(body))
        body += struct.pack(f"{order}H", len(tags)) + entries
        at_link = len(body)
        body += bytes(4)
    return bytes(body)


KINDS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", [{}, {"is_deflated": True}, {"tile": 16}, {"order": ">"}])
def test_tiffs_of_every_number_and_layout_keep_their_values(kind, layout):
    dtype = np.dtype(kind)
    generator = np.random.default_rng(0)
    if dtype.kind == "f":
        values = generator.normal(0, 100, (30, 40)).astype(dtype)
    else:
        limits = np.iinfo(dtype)
        values = generator.integers(limits.min, limits.max, (30, 40), dtype, endpoint=True)
    file = open_image(tiff([values], **layout))
    np.testing.assert_array_equal(file.stored(0), values)
    image = file.read()
    assert (image.format, image.width, image.height) == ("TIFF", 40, 30)
    levels = display_levels(image, "file")
    assert 0 <= levels.min() < levels.max()


@pytest.mark.parametrize("layout", [{}, {"is_deflated": True, "tile": 16}])
def test_colours_of_16_bits_are_kept_in_tiffs(layout):
    colors = np.random.default_rng(0).integers(0, 65_536, (20, 30, 3)).astype(np.uint16)
    image = decode_image(tiff([colors], **layout))
    np.testing.assert_array_equal(image.values, colors)
    assert (image.bits, image.value_range) == (16, (0, 65_535))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float64])
def test_the_first_page_stands_for_a_tiff_and_any_other_can_be_asked_for(kind):
    pages = [np.full((10 + i, 20), i + 1, kind) for i in range(4)]
    if kind is np.float64:
        data = tiff(pages)
    else:
        stream = io.BytesIO()
        first, *others = map(Image.fromarray, pages)
        first.save(stream, "TIFF", save_all=True, append_images=others)
        data = stream.getvalue()
    file = open_image(data)
    assert (file.n_frames, file.default_frame) == (4, 0)
    for number in (3, 0, 0, 2, None):
        image = file.read(number)
        assert image.frame == (number or 0)
        np.testing.assert_array_equal(image.values, pages[number or 0])
    with pytest.raises(UnreadableImageError, match="4 frames"):
        file.read(4)


def test_a_damaged_deep_tiff_gives_a_reason():
    data = tiff([np.ones((40, 40))])
    cut = bytearray(data)
    place = data.index(struct.pack("<HHL", 273, 4, 1)) + 8
    struct.pack_into("<L", cut, place, len(data) - 20)  # the strip begins shortly before the end
    with pytest.raises(UnreadableImageError, match=r"damaged|cut off"):
        decode_image(bytes(cut))
    bomb = bytearray(data)
    for tag in (256, 257):
        place = data.index(struct.pack("<HHL", tag, 4, 1)) + 8
        struct.pack_into("<L", bomb, place, 60_000)
    with pytest.raises(UnreadableImageError, match="100 million"):
        decode_image(bytes(bomb))
