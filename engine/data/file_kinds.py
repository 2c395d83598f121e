"""What a file is, by its first bytes; its name only says what somebody expected it to be."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Final

from engine.contract.errors import NotAnImageError, UnreadableImageError
from engine.files import long_path

PICTURE_SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib"}
)
DICOM_SUFFIXES: Final = frozenset({".dcm", ".dicom", ".dic", ".ima"})
VOLUME_SUFFIXES: Final = frozenset({".nii"})
FOREIGN_SUFFIXES: Final = frozenset(
    {".gif", ".webp", ".jp2", ".j2k", ".heic", ".heif", ".img", ".mha", ".mhd", ".nrrd"}
)
"""Images that RadTune doesn't read: listed as left out, instead of silently missing."""
_IMAGE_SUFFIXES: Final = PICTURE_SUFFIXES | DICOM_SUFFIXES | VOLUME_SUFFIXES | FOREIGN_SUFFIXES
_NO_IMAGE: Final = (
    ".csv .tsv .txt .md .rst .json .jsonl .xml .html .htm .pdf .doc .docx .xls .xlsx .ods "
    ".odt .ppt .pptx .rtf .tex .zip .bz2 .xz .7z .rar .tar .py .ipynb .m .r .sh .bat "
    ".ps1 .exe .dll .so .ini .cfg .toml .yaml .yml .log .db .sqlite .npy .h5 .hdf5 .mat "
    ".pkl .pickle .pt .pth .onnx .safetensors .mp4 .avi .mov .wav .mp3 .lnk .url .tmp .bak"
)
_NO_IMAGE_SUFFIXES: Final = frozenset(_NO_IMAGE.split())
_NO_IMAGE_NAMES: Final = frozenset({"dicomdir", "readme", "license", "licence", "lockfile"})
HEAD_BYTES: Final = 1024
"""Enough for every decision below."""
_PREAMBLE_BYTES: Final = 128
_BITMAP_HEADERS: Final = frozenset({12, 40, 52, 56, 64, 108, 124})

_PICTURE_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"BM", "BMP"),
)
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
# Images and volumes that others read.
_FOREIGN_IMAGES: Final = (
    (b"GIF8", "a GIF image"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"NRRD", "an NRRD volume"),
    (b"ObjectType", "a MetaImage volume"),
    (b"NDims", "a MetaImage volume"),
)
_NO_IMAGE_MAGIC: Final = (
    (b"%PDF", "a PDF document"),
    (_ZIP, "a ZIP archive or an Office document"),
    (_GZIP, "a gzip-compressed file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite format 3", "a database"),
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
    (b"\xd0\xcf\x11\xe0", "an Office document"),
)


