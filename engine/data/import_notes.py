"""What a user should know of the images that an import has read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from engine.contract.config import ImageContract
from engine.contract.errors import DatasetError
from engine.contract.records import SkippedFile
from engine.data.import_division import Division
from engine.data.phrases import count_of, verb
from engine.project.staged import EntrySummary

_NO_PHOTOGRAPHS: Final = {"SEG": "segmentations", "RTDOSE": "dose maps"}


def nothing_readable(skipped: Sequence[SkippedFile]) -> DatasetError:
    """Return the error for a source of which no file is an image."""
    reasons = Counter(file.reason for file in skipped).most_common(1)
    example = f" Most often: {reasons[0][0]}" if reasons else ""
    return DatasetError(
        f"None of the {count_of(len(skipped), 'file')} could be read as an image.{example}",
        remedy="Check that the folder holds DICOM, PNG, JPEG, TIFF or BMP images.",
    )


def notes_on_images(summary: EntrySummary, contract: ImageContract) -> list[str]:
    """Return sentences on new images that are not what one might expect."""
    notes = []
    if n_files := summary.n_files_with_frames:
        taken = (
            "one of each was imported: the middle frame of DICOM, the first page of TIFF."
            if summary.n_frames == n_files
            else f"{count_of(summary.n_frames, 'image')} of them {verb(summary.n_frames, 'was')} "
            "imported."
        )
        notes.append(f"{count_of(n_files, 'file', 'holds')} several frames; {taken}")
    if summary.n_color and contract.channels == 1:
        notes.append(
            f"{count_of(summary.n_color, 'image', 'is')} in colour among grey "
            f"ones and {verb(summary.n_color, 'is')} used in grey."
        )
    notes += [
        f"{count_of(n, 'file', 'is')} {kind}, not photographs of the body; exclude them if they "
        "should not be learned."
        for modality, kind in _NO_PHOTOGRAPHS.items()
        if (n := summary.modalities.get(modality))
    ]
    notes += [f"{count_of(n, 'image')}: {note}" for note, n in summary.notes.items()]
    return notes


def notes_on_known(division: Division) -> list[str]:
    """Return sentences on images that didn't have to be read."""
    notes = []
    if n := division.n_staged:
        notes.append(f"{count_of(n, 'image', 'was')} read before the import was interrupted.")
    if n := len(division.same):
        notes.append(f"{count_of(n, 'image', 'was')} in the project already.")
    return notes
