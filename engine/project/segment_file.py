"""The file of one segment, read by position.

Not through a memory map: where a disk is pulled out or a share goes away, touching a map ends the
program without a word, while a read that fails is an error like any other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class SegmentFile:
    """Reads items of a ``.npy`` file; any thread may.

    It stays open between reads. After a read that failed it is opened anew, so that a disk that
    was away and has come back serves again.

    Attributes:
        path: Where it lies.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Prepare; nothing is opened before the first read.

        Args:
            path: Where it lies.
            shape: Number of items, then the shape of one.
            dtype: Element type; not an object type.
        """
        self.path = path
        self._shape, self._dtype = shape, dtype
        self._lock = threading.Lock()
        self._file: FileIO | None = None
        self._data_begins = 0

    def read_into(
        self, items: NDArray[Any], places: NDArray[np.intp], offsets: NDArray[np.int32]
    ) -> None:
        """Read the items at ``offsets`` into ``items[places]``.

        Args:
            items: C-contiguous, of the file's element type and shape of an item.
            places: Indices into ``items``, shape ``(n,)``.
            offsets: Of the items in the file, shape ``(n,)``.

        Raises:
            OSError: If the disk refuses.
            ValueError: If the file isn't the array that it should be, or is too short.
        """
        everything = items.reshape(-1).view(np.uint8).data
        n_bytes = items[0].nbytes
        with self._lock:
            try:
                file = self._opened()
                for place, offset, n in _runs(places.tolist(), offsets.tolist()):
                    file.seek(self._data_begins + offset * n_bytes)
                    _read_all(file, everything[place * n_bytes : (place + n) * n_bytes])
            except (OSError, ValueError):
                self._let_go()
                raise

    def _opened(self) -> FileIO:
        if self._file is None:
            self._file = self.path.open("rb", buffering=0)
            version = np.lib.format.read_magic(self._file)
            if version != (1, 0):
                raise ValueError(f"format version {version}")
            shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(self._file)
            if (shape, is_fortran, dtype) != (self._shape, False, self._dtype):
                raise ValueError("another array than the database says")
            self._data_begins = self._file.tell()
        return self._file

    def close(self) -> None:
        """Let go of the file; a later read opens it again."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        """Let go of the file."""
        self._let_go()


def _runs(places: list[int], offsets: list[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (place, offset, length) of the stretches in which both follow one another."""
    begin = 0
    for i in range(1, len(places) + 1):
        is_on = i < len(places) and (
            offsets[i] == offsets[i - 1] + 1 and places[i] == places[i - 1] + 1
        )
        if not is_on:
            yield places[begin], offsets[begin], i - begin
            begin = i


def _read_all(file: FileIO, wanted: memoryview) -> None:
    while n_left := len(wanted):
        n = file.readinto(wanted)
        if not n:
            raise ValueError("the file is too short")
        if n == n_left:
            return
        wanted = wanted[n:]  # one read gives 2 GB at most
