"""DICOM files of the simulated films, in the form of a Digital X-Ray Image (PS3.3 A.26)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, timedelta
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from engine.data.phantoms.film import MAX_VALUE, chest_range
from engine.data.phantoms.solids import PITCH_CM

NOTICE: Final = "SIMULATED - not a patient"
_DX_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"
_UID_NAMESPACE = uuid.UUID("7b6ec1f0-52d1-5c1b-9a57-3f0f6f1f2d10")
_FIRST_DAY = date(2001, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmHeader:
    """What the header of one film says.

    Attributes:
        seed: Of the study; part of every UID.
        patient: Number of the patient, from 1.
        image: Number of the film within the patient, from 1.
        sex: ``M`` or ``F``.
        age_years: Age of the patient.
        is_inverted: Whether low values are bright (MONOCHROME1).
    """

    seed: int
    patient: int
    image: int
    sex: str
    age_years: int
    is_inverted: bool

    @property
    def patient_id(self) -> str:
        """``SIM-0001`` and so on."""
        return f"SIM-{self.patient:04d}"


def dicom_bytes(header: FilmHeader, pixels: NDArray[np.uint16]) -> bytes:
    """Return a DICOM file (Explicit VR Little Endian); equal arguments give equal bytes.

    Args:
        header: Who and which film.
        pixels: Values 0 to 4095 with bone bright, shape ``(rows, columns)``.
    """
    dataset = Dataset()
    dataset.update(_identity(header))
    dataset.update(_acquisition(header))
    dataset.update(_picture(header, pixels))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = _uid("implementation")
    dataset.file_meta.ImplementationVersionName = "RADTUNE"
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _uid(*parts: object) -> UID:
    """Return a UUID-derived UID (root 2.25, PS3.5 B.2) that depends on the arguments alone."""
    return UID(f"2.25.{uuid.uuid5(_UID_NAMESPACE, '/'.join(map(str, parts))).int}")


def _identity(header: FilmHeader) -> Dataset:
    ids = header.seed, header.patient, header.image
    day = _FIRST_DAY + timedelta(days=(11 * header.patient) % 300 + 45 * header.image)
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = _DX_FOR_PRESENTATION
    ds.SOPInstanceUID = _uid("instance", *ids)
    ds.StudyInstanceUID = _uid("study", *ids)
    ds.SeriesInstanceUID = _uid("series", *ids)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = day.strftime("%Y%m%d")
    ds.StudyTime = ds.ContentTime = "120000"
    ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.PatientName = f"SIMULATED^{header.patient:04d}"
    ds.PatientID = header.patient_id
    ds.PatientBirthDate = ""
    ds.PatientSex = header.sex
    ds.PatientAge = f"{header.age_years:03d}Y"
    ds.PatientComments = NOTICE
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = str(header.image), 1, 1
    ds.StudyDescription = ds.SeriesDescription = ds.ImageComments = NOTICE
    return ds


def _acquisition(header: FilmHeader) -> Dataset:
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "51185008", "SCT", "Chest"
    view = Dataset()
    view.CodeValue, view.CodingSchemeDesignator = "272479007", "SCT"
    view.CodeMeaning, view.ViewModifierCodeSequence = "postero-anterior", []
    ds = Dataset()
    ds.Modality, ds.PresentationIntentType = "DX", "FOR PRESENTATION"
    ds.Manufacturer, ds.ManufacturerModelName = "RadTune phantom", "RadTune phantom"
    ds.BodyPartExamined, ds.ViewPosition, ds.PatientOrientation = "CHEST", "PA", ["L", "F"]
    ds.AnatomicRegionSequence, ds.ViewCodeSequence = [region], [view]
    ds.ImageLaterality, ds.DetectorType, ds.PositionerType = "U", "SCINTILLATOR", "NONE"
    ds.KVP, ds.DistanceSourceToDetector = "110", "1800"
    ds.AcquisitionContextSequence = []
    return ds


def window(pixels: NDArray[np.uint16]) -> tuple[int, int]:
    """Return window center and width that show the middle of a film, from lung to spine."""
    dark, bright = chest_range(pixels, 1.0)
    low, high = dark - 0.15 * (bright - dark), bright + 0.05 * (bright - dark)
    return round((low + high) / 2), max(round(high - low), 1)


def _picture(header: FilmHeader, pixels: NDArray[np.uint16]) -> Dataset:
    """Return the pixel module; MONOCHROME1 stores the mirrored values and window."""
    center, width = window(pixels)
    ds = Dataset()
    ds.ImageType = ["DERIVED", "SECONDARY", ""]
    ds.SamplesPerPixel, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 1, 16, 12, 11
    ds.PixelRepresentation = 0
    ds.Rows, ds.Columns = pixels.shape
    ds.PhotometricInterpretation = "MONOCHROME1" if header.is_inverted else "MONOCHROME2"
    ds.PresentationLUTShape = "INVERSE" if header.is_inverted else "IDENTITY"
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = 1 if header.is_inverted else -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.WindowCenter = str(MAX_VALUE + 1 - center if header.is_inverted else center)
    ds.WindowWidth = str(width)
    ds.ImagerPixelSpacing = [f"{10 * PITCH_CM:.3f}"] * 2
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    stored = MAX_VALUE - pixels if header.is_inverted else pixels
    ds.PixelData = np.ascontiguousarray(stored, dtype="<u2").tobytes()
    return ds
