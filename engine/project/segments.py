"""Arrays with one item per row, in files that are written once and never changed.

A kind (``thumbs``, ``pixels-<contract>``, ``features-<hash>``) is a list of segments of up to
4,096 rows. A segment counts once the database names it, so a crash leaves at most a file that
nobody names. Files are NumPy's ``.npy`` and never unpickled.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from engine.files import long_path, replace_file, storage_error, sync_folder
from engine.project.folder import ProjectFolder

SEGMENT_ROWS: Final = 4096
_KIND: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,80}")  # safe as a file name on every system
_UNFINISHED: Final = ".part"
_Item = NDArray[Any]


class SegmentWriter:
    """Appends items to a kind and begins a new segment every 4,096 rows.

    As a context manager it keeps what was appended, unless an exception ends the block: then the
    unfinished segment is dropped, the finished ones stay.
    """

    def __init__(
        self,
        project: ProjectFolder,
        kind: str,
        item_shape: Sequence[int],
        dtype: DTypeLike,
        first_row: int | None = None,
        import_id: int | None = None,
    ) -> None:
        """Prepare; nothing is written before the first item.

        Args:
            project: Where to write.
            kind: Lower-case letters, digits and hyphens.
            item_shape: Shape of one item.
            dtype: Element type; not an object type.
            first_row: Row of the first item; None if rows are given with every item.
            import_id: The unfinished import that the segments go with, if it is dropped.

        Raises:
            ValueError: If the kind or the type can't be stored.
        """
        if not _KIND.fullmatch(kind):
            raise ValueError(f"not a kind of segment: {kind!r}")
        self._project = project
        self._kind = kind
        self._item_shape = tuple(item_shape)
        self._dtype = np.dtype(dtype)
        if self._dtype.hasobject:
            raise ValueError("objects can't be stored without pickling")
        self._next_row = first_row
        self._import_id = import_id
        self._rows: list[int] = []
        self._file: BinaryIO | None = None
        self._path = Path()

    def append(self, items: _Item, rows: Sequence[int] | NDArray[np.int64] | None = None) -> None:
        """Add one item or a batch of them.

        Args:
            items: Shape ``item_shape`` or ``(n, *item_shape)``; the exact element type.
            rows: Row of every item, if they don't follow one another.

        Raises:
            StorageError: If the disk is full or read-only.
            ValueError: If shape, type or number of rows don't fit.
        """
        batch = items[None] if items.shape == self._item_shape else items
        if batch.shape[1:] != self._item_shape or batch.dtype != self._dtype:
            raise ValueError(f"{batch.shape} {batch.dtype} doesn't fit the segment")
        numbers = self._numbered(len(batch), rows)
        while len(batch):
            n = min(len(batch), SEGMENT_ROWS - len(self._rows))
            self._write(np.ascontiguousarray(batch[:n]))
            self._rows += numbers[:n]
            batch, numbers = batch[n:], numbers[n:]
            if len(self._rows) == SEGMENT_ROWS:
                self.commit()

    def _numbered(self, n: int, rows: Sequence[int] | NDArray[np.int64] | None) -> list[int]:
        if rows is not None:
            numbers = [int(row) for row in rows]
            if len(numbers) != n:
                raise ValueError(f"{n} items with {len(numbers)} rows")
            return numbers
        if self._next_row is None:
            raise ValueError("a row is needed for every item")
        first = self._next_row
        self._next_row += n
        return list(range(first, first + n))

    def _write(self, items: _Item) -> None:
        try:
            if self._file is None:
                self._begin()
            assert self._file is not None
            self._file.write(items.data)  # large ones go past the file's buffer, without a copy
        except OSError as error:
            self.abort()
            raise storage_error(error, "the image cache") from error

    def _begin(self) -> None:
        folder = self._project.cache_folder
        folder.mkdir(exist_ok=True)
        self._path = long_path(folder / f"{self._kind}-{secrets.token_hex(6)}.npy")
        self._file = self._path.with_suffix(_UNFINISHED).open("xb")
        self._file.write(self._header(0))

    def _header(self, n_rows: int) -> bytes:
        """Return the header for a number of rows; NumPy leaves room for the first axis to grow."""
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header,
            {
                "descr": np.lib.format.dtype_to_descr(self._dtype),
                "fortran_order": False,
                "shape": (n_rows, *self._item_shape),
            },
        )
        return header.getvalue()

    def commit(self) -> None:
        """Make what was appended count; the next item begins a new segment.

        Raises:
            StorageError: If the disk is full or read-only.
        """
        if (segment := self.rotate()) is not None:
            segment.sync()
            segment.enter()

    def rotate(self) -> FullSegment | None:
        """Begin a new segment with the next item, without waiting for the disk.

        Returns:
            What was appended so far, which doesn't count yet; None if that is nothing.
        """
        if self._file is None:
            return None
        segment = FullSegment(
            project=self._project,
            kind=self._kind,
            rows=np.array(self._rows, dtype="<i8"),
            header=self._header(len(self._rows)),
            shape=json.dumps(self._item_shape),
            dtype=self._dtype.str,
            import_id=self._import_id,
            file=self._file,
            path=self._path,
        )
        self._file, self._rows = None, []
        return segment

    def abort(self) -> None:
        """Drop the unfinished segment; its rows stay unwritten."""
        if self._file is not None:
            _drop(self._file, self._path)
            self._file, self._rows = None, []

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


@dataclass(frozen=True, slots=True, kw_only=True)
class FullSegment:
    """A segment that is written and waits to be safe on the disk, and then to count."""

    project: ProjectFolder
    kind: str
    rows: NDArray[np.int64]
    header: bytes
    shape: str
    dtype: str
    import_id: int | None
    file: BinaryIO
    path: Path

    def sync(self) -> None:
        """Wait until the disk has it; any thread may.

        Raises:
            StorageError: If the disk is full or read-only; the segment is then gone.
        """
        try:
            self.file.seek(0)
            self.file.write(self.header)
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            replace_file(self.path.with_suffix(_UNFINISHED), self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            self.abort()
            raise storage_error(error, "the image cache") from error

    def enter(self) -> None:
        """Make it count, in the project's thread."""
        is_contiguous = bool(np.all(np.diff(self.rows) == 1))
        with self.project.transaction():
            self.project.db.execute(
                """
                INSERT INTO segments
                    (kind, first_row, last_row, n_rows, rows, file, shape, dtype, import_id)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                (
                    self.kind,
                    int(self.rows.min()),
                    int(self.rows.max()),
                    len(self.rows),
                    None if is_contiguous else self.rows.tobytes(),
                    self.path.name,
                    self.shape,
                    self.dtype,
                    self.import_id,
                ),
            )

    def abort(self) -> None:
        """Drop it."""
        _drop(self.file, self.path)


def _drop(file: BinaryIO, path: Path) -> None:
    with contextlib.suppress(OSError):  # a full disk refuses the last bytes once more
        file.close()
    with contextlib.suppress(OSError):  # the next opening of the project removes it
        path.with_suffix(_UNFINISHED).unlink(missing_ok=True)


def forget_segments(project: ProjectFolder, kind: str) -> None:
    """Make every row of a kind unwritten; the files go at the next opening."""
    with project.transaction():
        project.db.execute("DELETE FROM segments WHERE kind = ?", (kind,))


def drop_unreferenced(project: ProjectFolder) -> int:
    """Delete cache files that the database doesn't name, and return how many went.

    For whoever holds the project's lock, before anything is read or written: a file that is still
    open can't be deleted on Windows, and stays until the next time.
    """
    named = {row[0] for row in project.db.all("SELECT file FROM segments")}
    n_dropped = 0
    try:
        files = list(long_path(project.cache_folder).iterdir())
    except OSError:
        return 0
    for file in files:
        if file.name in named or file.suffix not in (".npy", _UNFINISHED):
            continue
        try:
            file.unlink()
            n_dropped += 1
        except OSError:
            continue
    return n_dropped
