"""DICOM files as images: decode, modality units, window, and what may be shown of the header.

The order is that of the standard: modality LUT or rescale, then VOI LUT or window, then MONOCHROME1
turned round. The first step happens here; the others are facts of the returned image, applied when
it is shown.

References:
    DICOM PS3.3, C.7.6.3 (image pixel), C.11.1 (modality LUT), C.11.2 (VOI LUT).
"""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from engine.contract.errors import UnreadableImageError
from engine.data.decoded import DecodedImage, VoiLut, Window
from engine.data.dicom_header import (
    covariates,
    field_text,
    field_value,
    numbers,
    raw_patient_id,
    raw_study_uid,
    whitelisted_fields,
)
from engine.data.dicom_pixels import (
    decode_frame,
    ensure_transfer_syntax,
    to_color,
    to_modality_units,
)
from engine.data.pictures import MAX_PIXELS, grey_if_equal

# Complaints about odd values quote them, and a value may be a name.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"pydicom(\..*)?$")
warnings.filterwarnings("ignore", module=r"(pylibjpeg|openjpeg|rle|jpeg_ls)(\..*)?$")

DECODER_ERRORS: Final = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
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

_PIXEL_KEYWORDS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_NOT_IMAGES: Final = {
    "RTPLAN": "RT plan",
    "RTSTRUCT": "RT structure set",
    "RTRECORD": "RT treatment record",
    "SR": "structured report",
    "KO": "key object selection",
    "PR": "presentation state",
    "ECG": "ECG waveform",
    "EPS": "waveform",
    "HD": "waveform",
    "AU": "audio",
    "DOC": "document",
    "REG": "registration",
    "FID": "fiducials",
    "PLAN": "plan",
}
_WINDOW_KINDS: Final = {
    "LINEAR": "linear",
    "LINEAR_EXACT": "linear_exact",
    "SIGMOID": "sigmoid",
}


def read_dicom(data: bytes, *, frame: int | None = None) -> DecodedImage:
    """Decode one frame of a DICOM file.

    Args:
        data: The whole file, with or without preamble and file meta information.
        frame: Frame from 0; None takes the middle one.

    Raises:
        UnreadableImageError: If the file is no image, damaged, too large, or compressed in a way
            that no codec here understands.
    """
    dataset = _parse(data)
    if not any(keyword in dataset for keyword in _PIXEL_KEYWORDS):
        raise _not_an_image(dataset)
    n_frames = _frame_count(dataset)
    frame = (n_frames - 1) // 2 if frame is None else frame
    if not 0 <= frame < n_frames:
        raise ValueError(f"frame {frame} of {n_frames}")
    _check_size(dataset)
    try:
        ensure_transfer_syntax(dataset)
        stored = decode_frame(dataset, frame, n_frames)
        return _assemble(dataset, stored, frame, n_frames)
    except MemoryError as error:
        raise UnreadableImageError(
            "The DICOM image doesn't fit into memory.", remedy="Leave it out."
        ) from error
    except DECODER_ERRORS as error:
        raise _undecodable(dataset, error) from error


def _parse(data: bytes) -> Dataset:
    try:
        return pydicom.dcmread(io.BytesIO(data), force=True)
    except DECODER_ERRORS as error:
        raise UnreadableImageError(
            "The DICOM file is damaged: its header can't be read to the end.",
            remedy="Export it again from the archive, or leave it out.",
        ) from error


def _not_an_image(dataset: Dataset) -> UnreadableImageError:
    """Say what a file without pixels is: from its modality, else from its class."""
    modality = field_text(dataset, "Modality")
    kind = _NOT_IMAGES.get(modality)
    if kind is None:
        uid = str(field_value(dataset, "SOPClassUID") or "")
        name = pydicom.uid.UID(uid).name.removesuffix(" Storage")
        # Private classes have no name; an image class without pixels was cut off.
        kind = None if name == uid or name.endswith("Image") else name
    if kind is None:
        return UnreadableImageError(
            "The DICOM file holds no pixels: it is incomplete, or not an image.",
            remedy="Export it again from the archive, or leave it out.",
        )
    return UnreadableImageError(
        f"The DICOM file is not an image: {kind}.", remedy="It can be left out."
    )


def _frame_count(dataset: Dataset) -> int:
    value = field_value(dataset, "NumberOfFrames")
    try:
        n_frames = 1 if value is None else int(value)
    except (ValueError, TypeError) as error:
        raise UnreadableImageError(
            "The DICOM file is damaged: its number of frames is no number.",
            remedy="Export it again from the archive, or leave it out.",
        ) from error
    return max(1, n_frames)


def _check_size(dataset: Dataset) -> None:
    sides = numbers(dataset, "Rows") + numbers(dataset, "Columns")
    if len(sides) != 2 or min(sides) < 1:
        raise UnreadableImageError(
            "The DICOM file is damaged: it doesn't say how many rows and columns it has.",
            remedy="Export it again from the archive, or leave it out.",
        )
    if sides[0] * sides[1] > MAX_PIXELS:
        raise UnreadableImageError(
            f"The image has {sides[1]:.0f} × {sides[0]:.0f} pixels, more than the "
            f"{MAX_PIXELS // 1_000_000} million that RadTune reads.",
            remedy="Leave it out.",
        )


def _undecodable(dataset: Dataset, error: BaseException) -> UnreadableImageError:
    text = str(error).lower()
    if "bytes of pixel data is less" in text or "truncated" in text or "less than expected" in text:
        message = "The DICOM file is cut off: pixel data are missing at its end."
    elif "unable to decode" in text or isinstance(error, NotImplementedError):
        syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
        name = getattr(syntax, "name", "unknown")
        message = f"The DICOM file's pixels can't be decoded; its compression is: {name}."
    else:
        message = "The DICOM file is damaged: its pixels don't fit its header."
    return UnreadableImageError(
        message, remedy="Export it again from the archive, uncompressed if possible."
    )


