"""Small DICOM files made to measure, written by pydicom or, where it refuses, byte by byte."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, HTJ2KLosslessRPCL

DX = "1.2.840.10008.5.1.4.1.1.1.1"


def header(pixels: np.ndarray, **fields: Any) -> Dataset:
    """Return a data set that describes ``(H, W)`` or ``(H, W, 3)`` pixels, without them."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = DX, "1.2.3.4"
    data.Modality = "DX"
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    data.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = 8 * pixels.dtype.itemsize
    data.BitsStored, data.HighBit = data.BitsAllocated, data.BitsAllocated - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in fields.items():
        setattr(data, name, value)
    return data


def saved(data: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return a data set as the bytes of a file, in a syntax that pydicom may not know."""
    data.file_meta = FileMetaDataset()
    is_known = UID(syntax).is_transfer_syntax
    data.file_meta.TransferSyntaxUID = UID(syntax) if is_known else HTJ2KLosslessRPCL
    data.file_meta.MediaStorageSOPClassUID = data.get("SOPClassUID", DX)
    data.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.save_as(stream, enforce_file_format=True)
    return stream.getvalue() if is_known else with_syntax(stream.getvalue(), syntax)


def with_syntax(data: bytes, syntax: str) -> bytes:
    """Return a file that states another transfer syntax than the one it was written in."""
    old = pydicom.dcmread(io.BytesIO(data)).file_meta.TransferSyntaxUID.encode()
    place = b"\x02\x00\x10\x00UI" + struct.pack("<H", len(old) + len(old) % 2)
    before, _, rest = data.partition(place)
    assert len(syntax) <= len(old) + len(old) % 2
    new = syntax.encode().ljust(len(old) + len(old) % 2, b"\0")
    return before + place + new + rest[len(new) :]


def dicom_file(pixels: np.ndarray, syntax: str = ExplicitVRLittleEndian, **fields: Any) -> bytes:
    """Return a file of one frame, uncompressed."""
    data = header(pixels, **{name: v for name, v in fields.items() if name != "PixelData"})
    order = "big" if syntax == ExplicitVRBigEndian else "little"
    raw = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()  # type: ignore[arg-type]
    raw = fields.get("PixelData", raw)
    vr = "OB" if pixels.dtype.itemsize == 1 else "OW"
    data.add_new("PixelData", vr, raw + b"\0" * (len(raw) % 2))
    return saved(data, syntax)


def compressed(streams: list[bytes], syntax: str, pixels: np.ndarray, **fields: Any) -> bytes:
    """Return a file whose frames are compressed streams."""
    data = header(pixels, **fields)
    if len(streams) > 1:
        data.NumberOfFrames = len(streams)
    data.add_new("PixelData", "OB", encapsulate(streams))
    data["PixelData"].is_undefined_length = True
    return saved(data, syntax)


def without_meta(data: bytes) -> bytes:
    """Return the data set alone, as old archives kept it."""
    parsed = pydicom.dcmread(io.BytesIO(data))
    length = 132 + 12 + parsed.file_meta.FileMetaInformationGroupLength
    return data[length:]


def picture(pixels: np.ndarray, format_: str, **options: Any) -> bytes:
    """Return pixels as a JPEG or JPEG 2000 stream."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format_, **options)
    return stream.getvalue()


def rle_frame(planes: list[bytes]) -> bytes:
    """Return segments of literal runs (PS3.5, Annex G)."""
    segments = []
    for plane in planes:
        parts = [plane[i : i + 128] for i in range(0, len(plane), 128)]
        body = b"".join(bytes([len(part) - 1]) + part for part in parts)
        segments.append(body + b"\0" * (len(body) % 2))
    starts = np.cumsum([64, *map(len, segments)])[:-1].tolist()
    numbers = [len(segments), *starts, *[0] * (15 - len(segments))]
    return struct.pack("<16L", *numbers) + b"".join(segments)


def encoded_by_gdcm(data: bytes, process: str, folder: Path) -> bytes:
    """Return a file in a compression of which only GDCM has an encoder.

    Args:
        data: An uncompressed file.
        process: Name of a value of ``gdcm.TransferSyntax``.
        folder: For temporary files.
    """
    import gdcm

    (folder / "in.dcm").write_bytes(data)
    reader, change, writer = (
        gdcm.ImageReader(),
        gdcm.ImageChangeTransferSyntax(),
        gdcm.ImageWriter(),
    )
    reader.SetFileName(str(folder / "in.dcm"))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, process)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(folder / "out.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return (folder / "out.dcm").read_bytes()