def image_kind(head: bytes) -> str | None:
    """Return which readable format the first bytes of a file announce, or None.

    Args:
        head: The first :data:`HEAD_BYTES` of the file.

    Returns:
        ``DICOM``, ``PNG``, ``JPEG``, ``TIFF``, ``BMP``, ``NIfTI``, ``NPZ``, or None.
    """
    if head[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == b"DICM":
        return "DICOM"
    for magic, kind in _PICTURE_MAGIC:
        if head.startswith(magic) and (kind != "BMP" or _is_bitmap(head)):
            return kind
    if head.startswith(_ZIP):
        return "NPZ" if _first_member(head).endswith(b".npy") else None
    if _is_volume(_gunzipped(head) if head.startswith(_GZIP) else head):
        return "NIfTI"
    return "DICOM" if _is_headerless_dicom(head) else None


def is_candidate(path: Path) -> bool:
    """Return whether a file may be an image: by its name where that is clear, else by content.

    A name that promises an image makes a candidate even if the content is none, so that the file
    is reported rather than overlooked.
    """
    name, suffix = path.name.lower(), path.suffix.lower()
    if name.startswith(".") or name in _NO_IMAGE_NAMES or suffix in _NO_IMAGE_SUFFIXES:
        return False
    if suffix in _IMAGE_SUFFIXES or name.endswith(".nii.gz"):
        return True
    try:
        with long_path(path).open("rb") as file:
            kind = image_kind(file.read(HEAD_BYTES))
        return kind is not None and (kind != "NPZ" or has_image_arrays(path))
    except OSError:
        return False


def has_image_arrays(path: Path) -> bool:
    """Return whether an archive of NumPy arrays has some in the MedMNIST layout."""
    try:
        with zipfile.ZipFile(long_path(path)) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False
    return any(name.endswith("_images.npy") for name in names)


def no_image_error(data: bytes, suffix: str) -> UnreadableImageError:
    """Return what to say of content that is no readable image.

    Args:
        data: The whole file.
        suffix: Of its name, in lower case, with the dot.

    Returns:
        A ``NotAnImageError`` for sound content of another kind whose name promises no image.
    """
    head = data[:HEAD_BYTES]
    promises_image = suffix in _IMAGE_SUFFIXES
    foreign = next((name for magic, name in _NO_IMAGE_MAGIC if head.startswith(magic)), None)
    if foreign is not None and not promises_image:
        return NotAnImageError(f"The file is {foreign}, not an image.", remedy="Leave it out.")
    if _is_text(head) and head and not promises_image and not _is_web_page(head):
        return NotAnImageError("The file holds text, not an image.", remedy="Leave it out.")
    return UnreadableImageError(
        _sentence(data, suffix, foreign),
        remedy="Export the image again as DICOM, PNG, JPEG, TIFF or BMP, or leave the file out.",
    )


def _sentence(data: bytes, suffix: str, foreign: str | None) -> str:
    if not data:
        return "The file is empty (0 bytes)."
    head = data[:HEAD_BYTES]
    if _is_web_page(head):
        return "The file is a web page, not an image: perhaps an error page saved by a download."
    if (foreign := foreign or _foreign_image(head)) is not None:
        return f"The file is {foreign}, which RadTune doesn't read."
    if not any(data[: 1 << 16]):
        return "The file holds only zeros: it was not copied completely."
    if _is_text(head):
        return "The file holds text, not an image."
    if suffix in DICOM_SUFFIXES:
        return "The file has a DICOM name, but its content isn't DICOM or its beginning is damaged."
    if suffix in _IMAGE_SUFFIXES:
        return "The file has the name of an image, but its content is none or is damaged."
    return "The file's content is no image format that RadTune knows."


def _is_bitmap(head: bytes) -> bool:
    """Two letters alone could be text: the header's length must be one of those that exist."""
    return len(head) >= 18 and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS


def _is_headerless_dicom(head: bytes) -> bool:
    """Return whether the bytes look like a data set without the preamble (old archives)."""
    if len(head) < 16:
        return False
    for order in ("little", "big"):
        group = int.from_bytes(head[0:2], order)
        element = int.from_bytes(head[2:4], order)
        if group not in (0x0002, 0x0008) or element > 0x0100:
            continue
        explicit = head[4:6].isalpha() and head[4:6].isupper()
        if explicit or int.from_bytes(head[4:8], order) <= 256:
            return True
    return False


def _is_volume(head: bytes) -> bool:
    """Return whether the bytes begin like NIfTI-1 or -2 in one file, in either byte order."""
    size = head[:4]
    if size in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):  # 348
        return head[344:348] == b"n+1\0"
    return size in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") and head[4:8] == b"n+2\0"  # 540


def _gunzipped(head: bytes) -> bytes:
    """Return what the beginning of a gzip file inflates to, as far as it is needed."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, HEAD_BYTES)
    except zlib.error:
        return b""


def _first_member(head: bytes) -> bytes:
    """Return the name of the first file in a ZIP archive."""
    length = int.from_bytes(head[26:28], "little")
    return head[30 : 30 + length]


def _foreign_image(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    if head[4:8] == b"ftyp":
        return "an HEIC image or a video"
    if head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):
        return "half of an Analyze or NIfTI volume in two files (.hdr and .img)"
    return next((name for magic, name in _FOREIGN_IMAGES if head.startswith(magic)), None)


def _is_web_page(head: bytes) -> bool:
    lowered = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return lowered.startswith((b"<!doctype html", b"<html", b"<head", b"<script"))


def _is_text(head: bytes) -> bool:
    if b"\x00" in head:
        return False
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # a character cut in half at the end is no fault
            return False
        text = head[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter.isspace() for letter in text)
