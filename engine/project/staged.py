"""What is kept of images that were read but are not yet part of the project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.project.records import NewRecord


@dataclass(frozen=True, slots=True)
class StagedImage:
    """An image as it was read.

    Attributes:
        record: Its facts; source, class and patient are still open.
        patient: Hash of the patient id in the file's header, if it has one.
        notes: What the reader assumed.
    """

    record: NewRecord
    patient: str | None
    is_color: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StagedKey:
    """What is needed of a staged image to say what it becomes.

    Attributes:
        patient: Hash of the patient id in the file's header, if it has one.
        study: Hash of the study in the file's header, if it has one.
    """

    id: int
    path: str
    frame: int
    n_frames: int
    patient: str | None
    study: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A staged image that becomes a record.

    Attributes:
        staged: Its staged row.
        place: Position of its file in the import; records are numbered in this order.
        label: Class name.
        patient: Hash of what tells the patient apart.
        origin: What that is: ``patient``, ``study`` or ``file``.
        study: Hash of the study, where it may be kept.
        sheet: What a label sheet says, by column of the record.
    """

    staged: StagedKey
    place: int
    label: str | None
    patient: str
    origin: str
    study: str | None = None
    sheet: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntrySummary:
    """What is about to be entered.

    Attributes:
        labels: Classes, in the spelling of the first image of each.
        n_files_with_frames: Files with several frames.
        n_frames: Images that come from those.
        modalities: Images by DICOM modality.
        notes: What the reader assumed, with the number of images.
    """

    labels: tuple[str, ...]
    n_images: int
    n_color: int
    n_files_with_frames: int
    n_frames: int
    modalities: dict[str, int]
    notes: dict[str, int]
