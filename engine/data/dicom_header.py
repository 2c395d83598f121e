"""Which header fields leave a DICOM file, in one table, and how they read.

What isn't in the table is never shown, stored, logged or exported: no names, dates, numbers that
identify, institutions, or free text.

References:
    DICOM PS3.15, Annex E (attribute confidentiality profiles).
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from engine.data.dicom_parse import BEGINNING_BYTES, DECODER_ERRORS, parse_beginning
from engine.data.file_bytes import read_beginning
from engine.data.file_kinds import HEAD_BYTES, image_kind


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinKeys:
    """What a row of a label sheet may name a file by. Memory only.

    Attributes:
        patient_id: Without its issuer, as people write it.
    """

    sop_uid: str | None = field(default=None, repr=False)
    patient_id: str | None = field(default=None, repr=False)
    study_date: datetime.date | None = field(default=None, repr=False)


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
    ("WindowCenterWidthExplanation", "Window names"),
    ("PixelSpacing", "Pixel spacing (mm)"),
    ("ImagerPixelSpacing", "Detector spacing (mm)"),
    ("PixelAspectRatio", "Pixel aspect ratio"),
    ("PresentationIntentType", "Intended for"),
    ("LossyImageCompression", "Lossy compression"),
    ("BurnedInAnnotation", "Text burned in"),
)
OLDEST_AGE: Final = 90
"""Ages above are rare enough to identify, and read 90 (as in the HIPAA safe harbour rule)."""
_LONGEST_TEXT: Final = 64
_LONGEST_IDENTIFIER: Final = 1024
_DATES: Final = (
    "AcquisitionDate",
    "AcquisitionDateTime",
    "ContentDate",
    "SeriesDate",
    "StudyDate",
)
"""Where the day of acquisition is looked for; the first that is one counts."""
_FIRST_YEAR: Final = 1895  # of radiography
_YEARS_PER_UNIT: Final = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def whitelisted_fields(dataset: Dataset) -> dict[str, str]:
    """Return the fields of :data:`WHITELIST` that the file has, as readable text."""
    fields = {}
    for keyword, name in WHITELIST:
        if text := field_text(dataset, keyword):
            fields[name] = text
    if (age := age_years(dataset)) is not None and age >= OLDEST_AGE:
        fields["Age"] = f"{OLDEST_AGE} or more"
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
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
    patient = _identifier(dataset, "PatientID")
    issuer = _identifier(dataset, "IssuerOfPatientID")
    return f"{patient}\\{issuer}" if patient and issuer else patient


def raw_study_uid(dataset: Dataset) -> str | None:
    """Return the study's UID, which must stay in memory."""
    return _identifier(dataset, "StudyInstanceUID")


def raw_sop_uid(dataset: Dataset) -> str | None:
    """Return the image's own UID, which must stay in memory."""
    return _identifier(dataset, "SOPInstanceUID")


def raw_site(dataset: Dataset) -> str | None:
    """Return the name of the institution, which must stay in memory."""
    return _identifier(dataset, "InstitutionName")


def acquisition_day(dataset: Dataset) -> datetime.date | None:
    """Return the day of acquisition, which must stay in memory."""
    for keyword in _DATES:
        if (day := _day(dataset, keyword)) is not None:
            return day
    return None


def burned_in(dataset: Dataset) -> str:
    """Return what the header says on text burned into the image: ``yes``, ``no`` or empty."""
    text = field_text(dataset, "BurnedInAnnotation").lower()
    return text if text in ("yes", "no") else ""


def read_join_keys(path: Path) -> JoinKeys:
    """Read what a label sheet may name a DICOM file by, from the beginning of the file alone.

    Returns:
        Empty keys if the content is no DICOM or damaged: the import says why.

    Raises:
        UnreadableImageError: If the file can't be opened or read.
    """
    head = read_beginning(path, BEGINNING_BYTES)
    if image_kind(head[:HEAD_BYTES]) != "DICOM":
        return JoinKeys()
    try:
        header = parse_beginning(head)
    except DECODER_ERRORS:
        return JoinKeys()
    return JoinKeys(
        sop_uid=raw_sop_uid(header),
        patient_id=_identifier(header, "PatientID"),
        study_date=_day(header, "StudyDate"),
    )


def _identifier(dataset: Dataset, keyword: str) -> str | None:
    return field_text(dataset, keyword, longest=_LONGEST_IDENTIFIER) or None


def _day(dataset: Dataset, keyword: str) -> datetime.date | None:
    """Return the day of a date (``20240131``, or ``2024.01.31`` in old files) or a time stamp."""
    match = re.match(r"(\d{4})\.?(\d{2})\.?(\d{2})", field_text(dataset, keyword))
    if match is None or int(match[1]) < _FIRST_YEAR:
        return None
    try:
        return datetime.date(*map(int, match.groups()))
    except ValueError:
        return None


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
    tag = _tag(keyword)
    if tag not in dataset:  # quicker than to be told so, and most fields are absent
        return None
    try:
        value = dataset[tag].value
    except DECODER_ERRORS:
        return None  # one broken field is no reason to lose the image
    return None if value is None or value == "" or value == b"" else value


@cache
def _tag(keyword: str) -> BaseTag:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"no field is called {keyword}")
    return Tag(tag)


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
