"""Lossy JPEG frames, decoded without pydicom: what it refuses, and colours turned exactly once.

References:
    ISO/IEC 10918-1 and -6 (JPEG, and the markers for colour), DICOM PS3.5, 8.2.1.
"""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels.processing import convert_color_space

from engine.contract.errors import UnreadableImageError
from engine.data.dicom_frames import PixelFacts

_SYNTAX: Final = "1.2.840.10008.1.2.4.51"
_DEEP_BITS: Final = 12
_RGB_LETTERS: Final = ((82, 71, 66), (114, 103, 98))


def decode_8_bit_jpeg(stream: bytes, facts: PixelFacts) -> NDArray[Any]:
    """Decode baseline, extended or progressive JPEG of up to 8 bits.

    The stream's own markers say which colours it holds; the header only where they don't.
    """
    with Image.open(io.BytesIO(stream), formats=("JPEG",)) as picture:
        if facts.samples == 1:
            return _with_sign(np.asarray(picture), facts)
        transform = picture.info.get("adobe_transform")
        components = tuple(layer[0] for layer in getattr(picture, "layer", ()))
        is_rgb = transform == 0 or (transform is None and components in _RGB_LETTERS)
        is_ybr = bool(transform) or "jfif" in picture.info or facts.photometric.startswith("YBR")
        if transform is None and not is_rgb:
            # Without Adobe's marker Pillow takes every picture for YCbCr; asked for that, it
            # leaves the components alone.
            picture.draft("YCbCr", picture.size)
        values = np.array(picture)
    if transform is None and not is_rgb and is_ybr:
        values = convert_color_space(values, "YBR_FULL", "RGB")
    return values


def decode_deep_jpeg(stream: bytes, facts: PixelFacts) -> NDArray[Any]:
    """Decode 12-bit lossy JPEG with GDCM itself.

    pydicom's plugin refuses such streams, because GDCM had a fault with signed ones; so it is told
    that all are unsigned.
    """
    import gdcm

    if facts.samples != 1:
        raise UnreadableImageError(
            "The image is compressed with 12-bit JPEG in colour, which RadTune doesn't read.",
            remedy="Export it again from the archive, uncompressed if possible.",
        )
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((facts.columns, facts.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(_SYNTAX)))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, _DEEP_BITS, _DEEP_BITS - 1, 0))
    # The wrapper returns the bytes as text.
    raw: bytes = image.GetBuffer().encode("utf-8", "surrogateescape")
    n_pixels = facts.rows * facts.columns
    values = np.frombuffer(raw, dtype="<u2", count=n_pixels).astype(np.uint16)
    return _with_sign(values.reshape(facts.rows, facts.columns), facts)


def _with_sign(values: NDArray[Any], facts: PixelFacts) -> NDArray[Any]:
    """Return values whose highest stored bit is the sign as signed ones; JPEG knows no sign."""
    if not facts.is_signed:
        return values
    n_bits = 8 * values.dtype.itemsize
    unused = max(0, n_bits - facts.stored)
    signed: NDArray[Any] = (values << unused).view(f"i{values.dtype.itemsize}") >> unused
    return signed
