"""Reads what :mod:`engine.project.segments` wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import ProjectError
from engine.files import long_path, storage_error
from engine.project.folder import ProjectFolder
from engine.project.segment_file import SegmentFile

_Item = NDArray[Any]


class SegmentReader:
    """Reads the rows of a kind; of a row that was written twice, the later one.

    A segment whose file is gone or too short counts as unwritten, so whoever can make its rows
    again may do so. Reading may go on in other threads; :meth:`refresh` belongs to the project's.
    """

    def __init__(self, project: ProjectFolder, kind: str) -> None:
        self._project = project
        self._kind = kind
        self._files: list[SegmentFile] = []
        self._segment_of = np.empty(0, dtype=np.int32)
        self._offset_of = np.empty(0, dtype=np.int32)
        self.item_shape: tuple[int, ...] | None = None
        self.dtype: np.dtype[Any] | None = None
        self.refresh()

    @property
    def kind(self) -> str:
        """What is read."""
        return self._kind

    def refresh(self) -> None:
        """Take note of segments written since."""
        segments = self._project.db.all(
            "SELECT first_row, n_rows, rows, file, shape, dtype FROM segments WHERE kind = ? "
            "ORDER BY id",
            (self._kind,),
        )
        known = {file.path: file for file in self._files}
        files, numbers = [], []
        for first, n_rows, blob, name, shape, dtype in segments:
            path = long_path(self._project.cache_folder / name)
            item_shape = tuple(json.loads(shape))
            if not _is_whole(path, n_rows * math.prod(item_shape) * np.dtype(dtype).itemsize):
                continue
            file = known.get(path)
            files.append(file or SegmentFile(path, (n_rows, *item_shape), np.dtype(dtype)))
            numbers.append(_row_numbers(first, n_rows, blob))
            self.item_shape, self.dtype = item_shape, np.dtype(dtype)
        n_total = max((int(rows.max()) + 1 for rows in numbers), default=0)
        segment_of = np.full(n_total, -1, dtype=np.int32)
        offset_of = np.zeros(n_total, dtype=np.int32)
        for position, rows in enumerate(numbers):
            segment_of[rows] = position
            offset_of[rows] = np.arange(len(rows), dtype=np.int32)
        self._files = files
        self._segment_of, self._offset_of = segment_of, offset_of

    def __len__(self) -> int:
        """Return how many rows are there."""
        return int(np.count_nonzero(self._segment_of >= 0))

    def has(self, row: int) -> bool:
        """Return whether a row is there."""
        return 0 <= row < len(self._segment_of) and bool(self._segment_of[row] >= 0)

    def missing(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of ``rows`` that aren't there, in their order."""
        is_inside = (rows >= 0) & (rows < len(self._segment_of))
        is_there = np.zeros(len(rows), dtype=np.bool_)
        is_there[is_inside] = self._segment_of[rows[is_inside]] >= 0
        return rows[~is_there]

    def row(self, row: int) -> _Item:
        """Return one item as a new array.

        Raises:
            ProjectError: If the row isn't there, or its file is damaged.
            StorageError: If the file can't be read.
        """
        item: _Item = self.read(np.array([row]))[0]
        return item

    def read(self, rows: NDArray[np.int64]) -> _Item:
        """Return items as a new array of shape ``(len(rows), *item_shape)``, in the order asked.

        Raises:
            ProjectError: If one of the rows isn't there, or a file is damaged.
            StorageError: If a file can't be read.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if len(self.missing(rows)):
            raise _not_there()
        items = np.empty((len(rows), *(self.item_shape or ())), dtype=self.dtype or np.uint8)
        segments = self._segment_of[rows]
        for position in np.unique(segments):
            places = np.flatnonzero(segments == position)
            try:
                self._files[position].read_into(items, places, self._offset_of[rows[places]])
            except OSError as error:
                raise storage_error(error, "the image cache", reading=True) from error
            except ValueError as error:
                raise _not_there() from error
        return items

    def copies(self, rows: Sequence[int]) -> dict[int, _Item]:
        """Return new arrays of those of ``rows`` that are there.

        Raises:
            ProjectError: If a file is damaged.
            StorageError: If a file can't be read.
        """
        there = sorted({row for row in rows if self.has(row)})
        return dict(zip(there, self.read(np.array(there, dtype=np.int64)), strict=True))

    def close(self) -> None:
        """Let go of the files; a later read opens them again."""
        for file in self._files:
            file.close()


def _is_whole(file: Path, n_bytes: int) -> bool:
    try:
        return file.stat().st_size > n_bytes  # the header adds some
    except OSError:
        return False


def _row_numbers(first_row: int, n_rows: int, blob: bytes | None) -> NDArray[np.int64]:
    if blob is None:
        return np.arange(first_row, first_row + n_rows, dtype=np.int64)
    return np.frombuffer(blob, dtype="<i8").astype(np.int64)


def _not_there() -> ProjectError:
    return ProjectError(
        "Some images aren't in the project's cache, or the cache is damaged.",
        remedy="Import the images again; labels and splits are kept.",
    )
