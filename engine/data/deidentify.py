"""Copies of DICOM originals without identifiers, to be given away or moved to another machine.

The rules are the Basic Application Level Confidentiality Profile as the dicom-anonymizer library
has them, applied to the data set and to every item of its sequences. On top of them: UIDs are
replaced by ones that depend on the project's salt alone, so that images of one study stay together
also across two exports; patients carry the project's pseudonyms; private elements, the preamble
and the file meta information are written anew; and a copy in which an identifying value of the
original is still found anywhere outside the pixels isn't written.

References:
    DICOM PS3.15, Annex E (attribute confidentiality profiles), Table E.1-1.
    DICOM PS3.5, B.2 (UIDs derived from a UUID).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pydicom
from dicomanonymizer import simpledicomanonymizer as profile
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import Tag
from pydicom.uid import UID, SecondaryCaptureImageStorage

from engine.contract.commands import Deidentify
from engine.contract.control import Control
from engine.contract.errors import DatasetError, UnreadableImageError
from engine.contract.records import DeidentifyResult, ImageRecord, SkippedFile
from engine.data.dicom import DECODER_ERRORS
from engine.data.dicom_pixels import ensure_transfer_syntax
from engine.data.images import image_kind, read_bytes
from engine.data.progress import Emit, Progress
from engine.files import long_path, make_folder, require_space, write_atomic
from engine.project.store import Project

__all__ = ["deidentified", "deidentify"]

KIND: Final = "deidentify"
_HEAD_BYTES: Final = 512
_PIXELS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_MAKER: Final = ("Manufacturer", "ManufacturerModelName")
_IDENTIFYING: Final = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "PatientBirthDate",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "NameOfPhysiciansReadingStudy",
    "OperatorsName",
    "InstitutionName",
    "InstitutionAddress",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
)
"""What a copy is searched for before it is written."""
_SHORTEST_SEARCHED: Final = 5
"""Bytes; shorter values such as an id of 12 occur by chance."""
_DUMMIES: Final = b"ANONYMIZED 00010101010101.000000+0000"
"""What the library writes instead of a value; an original that reads like it gives nothing away."""
_METHOD: Final = "DICOM PS3.15 Basic Application Level Confidentiality Profile"


def deidentify(command: Deidentify, emit: Emit, control: Control) -> DeidentifyResult:
    """Write de-identified copies of a project's DICOM originals, and a label sheet beside them.

    Args:
        command: Which images, and the folder to make.
        emit: Takes ``JobProgressed`` events.
        control: Its safe points lie between files.

    Raises:
        DatasetError: If the folder isn't empty or there is nothing to copy.
        StorageError: If the folder can't be written.
    """
    out = Path(command.out)
    if out.exists() and (not out.is_dir() or any(long_path(out).iterdir())):
        raise DatasetError(
            "The folder for the copies isn't empty.", remedy="Choose a new or an empty folder."
        )
    with Project.open(Path(command.project), read_only=True) as project:
        records = project.records(command.records)
        if command.records is None:
            records = [record for record in records if record.excluded is None]
        # The frames of a file are one original, and its first record stands for it.
        paths: dict[Path, ImageRecord] = {}
        for record, path in zip(
            records, project.original_paths([record.id for record in records]), strict=True
        ):
            paths.setdefault(path, record)
        if not paths:
            raise DatasetError("There are no images to copy.", remedy="Choose some images first.")
        classes = {summary.id: summary.name for summary in project.classes()}
        require_space(out.parent, _total_bytes(paths))
        make_folder(out)
        progress = Progress(emit, KIND, "Copying", len(paths))
        return _copy_all(project, paths, classes, out, progress, control)


def _total_bytes(paths: dict[Path, ImageRecord]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())


def _copy_all(
    project: Project,
    paths: dict[Path, ImageRecord],
    classes: dict[int, str],
    out: Path,
    progress: Progress,
    control: Control,
) -> DeidentifyResult:
    skipped: list[SkippedFile] = []
    rows: list[tuple[str, str, str, str]] = []
    for path, record in paths.items():
        control.safe_point()
        try:
            data = deidentified(read_bytes(path), record.patient, project.hashed)
        except UnreadableImageError as error:
            skipped.append(SkippedFile(path=record.path, reason=error.message))
        else:
            name = f"{record.patient}/{len(rows) + 1:06d}.dcm"
            make_folder(out / record.patient)
            write_atomic(out / name, data)
            label = "" if record.class_id is None else classes[record.class_id]
            rows.append((name, label, record.patient, record.split or ""))
        progress.step()
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow(("path", "label", "patient", "split"))
    writer.writerows(rows)
    write_atomic(out / "labels.csv", sheet.getvalue())
    return DeidentifyResult(
        out=str(out),
        n_images=len(rows),
        n_skipped=len(skipped),
        skipped=tuple(skipped),
        notes=(
            "Headers were cleaned; pixels were not changed. Look for names burned into the "
            "images before you pass them on.",
        ),
    )


def deidentified(data: bytes, patient: str, hashed: Callable[[str], str]) -> bytes:
    """Return a DICOM file without identifiers.

    Args:
        data: The original.
        patient: Pseudonym that becomes patient id and name.
        hashed: Returns 32 hexadecimal digits for an identifier; equal ones for equal identifiers.

    Raises:
        UnreadableImageError: If the file isn't DICOM, announces text burned into its image, can't
            be read, or would still hold an identifying value.
    """
    if image_kind(data[:_HEAD_BYTES]) != "DICOM":
        raise UnreadableImageError(
            "Not a DICOM file: only those are copied.", remedy="Copy it yourself."
        )
    try:
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        ensure_transfer_syntax(dataset)
        _require_clean_pixels(dataset)
        searched = _identifying_values(dataset)
        _clean(dataset, hashed)
        _sign(dataset, patient, hashed(data.hex()))
        copy = _written(dataset)
    except DECODER_ERRORS as error:
        raise UnreadableImageError(
            "The DICOM file is damaged or holds what can't be cleaned.",
            remedy="Leave it out, or clean it with your archive's own tool.",
        ) from error
    _require_gone(dataset, searched)
    return copy


def _require_clean_pixels(dataset: Dataset) -> None:
    if str(dataset.get("BurnedInAnnotation", "")).strip().upper() == "YES":
        raise UnreadableImageError(
            "Its header says that text is burned into the image, which could be a name.",
            remedy="Blacken the text with your archive's own tool first.",
        )


def _identifying_values(dataset: Dataset) -> set[bytes]:
    """Return the values to be searched for, as they stand in the file."""
    found: set[bytes] = set()
    # One after the other: what was looked into is no longer as it stands in the file.
    for item in chain([dataset], _items(dataset)):
        for keyword in _IDENTIFYING:
            element = item.get_item(keyword) if keyword in item else None
            raw = element.value if element is not None else None
            if isinstance(raw, bytes):
                found.update(part.strip(b" \x00") for part in raw.split(b"\\"))
            elif raw is not None:
                found.update(str(part).strip().encode() for part in _parts(raw))
    return {value for value in found if len(value) >= _SHORTEST_SEARCHED and value not in _DUMMIES}


def _parts(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple | pydicom.multival.MultiValue) else [value]


def _items(dataset: Dataset) -> Iterator[Dataset]:
    """Yield the items of all sequences, at any depth."""
    for element in dataset:
        if isinstance(element.value, DicomSequence):
            for item in element.value:
                yield item
                yield from _items(item)


def _clean(dataset: Dataset, hashed: Callable[[str], str]) -> None:
    dataset.remove_private_tags()  # in sequences too
    for item in (dataset, *_items(dataset)):
        for element in item:
            if element.VR == "UI":
                for uid in _parts(element.value):
                    # The library asks this table first, and makes random UIDs otherwise.
                    profile.dictionary.setdefault(uid, _salted_uid(str(uid), hashed))
    try:
        for item in [*_items(dataset), dataset]:  # items first: some sequences are then removed
            profile.anonymize_dataset(item, base_rules_gen=_rules)
    finally:
        profile.dictionary.clear()  # identifiers of one file are no business of the next


@cache
def _rules() -> dict[tuple[int, ...], Callable[[Dataset, tuple[int, ...]], None]]:
    """Return the library's rules, but keep sequences that refer to other images.

    The library empties them; the profile (X/Z/U*) also allows replacing the UIDs inside, which has
    happened by then, and so an image can still be followed to the one it was made from.
    """
    rules = profile.initialize_actions_2024b()
    references = profile.delete_or_empty_or_replace_UID
    return {
        tag: profile.replace_UID if rule is references and not _is_sequence(tag) else rule
        for tag, rule in rules.items()
        if not (rule is references and _is_sequence(tag))
    }


def _is_sequence(tag: tuple[int, ...]) -> bool:
    known = Tag(tag[0], tag[1])
    return dictionary_has_tag(known) and dictionary_VR(known) == "SQ"


def _salted_uid(uid: str, hashed: Callable[[str], str]) -> UID:
    return UID(f"2.25.{int(hashed(f'uid:{uid}'), 16)}")


def _sign(dataset: Dataset, patient: str, digits: str) -> None:
    """Say who the patient is now and what was done; give a file without UIDs what it must have."""
    dataset.PatientID = dataset.PatientName = patient
    if not dataset.get("SOPInstanceUID"):
        dataset.SOPInstanceUID = UID(f"2.25.{int(digits, 16)}")
    if not dataset.get("SOPClassUID"):
        dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = _METHOD
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    dataset.DeidentificationMethodCodeSequence = DicomSequence([code])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(dataset.SOPClassUID)
    meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    dataset.file_meta = meta
    dataset.preamble = b"\x00" * 128  # may hold the header of another format, with its own facts


def _written(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def _require_gone(dataset: Dataset, searched: set[bytes]) -> None:
    """Search everything but the pixels for identifying values of the original.

    The maker of the device is left out too: test files give it as the institution.
    """
    bare = Dataset()
    bare.update({tag: dataset.get_item(tag) for tag in dataset.keys()})  # noqa: SIM118
    for keyword in (*_PIXELS, *_MAKER):
        if keyword in bare:
            del bare[keyword]
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, bare, implicit_vr=False, little_endian=True)
    text = stream.getvalue()
    if any(value in text for value in searched):
        raise UnreadableImageError(
            "An identifying value stands in a place of the header that isn't known to hold one.",
            remedy="Clean it with your archive's own tool.",
        )
