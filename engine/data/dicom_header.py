"""Which header fields leave a DICOM file, in one table, and how they read.

What isn't in the table is never shown, stored, logged or exported: no names, dates, numbers that
identify, institutions, or free text.

References:
    DICOM PS3.15, Annex E (attribute confidentiality profiles).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

WHITELIST: Final[tuple[tuple[str, str], ...]] = (
    ("Modality", "Modality"),
    ("BodyPartExamined", "Body part"),
    ("ViewPosition", "View"),
    ("PatientPosition", "Patient position"),
    ("Laterality", "Side"),
    ("ImageLaterality", "Side of the image"),
    ("PatientSex", "Sex"),
    ("PatientAge", "Age"),
    ("Manufacturer", "Manufacturer"),
    ("ManufacturerModelName", "Device model"),
    ("DetectorType", "Detector"),
    ("KVP", "Tube voltage (kV)"),
    ("ExposureInuAs", "Exposure (µAs)"),
    ("Exposure", "Exposure (mAs)"),
    ("SliceThickness", "Slice thickness (mm)"),
    ("MagneticFieldStrength", "Field strength (T)"),
    ("Rows", "Rows"),
    ("Columns", "Columns"),
    ("NumberOfFrames", "Frames"),
    ("BitsAllocated", "Bits allocated"),
    ("BitsStored", "Bits stored"),
    ("PixelRepresentation", "Signed"),
    ("SamplesPerPixel", "Samples per pixel"),
    ("PhotometricInterpretation", "Photometric interpretation"),
    ("RescaleSlope", "Rescale slope"),
    ("RescaleIntercept", "Rescale intercept"),
    ("RescaleType", "Rescale type"),
    ("WindowCenter", "Window centre"),
    ("WindowWidth", "Window width"),
    ("VOILUTFunction", "Window function"),
    ("PixelSpacing", "Pixel spacing (mm)"),
    ("ImagerPixelSpacing", "Detector spacing (mm)"),
    ("PresentationIntentType", "Intended for"),
    ("LossyImageCompression", "Lossy compression"),
)
OLDEST_AGE: Final = 90
"""Ages above are rare enough to identify, and read 90 (as in the HIPAA safe harbour rule)."""
_LONGEST_TEXT: Final = 64
_YEARS_PER_UNIT: Final = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def whitelisted_fields(dataset: Dataset) -> dict[str, str]:
    """Return the fields of :data:`WHITELIST` that the file has, as readable text."""
    fields = {}
    for keyword, name in WHITELIST:
        if text := field_text(dataset, keyword):
            fields[name] = text
    if (age := age_years(dataset)) is not None and age >= OLDEST_AGE:
        fields["Age"] = f"{OLDEST_AGE} or more"
    syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
    if isinstance(syntax, UID) and syntax.name != str(syntax):  # private ones have no name
        fields["Transfer syntax"] = syntax.name
    return fields


def covariates(dataset: Dataset) -> dict[str, str]:
    """Return what may explain a prediction besides the disease: view, sex, age and device."""
    found = {
        "view": field_text(dataset, "ViewPosition").upper(),
        "sex": field_text(dataset, "PatientSex").upper(),
        "device": " ".join(
            text
            for keyword in ("Manufacturer", "ManufacturerModelName")
            if (text := field_text(dataset, keyword))
        ),
    }
    if found["sex"] not in ("M", "F", "O"):
        del found["sex"]
    if (age := age_years(dataset)) is not None:
        found["age"] = f"{min(age, OLDEST_AGE):.4g}"
    return {name: text for name, text in found.items() if text}


def age_years(dataset: Dataset) -> float | None:
    """Return the age in years, from an age string such as ``045Y`` or ``006M``."""
    match = re.fullmatch(r"\s*(\d{1,3})([YMWD])\s*", field_text(dataset, "PatientAge"))
    return None if match is None else int(match[1]) * _YEARS_PER_UNIT[match[2]]


def raw_patient_id(dataset: Dataset) -> str | None:
    """Return the patient id with its issuer, which must stay in memory."""
    patient = field_text(dataset, "PatientID", longest=1024)
    issuer = field_text(dataset, "IssuerOfPatientID", longest=1024)
    return (f"{patient}\\{issuer}" if issuer else patient) if patient else None


def raw_study_uid(dataset: Dataset) -> str | None:
    """Return the study's UID, which must stay in memory."""
    return field_text(dataset, "StudyInstanceUID", longest=1024) or None


def field_text(dataset: Dataset, keyword: str, *, longest: int = _LONGEST_TEXT) -> str:
    """Return a field as one line of text; empty if it is absent, broken or overlong."""
    value = field_value(dataset, keyword)
    if value is None:
        return ""
    parts = value if isinstance(value, MultiValue | list | tuple) else [value]
    text = " × ".join(str(part).strip(" \x00") for part in parts)
    return text if len(text) <= longest and text.isprintable() else ""


def field_value(dataset: Dataset, keyword: str) -> Any:
    """Return a field's value, or None where it is absent, empty or can't be read."""
    try:
        value = dataset.get(keyword)
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, OverflowError):
        return None  # one broken field is no reason to lose the image
    return None if value is None or value == "" else value


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """Return the numbers of a field; empty if any of them is none."""
    value = field_value(dataset, keyword)
    if value is None:
        return []
    parts: Iterable[Any] = value if isinstance(value, MultiValue | list | tuple) else [value]
    try:
        found = [float(part) for part in parts]
    except (ValueError, TypeError):
        return []
    return found if all(map(math.isfinite, found)) else []
