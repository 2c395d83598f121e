"""A DICOM file's bytes as a header and the place of its pixels, which are not copied.

Real archives hold files without the preamble, without the meta header, or without a stated
transfer syntax, and deflated ones that could inflate to anything. What was assumed is noted.

References:
    DICOM PS3.5 (data structures and encoding), PS3.10 (file format).
"""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Final

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from engine.contract.errors import UnreadableImageError

# Complaints about odd values quote them, and a value may be a name.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"pydicom(\..*)?$")
warnings.filterwarnings("ignore", module=r"(pylibjpeg|openjpeg|rle|jpeg_ls)(\..*)?$")

GE_BIG_ENDIAN: Final = UID("1.2.840.113619.5.2")
"""General Electric's own: the header is implicit little endian, the pixels are big endian."""
PAPYRUS: Final = UID("1.2.840.10008.1.20")
"""Retired; laid out as implicit little endian."""
for _uid in (GE_BIG_ENDIAN, PAPYRUS):
    if _uid not in pydicom.uid.PrivateTransferSyntaxes:
        pydicom.uid.register_transfer_syntax(_uid, implicit_vr=True, little_endian=True)

DECODER_ERRORS: Final = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    NameError,
    LookupError,
    ArithmeticError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    AssertionError,
    struct.error,
    zlib.error,
    InvalidDicomError,
    BytesLengthException,
)
"""What pydicom and its codecs raise on broken or unsupported files."""

_PIXEL_TAGS: Final = {
    (0x7FE0, 0x0010): "PixelData",
    (0x7FE0, 0x0008): "FloatPixelData",
    (0x7FE0, 0x0009): "DoubleFloatPixelData",
}
_UNDEFINED: Final = 0xFFFFFFFF
_PIXEL_VRS: Final = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN"})
_PREAMBLE: Final = 132
_LARGEST_META: Final = 1 << 16
_MOST_INFLATED: Final = 1 << 28
_DEFLATED: Final = str(DeflatedExplicitVRLittleEndian).encode()
_PLAIN: Final = b"1.2.840.10008.1.2.1"
_LAST_JOIN_TAG: Final = 0x0010FFFF
BEGINNING_BYTES: Final = 1 << 18
"""Enough for the identifying fields, which come first."""

REMEDY: Final = "Export it again from the archive, or leave it out."


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelElement:
    """The pixels of a file, where they lie.

    Attributes:
        keyword: ``PixelData``, ``FloatPixelData`` or ``DoubleFloatPixelData``.
        value: All of its bytes that the file has; not a copy.
        is_encapsulated: Whether the value is a sequence of fragments.
        is_short: Whether the file ends before the value does.
    """

    keyword: str
    vr: str
    value: memoryview
    is_encapsulated: bool
    is_short: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedDicom:
    """A header and its pixels.

    Attributes:
        syntax: Transfer syntax as stated, or None.
        is_little_endian: Byte order of the data set.
        notes: What was assumed.
    """

    header: Dataset
    pixels: PixelElement | None
    syntax: UID | None
    is_little_endian: bool
    notes: tuple[str, ...]


def parse_dicom(data: bytes) -> ParsedDicom:
    """Read the header of a whole file and find its pixels.

    Raises:
        UnreadableImageError: If the header can't be read to the end, or a deflated file inflates
            to more than 256 MB.
    """
    plain = _inflated(data)
    stream = io.BytesIO(plain)
    try:
        header = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
        end = stream.tell()
        is_implicit, is_little = header.original_encoding
    except MemoryError as error:
        raise _damaged() from error
    except DECODER_ERRORS as error:
        raise _damaged() from error
    meta = getattr(header, "file_meta", None) or FileMetaDataset()
    syntax = _stated_syntax(meta)
    notes: tuple[str, ...] = ()
    if syntax is None:
        notes = (_assumption(header, is_implicit=bool(is_implicit), is_little=bool(is_little)),)
    elif plain is not data:
        syntax = DeflatedExplicitVRLittleEndian
    return ParsedDicom(
        header=header,
        pixels=_pixel_element(plain, end, is_little=bool(is_little)),
        syntax=syntax,
        is_little_endian=bool(is_little),
        notes=notes,
    )


def parse_beginning(head: bytes) -> Dataset:
    """Read the first groups of a file's header (identifying and patient fields), and no more.

    Args:
        head: The first :data:`BEGINNING_BYTES` of the file.

    Raises:
        Exception: One of :data:`DECODER_ERRORS` on broken files.
    """
    plain = _inflated(head, most=BEGINNING_BYTES)
    return read_partial(io.BytesIO(plain), stop_when=_is_past_join_tags, force=True)


