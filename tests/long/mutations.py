"""Sound files of every kind, and seeded ways to damage them."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import nibabel
import numpy as np
from PIL import Image

_SIZES: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_DICOM_TAGS: Final = (
    (0x0028, 0x0002),  # Samples per Pixel
    (0x0028, 0x0006),  # Planar Configuration
    (0x0028, 0x0008),  # Number of Frames
    (0x0028, 0x0010),  # Rows
    (0x0028, 0x0011),  # Columns
    (0x0028, 0x0100),  # Bits Allocated
    (0x0028, 0x0101),  # Bits Stored
    (0x0028, 0x0102),  # High Bit
    (0x0028, 0x0103),  # Pixel Representation
    (0x0028, 0x1050),  # Window Center
    (0x0028, 0x1053),  # Rescale Slope
    (0x0028, 0x1101),  # Red Palette Color LUT Descriptor
    (0x7FE0, 0x0010),  # Pixel Data
)


def made_files() -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes of small sound pictures and volumes."""
    values = np.random.default_rng(0).integers(0, 65535, (48, 40), dtype=np.uint16)
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    color = Image.fromarray(np.stack([values >> 8] * 3, axis=-1).astype(np.uint8))
    deep = Image.fromarray(values)
    real = Image.fromarray((values / 7).astype(np.float32))
    for name, image, options in (
        ("grey.png", grey, {}),
        ("deep.png", deep, {}),
        ("color.png", color, {}),
        ("palette.png", color.convert("P"), {}),
        ("grey.jpg", grey, {}),
        ("color.jpg", color, {"progressive": True}),
        ("cmyk.jpg", color.convert("CMYK"), {}),
        ("deep.tif", deep, {}),
        ("float.tif", real, {}),
        ("lzw.tif", color, {"compression": "tiff_lzw"}),
        ("deflate.tif", deep, {"compression": "tiff_adobe_deflate"}),
        ("jpeg.tif", color, {"compression": "jpeg"}),
        ("fax.tif", grey.convert("1"), {"compression": "group4"}),
        ("pages.tif", grey, {"save_all": True, "append_images": [grey, grey]}),
        ("grey.bmp", grey, {}),
        ("color.bmp", color, {}),
    ):
        stream = io.BytesIO()
        form = {"jpg": "JPEG", "tif": "TIFF"}.get(name.rpartition(".")[2])
        image.save(stream, form or name.rpartition(".")[2].upper(), **options)
        yield name, stream.getvalue()
    volume = nibabel.nifti1.Nifti1Image(np.stack([values.astype(np.int16)] * 6, -1), np.eye(4))
    plain = volume.to_bytes()
    yield "volume.nii", plain
    yield "volume.nii.gz", gzip.compress(plain)
    stream = io.BytesIO()
    images = np.stack([values >> 8] * 6).astype(np.uint8)
    np.savez(stream, train_images=images, train_labels=np.arange(6)[:, None] % 2)
    yield "set.npz", stream.getvalue()


def found_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes of the DICOM files of a folder, and of its NIfTI volumes."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix not in (".csv", ".md", ".txt"):
            yield path.name, path.read_bytes()


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return damaged bytes: one to four mutations, one after the other."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = rng.choice(_MUTATIONS)(data, rng)
    return data


def _flip_bits(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 4, 32)) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _flip_in_head(data: bytes, rng: random.Random) -> bytes:
    head = min(len(data), rng.choice((16, 256, 2048)))
    return _flip_bits(data[:head], rng) + data[head:]


def _put_number(data: bytes, rng: random.Random) -> bytes:
    size = rng.choice((1, 2, 4))
    if len(data) <= size:
        return data
    number = (rng.choice(_SIZES) & (1 << 8 * size) - 1).to_bytes(
        size, rng.choice(("little", "big"))
    )
    place = rng.randrange(min(len(data) - size, rng.choice((64, 1024, len(data)))) or 1)
    return data[:place] + number + data[place + size :]


def _put_in_tag(data: bytes, rng: random.Random) -> bytes:
    """Write an extreme number into the length or value of a DICOM element that matters."""
    group, element = rng.choice(_DICOM_TAGS)
    tag = group.to_bytes(2, "little") + element.to_bytes(2, "little")
    place = data.find(tag)
    if place < 0:
        return _put_number(data, rng)
    place += rng.choice((4, 6, 8, 8, 8, 12))
    number = (rng.choice(_SIZES) & 0xFFFF).to_bytes(2, "little")
    return data[:place] + number + data[place + 2 :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _drop_block(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice((1, 2, 16, 512)) :]


def _repeat_block(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    block = data[start : start + rng.choice((1, 8, 512))]
    return data[:start] + block * rng.choice((2, 3, 50)) + data[start:]


def _noise_block(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    block = rng.choice((rng.randbytes(64), bytes(64), b"\xff" * 64))
    return data[:start] + block + data[start + 64 :]


def _append(data: bytes, rng: random.Random) -> bytes:
    return data + rng.choice((bytes(1000), rng.randbytes(1000), data[:1000]))


_MUTATIONS: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    _flip_bits,
    _flip_in_head,
    _flip_in_head,
    _put_number,
    _put_number,
    _put_in_tag,
    _put_in_tag,
    _cut,
    _drop_block,
    _repeat_block,
    _noise_block,
    _append,
)
