"""One frame of a DICOM file as an array: decoded, in RGB or in modality units."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from engine.data.dicom_header import numbers
from engine.data.dicom_streams import check_stream

# One codec per syntax, the sturdiest: left to itself pydicom tries all in turn, and GDCM ends the
# whole process on some damaged streams that the others refuse with an error.
_PLUGINS: Final = {
    JPEGBaseline8Bit: "pillow",
    JPEGExtended12Bit: "pillow",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
    JPEG2000: "pylibjpeg",
    HTJ2KLossless: "pylibjpeg",
    HTJ2KLosslessRPCL: "pylibjpeg",
    HTJ2K: "pylibjpeg",
    RLELossless: "pylibjpeg",
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
}
_INTEGER_TYPES: Final = (np.uint8, np.int16, np.uint16, np.int32)


def decode_frame(dataset: Dataset, frame: int, n_frames: int) -> NDArray[Any]:
    """Return the stored values of one frame; YBR is turned into RGB, palettes are not applied.

    Raises:
        Exception: Whatever pydicom and its codecs raise; see ``dicom.DECODER_ERRORS``.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    samples = int(dataset.get("SamplesPerPixel") or 1)
    allocated = int(dataset.get("BitsAllocated") or 0)
    stored = int(dataset.get("BitsStored") or allocated)
    if samples not in (1, 3) or not 1 <= stored <= allocated <= 64:
        raise ValueError("impossible pixels")
    if syntax in _PLUGINS and syntax != RLELossless:
        stream = get_frame(dataset.PixelData, frame, number_of_frames=n_frames)
        size = int(dataset.Rows), int(dataset.Columns)
        check_stream(stream, *size, samples, allocated)
    if syntax == JPEGExtended12Bit and stored > 8:
        values = _decode_deep_jpeg(dataset, frame, n_frames)
    else:
        values = _decode(dataset, frame, _PLUGINS.get(syntax, ""))
    if values.dtype.byteorder not in "=|":
        values = values.astype(values.dtype.newbyteorder("="))
    return values


def _decode(dataset: Dataset, frame: int, plugin: str) -> NDArray[Any]:
    try:
        return pixel_array(dataset, index=frame, decoding_plugin=plugin)
    except BaseException as error:
        # A codec written in Rust panics on damaged data, past every "except Exception".
        if type(error).__name__ == "PanicException":
            raise ValueError("the codec gave up") from error
        raise


def _decode_deep_jpeg(dataset: Dataset, frame: int, n_frames: int) -> NDArray[Any]:
    """Decode 12-bit lossy JPEG with GDCM itself.

    pydicom's plugin refuses such streams, because GDCM had a fault with signed ones; radiographs
    are unsigned.
    """
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(get_frame(dataset.PixelData, frame, number_of_frames=n_frames))
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    rows, columns, bits = int(dataset.Rows), int(dataset.Columns), int(dataset.BitsStored)
    if dataset.SamplesPerPixel != 1 or dataset.PixelRepresentation != 0:
        raise NotImplementedError("12-bit JPEG that is signed or in colour")
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(str(dataset.PhotometricInterpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    syntax = gdcm.TransferSyntax.GetTSType(str(dataset.file_meta.TransferSyntaxUID))
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, 0))
    # The wrapper returns the bytes as text.
    raw: bytes = image.GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(raw, dtype="<u2", count=rows * columns).reshape(rows, columns)


def ensure_transfer_syntax(dataset: Dataset) -> None:
    """Name the transfer syntax of an old file without one, from how its header was written."""
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
    if "TransferSyntaxUID" in dataset.file_meta:
        return
    is_implicit, is_little = dataset.original_encoding
    syntax: UID = ImplicitVRLittleEndian
    if not is_implicit:
        explicit = pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.ExplicitVRBigEndian
        syntax = explicit[0] if is_little else explicit[1]
    dataset.file_meta.TransferSyntaxUID = syntax


def to_color(values: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """Return an indexed image in RGB, uint8 or uint16, over the full range of the type.

    Palettes of 16 bits stay at 16 bits: nothing is reduced before it is windowed.
    """
    colored: NDArray[Any] = apply_color_lut(values, dataset)[..., :3]
    return colored


def to_modality_units(
    values: NDArray[Any], dataset: Dataset, transform: Dataset | None
) -> tuple[NDArray[Any], float, float]:
    """Apply the modality LUT or the rescale, keeping integers where they stay whole.

    Args:
        values: Stored values.
        dataset: The file, which may hold a Modality LUT Sequence.
        transform: Where slope and intercept are: the file itself, or an item of a functional
            group in enhanced multi-frame files; None where there are none.

    Returns:
        The values, and the slope and intercept that were applied (1 and 0 for a table).
    """
    if dataset.get("ModalityLUTSequence"):
        return _smallest(apply_modality_lut(values, dataset)), 1.0, 0.0
    slopes = numbers(transform, "RescaleSlope") if transform is not None else []
    intercepts = numbers(transform, "RescaleIntercept") if transform is not None else []
    slope = slopes[0] if slopes and slopes[0] != 0 else 1.0
    intercept = intercepts[0] if intercepts else 0.0
    if slope == 1 and intercept == 0:
        return values, slope, intercept
    if values.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer():
        return _rescale_whole(values, int(slope), int(intercept)), slope, intercept
    scaled = values.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    return scaled, slope, intercept


def _rescale_whole(values: NDArray[Any], slope: int, intercept: int) -> NDArray[Any]:
    ends = [int(values.min()) * slope + intercept, int(values.max()) * slope + intercept]
    target = _type_for(min(ends), max(ends))
    if target is None:
        return values.astype(np.float64) * slope + intercept
    wide = np.int64 if target is np.int32 else np.int32
    scaled: NDArray[Any] = values.astype(wide)
    scaled *= slope
    scaled += intercept
    return scaled.astype(target)


def _smallest(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind not in "iu":
        return values.astype(np.float32)
    target = _type_for(int(values.min()), int(values.max()))
    return values if target is None else values.astype(target, copy=False)


def _type_for(low: int, high: int) -> type[np.integer] | None:
    """Return the smallest integer type that holds both ends, or None."""
    for candidate in _INTEGER_TYPES:
        limits = np.iinfo(candidate)
        if limits.min <= low and high <= limits.max:
            return candidate
    return None
