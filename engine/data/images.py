"""The one way from a file to an image: what a file holds is decided by its content."""

from __future__ import annotations

from pathlib import Path

from engine.data.decoded import DecodedImage, ImageFile
from engine.data.deep_tiff import DeepTiffFile, is_deep
from engine.data.file_bytes import read_bytes
from engine.data.file_kinds import HEAD_BYTES, image_kind, is_candidate, no_image_error
from engine.data.pictures import PictureFile

__all__ = ["decode_image", "image_kind", "is_candidate", "open_image", "read_bytes", "read_image"]


def open_image(data: bytes, *, suffix: str = "", axis: str = "axial") -> ImageFile:
    """Read the header of a file; its frames are decoded when they are asked for.

    Args:
        data: The whole file: DICOM, PNG, JPEG, TIFF, BMP, NIfTI, or arrays in the MedMNIST layout.
        suffix: Of the file's name; it only helps to say what is wrong.
        axis: Plane of the slices of a volume: ``axial``, ``coronal`` or ``sagittal``.

    Raises:
        NotAnImageError: If it is a sound file that holds no image, saying what it is.
        UnreadableImageError: If it is damaged, too large, or of a kind that isn't read.
    """
    # These libraries take a quarter of a second to import, and most studies need one of them.
    match image_kind(data[:HEAD_BYTES]):
        case "DICOM":
            from engine.data.dicom import DicomFile

            return DicomFile(data)
        case "NIfTI":
            from engine.data.nifti import VolumeFile

            return VolumeFile(data, axis=axis)
        case "NPZ":
            from engine.data.npz import ArrayFile

            return ArrayFile(data)
        case None:
            raise no_image_error(data, suffix.lower())
        case "TIFF" if is_deep(data):
            return DeepTiffFile(data)
        case kind:
            return PictureFile(data, kind)


def read_image(
    path: Path, *, frame: int | None = None, axis: str = "axial", at_least_px: int | None = None
) -> DecodedImage:
    """Read one image, whatever the file's name says.

    Args:
        path: Of any format that :func:`open_image` knows.
        frame: Frame, page or slice, from 0; None takes the one that stands for the file.
        axis: Plane of the slices of a volume.
        at_least_px: A reduced version will do, as long as its shorter side has twice this many
            pixels; saves time with large JPEGs. None reads the whole image.

    Raises:
        UnreadableImageError: If the file is no image, damaged, or too large, saying which.
    """
    data = read_bytes(path)
    return decode_image(data, suffix=path.suffix, frame=frame, axis=axis, at_least_px=at_least_px)


def decode_image(
    data: bytes,
    *,
    suffix: str = "",
    frame: int | None = None,
    axis: str = "axial",
    at_least_px: int | None = None,
) -> DecodedImage:
    """Decode one image from the bytes of a file; see :func:`read_image`.

    Raises:
        UnreadableImageError: If they are no image that RadTune reads, saying why.
    """
    return open_image(data, suffix=suffix, axis=axis).read(frame, at_least_px)
