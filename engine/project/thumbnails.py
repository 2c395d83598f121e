"""Small square pictures of every image, for the grid.

Grey and colour images have a kind each, since the items of a kind have one shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from engine.project.folder import ProjectFolder
from engine.project.segment_reader import SegmentReader
from engine.project.segments import FullSegment, SegmentWriter

THUMBNAIL_PX: Final = 128
GREY_KIND: Final = "thumbs"
COLOUR_KIND: Final = "thumbs-rgb"
_GREY_SHAPE: Final = (THUMBNAIL_PX, THUMBNAIL_PX)
_COLOUR_SHAPE: Final = (THUMBNAIL_PX, THUMBNAIL_PX, 3)


class Thumbnails:
    """Reads thumbnails by the row of their record."""

    def __init__(self, project: ProjectFolder) -> None:
        self._readers = (SegmentReader(project, GREY_KIND), SegmentReader(project, COLOUR_KIND))

    def refresh(self) -> None:
        """Take note of thumbnails written since."""
        for reader in self._readers:
            reader.refresh()

    def has(self, row: int) -> bool:
        """Return whether there is a thumbnail of a row, as far as is known."""
        return any(reader.has(row) for reader in self._readers)

    def image(self, row: int) -> NDArray[np.uint8]:
        """Return a thumbnail as a new array: uint8, (128, 128) or for colour (128, 128, 3).

        Letterboxed on black. A row that isn't known is looked for once more in the database.

        Raises:
            ProjectError: If there is none.
        """
        if not self.has(row):
            self.refresh()
        grey, colour = self._readers
        return (colour if colour.has(row) else grey).row(row)

    def copies(self, rows: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
        """Return those of ``rows`` that are known to be there, as :meth:`image` gives them.

        Raises:
            ProjectError: If a file is damaged.
            StorageError: If a file can't be read.
        """
        grey, colour = self._readers
        return grey.copies(rows) | colour.copies(rows)

    def close(self) -> None:
        """Let go of the files."""
        for reader in self._readers:
            reader.close()


class ThumbnailWriter:
    """Writes thumbnails, as ``engine.project.segments.SegmentWriter`` does."""

    def __init__(self, project: ProjectFolder, *, import_id: int | None = None) -> None:
        self._grey = SegmentWriter(project, GREY_KIND, _GREY_SHAPE, np.uint8, import_id=import_id)
        self._colour = SegmentWriter(
            project, COLOUR_KIND, _COLOUR_SHAPE, np.uint8, import_id=import_id
        )

    def append(self, row: int, image: NDArray[np.uint8]) -> None:
        """Add the thumbnail of a row: uint8, (128, 128) or (128, 128, 3).

        Raises:
            StorageError: If the disk is full or read-only.
            ValueError: If the image has another shape or type.
        """
        (self._colour if image.ndim == 3 else self._grey).append(image, [row])

    def commit(self) -> None:
        """Make what was appended count.

        Raises:
            StorageError: If the disk is full or read-only.
        """
        self._grey.commit()
        self._colour.commit()

    def rotate(self) -> list[FullSegment]:
        """Return what was appended so far, as ``SegmentWriter.rotate`` does."""
        segments = (self._grey.rotate(), self._colour.rotate())
        return [segment for segment in segments if segment is not None]

    def abort(self) -> None:
        """Drop what doesn't count yet."""
        self._grey.abort()
        self._colour.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()
