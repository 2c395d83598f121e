"""How a source is to be read: its sheet, columns, labels, frames and patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from engine.contract.limits import Between, OneOf, check_limits


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetFormat:
    """How a label sheet is read; None means "find out".

    Attributes:
        separator: One character between the cells of a text file.
        encoding: A codec name such as ``utf-8`` or ``gb18030``.
        worksheet: Name of a worksheet of a workbook.
        header_row: Row of the column names, from 1; 0 for a sheet without names, whose columns are
            called "Column 1", "Column 2"…
    """

    separator: str | None = None
    encoding: str | None = None
    worksheet: str | None = None
    header_row: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """Columns of a label sheet; None means "find it by its name", an empty name "no column".

    Attributes:
        path: Names the file: a path, a file name, or a SOP Instance UID.
        label: Holds the class, several findings in a cell, or a grade.
        labels: One column per class with 0 and 1 (or no and yes), instead of ``label``.
        date: Study date; together with ``patient`` it can stand for the file.
        frame: Frame, page or slice that the row is about, from 0, of files with several.
        join: What a row is matched by: ``path`` is a path or a file name, ``sop_uid`` a SOP
            Instance UID, ``patient_date`` patient and study date; ``auto`` finds out.
    """

    path: str | None = None
    label: str | None = None
    labels: tuple[str, ...] = ()
    patient: str | None = None
    split: str | None = None
    study: str | None = None
    date: str | None = None
    site: str | None = None
    scanner: str | None = None
    sex: str | None = None
    age: str | None = None
    view: str | None = None
    frame: str | None = None
    join: Annotated[str, OneOf("auto", "path", "sop_uid", "patient_date")] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRule:
    """What the label column or columns of a sheet mean.

    Attributes:
        task: ``single``: one class an image. ``multi``: any number of findings an image.
            ``ordinal``: one grade an image, the grades in order. ``auto``: ``multi`` where cells
            hold several findings or several of the 0/1 columns are 1 in one row, else ``single``.
        separator: Between the findings of one cell.
        uncertain: What a value such as -1, "uncertain" or "unknown" counts as: ``ignore`` leaves
            that finding of that image out of training and measuring.
        blank: What a blank 0/1 cell counts as, in a row with other values. ``auto``: absent in
            columns where blanks are more common than zeros (marks alone, or findings that were
            not mentioned), unknown in others.
        order: Grades from lowest to highest; empty sorts them.
    """

    task: Annotated[str, OneOf("auto", "single", "multi", "ordinal")] = "auto"
    separator: str = "|"
    uncertain: Annotated[str, OneOf("ignore", "negative", "positive")] = "ignore"
    blank: Annotated[str, OneOf("auto", "absent", "unknown")] = "auto"
    order: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePolicy:
    """Which frames of a multi-frame file, or slices of a volume, become images.

    All frames of a file are of one patient, and so always in one split.

    Attributes:
        frames: ``middle`` alone, ``every`` n-th, or ``all``.
        step: The n of ``every``.
        axis: Plane of the slices of a volume (NIfTI).
    """

    frames: Annotated[str, OneOf("middle", "every", "all")] = "middle"
    step: Annotated[int, Between(1, 10_000)] = 10
    axis: Annotated[str, OneOf("axial", "coronal", "sagittal")] = "axial"

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If a field is outside.
        """
        check_limits(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientRule:
    """Where the patient id comes from.

    Attributes:
        source: ``auto`` takes a column, else DICOM, else the file; ``pattern`` applies
            ``pattern`` to the file name; ``file`` makes each file its own patient.
        pattern: Regular expression searched in the file name; its first group, or the whole
            match, is the id.
    """

    source: Annotated[str, OneOf("auto", "dicom", "column", "pattern", "file")] = "auto"
    pattern: str = ""
