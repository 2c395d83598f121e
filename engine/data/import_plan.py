"""What an import will do, and the source that it starts from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from engine.contract.errors import DatasetError
from engine.contract.records import SkippedFile
from engine.data.file_index import FileIndex
from engine.data.listing import Listing
from engine.data.phrases import count_of
from engine.data.sheet import Item, JoinCounts, Matched
from engine.project.classes import SINGLE


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    """What will be imported.

    Attributes:
        root: Source folder.
        kind: ``table``, ``folder`` or ``npz``: where the labels come from.
        items: Images and their labels, in the order of the folder.
        skipped: What is left out already, with the reason.
        notes: Sentences for the user.
        has_patients: Whether the sheet has a patient column with values.
        has_split: Whether the sheet has a split column with values.
        task: ``single``, ``multi`` or ``ordinal``.
        classes: Classes, findings, or grades from lowest to highest.
        join: How well the sheet fits; None without one.
    """

    root: Path
    kind: str
    items: tuple[Item, ...]
    skipped: tuple[SkippedFile, ...]
    notes: tuple[str, ...]
    has_patients: bool = False
    has_split: bool = False
    task: str = SINGLE
    classes: tuple[str, ...] = ()
    join: JoinCounts | None = None

    def class_names(self) -> list[str]:
        """Return the classes or findings that items have, in the order of :attr:`classes`."""
        used = {item.label for item in self.items}
        for findings in {id(item.findings): item.findings for item in self.items}.values():
            used.update(findings)
        return [name for name in self.classes if name in used]


@dataclass
class Draft:
    """A source whose files are known.

    Attributes:
        listing: Everything that lies there.
        images: What may be an image.
        skipped: What is left out already.
        notes: Sentences for the user.
    """

    listing: Listing
    images: list[str]
    skipped: list[SkippedFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def index(self, sheet: Path) -> FileIndex:
        """Return the files as a sheet may name them."""
        return FileIndex(self.listing.root, sheet.parent, self.listing.files)

    def require_images(self) -> None:
        """Check that there is an image.

        Raises:
            DatasetError: If there is none.
        """
        if self.images:
            return
        n_files = len(self.listing.files)
        raise DatasetError(
            "The folder is empty."
            if n_files == 0
            else f"The folder holds no images ({count_of(n_files, 'other file')}).",
            remedy="Choose a folder with DICOM, PNG, JPEG, TIFF or BMP images.",
        )


def join_counts(matched: Matched, files_without_row: int) -> JoinCounts:
    """Return how well a sheet fits."""
    n_matched = matched.join.n_matched
    return JoinCounts(
        matched=n_matched,
        rows_without_file=len(matched.join.keys) - n_matched,
        files_without_row=files_without_row,
        conflicts=matched.n_conflicts,
    )