def ensure_transfer_syntax(dataset: Dataset) -> None:
    """Name the transfer syntax of a data set without one, from how its header was written."""
    if getattr(dataset, "file_meta", None) is None:
        dataset.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" in dataset.file_meta:
        return
    is_implicit, is_little = dataset.original_encoding
    syntax: UID = ImplicitVRLittleEndian
    if not is_implicit:
        syntax = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = syntax


def _is_past_join_tags(tag: BaseTag, vr: str | None, length: int) -> bool:
    return int(tag) > _LAST_JOIN_TAG


def _damaged() -> UnreadableImageError:
    return UnreadableImageError(
        "The DICOM file is damaged: its header can't be read to the end.", remedy=REMEDY
    )


def _stated_syntax(meta: Dataset) -> UID | None:
    try:
        syntax = meta.get("TransferSyntaxUID")
    except DECODER_ERRORS:
        return None
    return UID(syntax) if isinstance(syntax, str) and syntax else None


def _assumption(header: Dataset, *, is_implicit: bool, is_little: bool) -> str:
    has_meta = bool(getattr(header, "file_meta", None))
    missing = "no transfer syntax" if has_meta else "no file meta header"
    if is_implicit:
        return f"The file has {missing}: implicit VR little endian was assumed."
    order = "little" if is_little else "big"
    return f"The file has {missing}: it reads as explicit VR {order} endian."


def _inflated(data: bytes, most: int = _MOST_INFLATED) -> bytes:
    """Return a file as it is, or a deflated one as the plain file it stands for.

    pydicom would inflate without a limit.

    Args:
        data: The file, or its beginning.
        most: How much of the data set is wanted at most.

    Raises:
        UnreadableImageError: If the whole is wanted and is larger than that or damaged.
    """
    end = _end_of_meta(data)
    meta = data[:end]
    if _DEFLATED not in meta:
        return data
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        body = inflater.decompress(data[end:], most)
    except zlib.error as error:
        raise UnreadableImageError(
            "The DICOM file is damaged: its deflated part can't be inflated.", remedy=REMEDY
        ) from error
    if most == _MOST_INFLATED:
        if inflater.unconsumed_tail:
            raise UnreadableImageError(
                f"The deflated DICOM file inflates to more than the {most >> 20} MB that RadTune "
                "reads.",
                remedy="Leave it out.",
            )
        if not inflater.eof:
            raise UnreadableImageError(
                "The DICOM file is cut off: the end of its deflated part is missing.",
                remedy=REMEDY,
            )
    # As long as before, so that the group length stays right; UIDs may be padded with zeros.
    return meta.replace(_DEFLATED, _PLAIN.ljust(len(_DEFLATED), b"\0")) + body


def _end_of_meta(data: bytes) -> int:
    """Return where the meta header (group 2, explicit little endian) ends; 0 without one."""
    at = _PREAMBLE if data[_PREAMBLE - 4 : _PREAMBLE] == b"DICM" else 0
    start = at
    while at - start < _LARGEST_META and data[at : at + 2] == b"\x02\x00":
        if data[at + 4 : at + 6] in (b"OB", b"UN"):
            at += 12 + int.from_bytes(data[at + 8 : at + 12], "little")
        else:
            at += 8 + int.from_bytes(data[at + 6 : at + 8], "little")
    return at if at > start else 0


def _pixel_element(data: bytes, at: int, *, is_little: bool) -> PixelElement | None:
    order = "<" if is_little else ">"
    if at + 8 > len(data):
        return None
    keyword = _PIXEL_TAGS.get(struct.unpack_from(f"{order}HH", data, at))
    if keyword is None:
        return None
    vr = data[at + 4 : at + 6]
    # Some files are not written in the way they state. Read as a length, the letters would be an
    # odd number, which doesn't exist.
    if vr in _PIXEL_VRS and data[at + 6 : at + 8] == b"\0\0":
        start = at + 12
    else:
        start, vr = at + 8, b"OW"
    if start > len(data):
        return None
    [length] = struct.unpack_from(f"{order}L", data, start - 4)
    is_encapsulated = length == _UNDEFINED
    end = len(data) if is_encapsulated else min(len(data), start + length)
    return PixelElement(
        keyword=keyword,
        vr=vr.decode("ascii"),
        value=memoryview(data)[start:end],
        is_encapsulated=is_encapsulated,
        is_short=not is_encapsulated and start + length > len(data),
    )
