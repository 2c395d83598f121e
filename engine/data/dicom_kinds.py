"""What a DICOM file without pixels is: a sound object of another kind, or an incomplete image.

References:
    DICOM PS3.4, Annex B.5 (storage SOP classes), PS3.6, Annex A (their names).
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UID

from engine.contract.errors import NotAnImageError, UnreadableImageError
from engine.data.dicom_header import field_text, field_value
from engine.data.dicom_parse import REMEDY

_STANDARD_ROOT: Final = "1.2.840.10008."
# Parts of the names of classes that hold pixels; all others don't.
_IMAGE_WORDS: Final = (
    "Image Storage",
    "Parametric Map",
    "RT Dose",
    "US Volume",
    "Thickness Map",
    "Topography Map",
    "B-scan Volume",
    "Whole Slide",
    "Tiled Pyramidal",
)
_IMAGE_NAMES: Final = frozenset({"Segmentation Storage", "Label Map Segmentation Storage"})
# What people call them, by part of the official name; the first that fits.
_PLAIN_NAMES: Final = (
    ("Media Storage Directory", "the directory of a medium (DICOMDIR)"),
    ("Presentation State", "presentation state"),
    ("Key Object Selection", "key object selection"),
    ("ECG Waveform", "ECG waveform"),
    ("Audio Waveform", "sound recording"),
    ("Waveform Storage", "waveform"),
    (" SR Storage", "structured report"),
    ("Procedure Log", "structured report"),
    ("RT Structure Set", "RT structure set"),
    ("RT Ion Plan", "RT plan"),
    ("RT Plan", "RT plan"),
    ("Treatment Record", "RT treatment record"),
    ("Treatment Summary Record", "RT treatment record"),
    ("Encapsulated PDF", "PDF document"),
    ("Encapsulated CDA", "clinical document (CDA)"),
    ("Encapsulated STL", "3D model"),
    ("Encapsulated OBJ", "3D model"),
    ("Encapsulated MTL", "3D model"),
    ("Spatial Registration", "registration"),
    ("Deformable Spatial Registration", "registration"),
    ("Spatial Fiducials", "fiducials"),
    ("Raw Data", "raw data of the device"),
    ("MR Spectroscopy", "MR spectroscopy"),
    ("Surface Segmentation", "surface segmentation"),
)
# For files that state no class, such as very old ones.
_BY_MODALITY: Final = {
    "RTPLAN": "RT plan",
    "RTSTRUCT": "RT structure set",
    "RTRECORD": "RT treatment record",
    "SR": "structured report",
    "KO": "key object selection",
    "PR": "presentation state",
    "ECG": "ECG waveform",
    "EPS": "waveform",
    "HD": "waveform",
    "AU": "sound recording",
    "DOC": "document",
    "REG": "registration",
    "FID": "fiducials",
    "PLAN": "plan",
}


def without_pixels(header: Dataset) -> UnreadableImageError:
    """Return the error for a file without pixels.

    Returns:
        A ``NotAnImageError`` for a class that holds none; else an ``UnreadableImageError``, since
        an image class without pixels was cut off.
    """
    kind = _kind(header)
    if kind is None:
        return UnreadableImageError(
            "The DICOM file holds no pixels: it is incomplete, or not an image.", remedy=REMEDY
        )
    return NotAnImageError(f"The DICOM file is not an image: {kind}.", remedy="It can be left out.")


def _kind(header: Dataset) -> str | None:
    uid = _class_uid(header)
    if not uid:
        return _BY_MODALITY.get(field_text(header, "Modality"))
    if not uid.startswith(_STANDARD_ROOT):
        return "private object of the device's manufacturer"
    name = UID(uid).name
    if name == uid:  # newer than the dictionary
        return _BY_MODALITY.get(field_text(header, "Modality"))
    if name in _IMAGE_NAMES or any(word in name for word in _IMAGE_WORDS):
        return None
    for part, plain in _PLAIN_NAMES:
        if part in name:
            return plain
    return name.removesuffix(" SOP Class").removesuffix(" Storage")


def _class_uid(header: Dataset) -> str:
    """Return the SOP class; a directory names it in its meta header alone."""
    found = field_value(header, "SOPClassUID")
    if not found:
        found = field_value(getattr(header, "file_meta", Dataset()), "MediaStorageSOPClassUID")
    return str(found).strip(" \x00") if isinstance(found, str) else ""