def _assemble(dataset: Dataset, stored: NDArray[Any], frame: int, n_frames: int) -> DecodedImage:
    photometric = field_text(dataset, "PhotometricInterpretation").upper()
    bits = int(dataset.get("BitsStored") or 8 * stored.dtype.itemsize)
    facts: dict[str, Any] = {
        "format": "DICOM",
        "modality": field_text(dataset, "Modality", longest=16),
        "photometric": photometric,
        "bits": bits,
        "frame": frame,
        "n_frames": n_frames,
        "patient_id": raw_patient_id(dataset),
        "study_uid": raw_study_uid(dataset),
        "covariates": covariates(dataset),
        "dicom": whitelisted_fields(dataset),
    }
    if photometric == "PALETTE COLOR":
        stored = to_color(stored, dataset)
        facts["bits"] = bits = 8 * stored.dtype.itemsize
    facts["width"], facts["height"] = stored.shape[1], stored.shape[0]
    if stored.ndim == 3:
        values = grey_if_equal(stored)
        return DecodedImage(values=values, value_range=(0.0, float(2**bits - 1)), **facts)
    transform = _group_item(dataset, "PixelValueTransformationSequence", frame) or dataset
    values, slope, intercept = to_modality_units(stored, dataset, transform)
    if values.dtype.kind == "f":
        values = np.nan_to_num(values.astype(np.float32, copy=False), posinf=0, neginf=0)
    return DecodedImage(
        values=values,
        value_range=_value_range(values, dataset, stored, bits, slope, intercept),
        window=_window(dataset, frame, is_float=stored.dtype.kind == "f"),
        voi_lut=_voi_lut(dataset, values),
        is_inverted=photometric == "MONOCHROME1",
        padding=_padding(dataset, stored, slope, intercept),
        **facts,
    )


def _group_item(dataset: Dataset, keyword: str, frame: int) -> Dataset | None:
    """Return an item of the functional groups of an enhanced multi-frame file."""
    for groups, index in (
        ("PerFrameFunctionalGroupsSequence", frame),
        ("SharedFunctionalGroupsSequence", 0),
    ):
        items = field_value(dataset, groups)
        if items is None or index >= len(items):
            continue
        found = field_value(items[index], keyword)
        if found:
            item: Dataset = found[0]
            return item
    return None


def _value_range(
    values: NDArray[Any],
    dataset: Dataset,
    stored: NDArray[Any],
    bits: int,
    slope: float,
    intercept: float,
) -> tuple[float, float]:
    """Return what the file could hold in modality units; what it does hold where that is open."""
    if stored.dtype.kind == "f" or bits > 16 or dataset.get("ModalityLUTSequence"):
        return float(values.min()), float(values.max())
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if stored.dtype.kind == "i" else (0, 2**bits)
    ends = (low * slope + intercept, (high - 1) * slope + intercept)
    return min(ends), max(ends)


def _window(dataset: Dataset, frame: int, *, is_float: bool) -> Window | None:
    """Return the first window of the file, if it is one.

    The half steps of LINEAR belong to whole numbers; files with float pixels mean LINEAR_EXACT.
    """
    for place in (_group_item(dataset, "FrameVOILUTSequence", frame), dataset):
        if place is None:
            continue
        centers, widths = numbers(place, "WindowCenter"), numbers(place, "WindowWidth")
        if centers and widths and widths[0] > 0:
            function = field_text(place, "VOILUTFunction").upper()
            kind = _WINDOW_KINDS.get(function, "linear")
            kind = "linear_exact" if is_float and kind == "linear" else kind
            return Window(center=centers[0], width=widths[0], kind=kind)
    return None


def _voi_lut(dataset: Dataset, values: NDArray[Any]) -> VoiLut | None:
    """Return the first table of the VOI LUT Sequence, if it is sound."""
    items = field_value(dataset, "VOILUTSequence")
    if not items or values.dtype.kind == "f":
        return None
    descriptor = numbers(items[0], "LUTDescriptor")
    entries = field_value(items[0], "LUTData")
    if len(descriptor) != 3 or entries is None:
        return None
    count, first, bits = (int(number) for number in descriptor)
    count = count or 1 << 16  # the field has 16 bits, so that the largest table reads 0
    if values.dtype.kind == "i" and first >= 1 << 15:
        first -= 1 << 16  # read as unsigned though the pixels are signed
    if isinstance(entries, bytes):
        levels = np.frombuffer(entries, dtype="<u2" if len(entries) >= 2 * count else "u1")
    else:
        levels = np.atleast_1d(np.asarray(entries))
    if not 1 <= bits <= 16 or levels.size < count or count < 2:
        return None
    scaled = levels[:count].astype(np.float32) / np.float32(2**bits - 1)
    return VoiLut(first=first, levels=np.clip(scaled, 0, 1))


def _padding(
    dataset: Dataset, stored: NDArray[Any], slope: float, intercept: float
) -> tuple[float, float] | None:
    value = numbers(dataset, "PixelPaddingValue")
    if not value or dataset.get("ModalityLUTSequence"):
        return None
    limit = numbers(dataset, "PixelPaddingRangeLimit") or value
    ends = [value[0], limit[0]]
    if stored.dtype.kind == "i":  # read as unsigned where the header's type is ambiguous
        ends = [end - 2**16 if end >= 2**15 else end for end in ends]
    scaled = [end * slope + intercept for end in ends]
    return min(scaled), max(scaled)
