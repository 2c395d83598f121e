"""The one way from a file to an image: what a file holds is decided by its content.

Also here: which files are worth trying at all, and the sentence for each way to be unreadable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.contract.errors import UnreadableImageError
from engine.data.decoded import DecodedImage
from engine.data.pictures import read_picture
from engine.files import long_path

PICTURE_SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib"}
)
DICOM_SUFFIXES: Final = frozenset({".dcm", ".dicom", ".dic", ".ima"})
FOREIGN_SUFFIXES: Final = frozenset(
    {".gif", ".webp", ".jp2", ".heic", ".heif", ".nii", ".mha", ".mhd", ".nrrd"}
)
"""Images that RadTune doesn't read: listed as left out, instead of silently missing."""
_NO_IMAGE: Final = (
    ".csv .tsv .txt .md .rst .json .jsonl .xml .html .htm .pdf .doc .docx .xls .xlsx .ods "
    ".odt .ppt .pptx .rtf .tex .zip .gz .bz2 .xz .7z .rar .tar .py .ipynb .m .r .sh .bat "
    ".ps1 .exe .dll .so .ini .cfg .toml .yaml .yml .log .db .sqlite .npy .npz .h5 .hdf5 .mat "
    ".pkl .pickle .pt .pth .onnx .safetensors .mp4 .avi .mov .wav .mp3 .lnk .url .tmp .bak"
)
_NO_IMAGE_SUFFIXES: Final = frozenset(_NO_IMAGE.split())
_NO_IMAGE_NAMES: Final = frozenset({"dicomdir", "readme", "license", "licence", "lockfile"})
MAX_FILE_BYTES: Final = 1 << 30
_HEAD_BYTES: Final = 512
_PREAMBLE_BYTES: Final = 128

_PICTURE_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"BM", "BMP"),
)
_FOREIGN_MAGIC: Final = (
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\x1f\x8b", "a gzip-compressed file"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite format 3", "a database"),
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
    (b"NRRD", "an NRRD volume"),
    (b"\xd0\xcf\x11\xe0", "an Office document"),
)


def read_image(
    path: Path, *, frame: int | None = None, at_least_px: int | None = None
) -> DecodedImage:
    """Read one image, whatever the file's name says.

    Args:
        path: A DICOM, PNG, JPEG, TIFF or BMP file.
        frame: Frame of a multi-frame file, from 0; None takes the middle one of a DICOM file and
            the first page of a TIFF.
        at_least_px: A reduced version will do, as long as its shorter side has twice this many
            pixels; saves time with large JPEGs. None reads the whole image.

    Raises:
        UnreadableImageError: If the file is no image, damaged, or too large, saying which.
    """
    data = read_bytes(path)
    return decode_image(data, suffix=path.suffix, frame=frame, at_least_px=at_least_px)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        UnreadableImageError: If it can't be opened, or is larger than 1 GB.
    """
    try:
        path = long_path(path)
        n_bytes = path.stat().st_size
        if n_bytes > MAX_FILE_BYTES:
            raise UnreadableImageError(
                f"The file has {n_bytes / 2**30:.1f} GB, more than the 1 GB that RadTune reads.",
                remedy="Save it smaller, or leave it out.",
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UnreadableImageError(
            "The file isn't there any more.", remedy="Put it back, or show where it is now."
        ) from error
    except PermissionError as error:
        raise UnreadableImageError(
            "The system doesn't allow reading the file.",
            remedy="Ask for permission to read it, or copy it to your own disk.",
        ) from error
    except OSError as error:
        raise UnreadableImageError(
            "The disk could not read the file.", remedy="Check the disk, then try again."
        ) from error


def decode_image(
    data: bytes, *, suffix: str = "", frame: int | None = None, at_least_px: int | None = None
) -> DecodedImage:
    """Decode the bytes of a file; see :func:`read_image`.

    Raises:
        UnreadableImageError: If they are no image that RadTune reads, saying why.
    """
    head = data[:_HEAD_BYTES]
    kind = image_kind(head)
    if kind == "DICOM":
        from engine.data.dicom import read_dicom  # pydicom takes a quarter of a second to import

        return read_dicom(data, frame=frame)
    if kind is not None:
        return read_picture(data, kind, frame=frame, at_least_px=at_least_px)
    raise UnreadableImageError(
        _why_no_image(data, suffix.lower()),
        remedy="Export the image again as DICOM, PNG, JPEG, TIFF or BMP, or leave the file out.",
    )


def image_kind(head: bytes) -> str | None:
    """Return which readable format the first bytes of a file announce, or None."""
    if head[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == b"DICM":
        return "DICOM"
    for magic, kind in _PICTURE_MAGIC:
        if head.startswith(magic) and (kind != "BMP" or _is_bitmap(head)):
            return kind
    return "DICOM" if _is_headerless_dicom(head) else None


def _is_bitmap(head: bytes) -> bool:
    """Two letters alone could be text: the header's length must be one of those that exist."""
    return len(head) >= 18 and int.from_bytes(head[14:18], "little") in (
        12,
        40,
        52,
        56,
        64,
        108,
        124,
    )


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


def is_candidate(path: Path) -> bool:
    """Return whether a file may be an image: by its name where that is clear, else by content.

    A name that promises an image makes a candidate even if the content is none, so that the file
    is reported rather than overlooked.
    """
    suffix = path.suffix.lower()
    if path.name.startswith(".") or suffix in _NO_IMAGE_SUFFIXES:
        return path.name.lower().endswith(".nii.gz") and not path.name.startswith(".")
    if path.name.lower() in _NO_IMAGE_NAMES:
        return False
    if suffix in PICTURE_SUFFIXES or suffix in DICOM_SUFFIXES or suffix in FOREIGN_SUFFIXES:
        return True
    try:
        with long_path(path).open("rb") as file:
            return image_kind(file.read(_HEAD_BYTES)) is not None
    except OSError:
        return False


def _why_no_image(data: bytes, suffix: str) -> str:
    """Return one sentence on what the bytes of an unreadable file are."""
    if not data:
        return "The file is empty (0 bytes)."
    head = data[:_HEAD_BYTES]
    lowered = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if lowered.startswith((b"<!doctype html", b"<html", b"<head", b"<script")):
        return "The file is a web page, not an image: perhaps an error page saved by a download."
    if (foreign := _foreign_kind(head)) is not None:
        return f"The file is {foreign}, which RadTune doesn't read."
    if not any(data[: 1 << 16]):
        return "The file holds only zeros: it was not copied completely."
    if _is_text(head):
        return "The file holds text, not an image."
    if suffix in DICOM_SUFFIXES:
        return "The file has a DICOM name, but its content isn't DICOM or its beginning is damaged."
    if suffix in PICTURE_SUFFIXES:
        return "The file has the name of an image, but its content is none or is damaged."
    return "The file's content is no image format that RadTune knows."


def _foreign_kind(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    if head[4:8] == b"ftyp":
        return "an HEIC image or a video"
    if head[344:347] in (b"n+1", b"ni1") or head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):
        return "a NIfTI volume"
    return next((name for magic, name in _FOREIGN_MAGIC if head.startswith(magic)), None)


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
