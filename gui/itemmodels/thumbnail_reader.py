"""Reads thumbnails beside the window's thread, so that a slow disk never stops a scrolling grid."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from engine.contract.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.project.thumbnails import Thumbnails

    _Pixels = NDArray[np.uint8]

__all__ = ["ThumbnailReader"]

_PATIENCE_S: Final = 0.004
_N_KEPT: Final = 512
_N_AT_ONCE: Final = 16
_IDLE_S: Final = 2.0
_N_THREADS: Final = 2  # one reads for the eye while another is still busy with what lies ahead


class ThumbnailReader:
    """Hands out thumbnails; those not read yet are awaited for a moment, and told of later.

    From a warm cache they come within that moment, so a grid is painted whole at once. From a cold
    disk or a network drive they come when they come, and the grid stays smooth meanwhile.

    Nothing here is Qt's, since its threads hold on to it: the window asks whether pictures came.
    """

    def __init__(self) -> None:
        self._has_arrived = False
        self._thumbnails: Thumbnails | None = None
        self._changed = threading.Condition()  # guards all below
        self._wanted: list[int] = []
        self._ahead: list[int] = []
        self._read: OrderedDict[int, _Pixels] = OrderedDict()
        self._being_read: set[int] = set()
        self._missed: set[int] = set()
        self._n_threads = 0
        self._is_painting = False
        self._is_patient_until = 0.0

    def set_thumbnails(self, thumbnails: Thumbnails | None) -> None:
        """Read from another project, and wait for no more of this one's."""
        with self._changed:
            self._thumbnails = thumbnails
            self._wanted, self._ahead = [], []
            self._read.clear()
            self._missed.clear()

    @property
    def n_awaited(self) -> int:
        """How many pictures somebody had to do without, and are still to come."""
        return len(self._missed)

    def want(self, rows: Sequence[int], ahead: Sequence[int] = ()) -> None:
        """Read these next, in their order, instead of what was wanted before.

        Args:
            rows: Pictures that are to be seen now.
            ahead: Pictures that may be seen soon; not read while :meth:`painting`.
        """
        with self._changed:
            self._wanted = [row for row in rows if self._is_news(row)]
            self._ahead = [row for row in ahead if self._is_news(row)]
            self._missed.intersection_update(rows)
            self._begin()

    @contextlib.contextmanager
    def painting(self) -> Iterator[None]:
        """Leave Python to the window while it paints, but for pictures that are to be seen now."""
        with self._changed:
            self._is_painting = True
            self._is_patient_until = time.monotonic() + _PATIENCE_S
        try:
            yield
        finally:
            with self._changed:
                self._is_painting = False
                self._begin()

    def picture(self, row: int) -> _Pixels | None:
        """Return a thumbnail, if it is there or comes within a small part of a frame.

        uint8, (128, 128) or for colour (128, 128, 3). None if the project has none or it isn't read
        yet; then :meth:`has_more` tells when it is. Only within :meth:`painting` it waits.
        """
        with self._changed:
            if self._is_news(row):
                self._wanted = [row, *(other for other in self._wanted if other != row)]
                self._ahead = [other for other in self._ahead if other != row]
                self._begin()
            patience_s = self._is_patient_until - time.monotonic()
            if self._is_coming(row) and patience_s > 0:
                self._changed.wait_for(lambda: not self._is_coming(row), patience_s)
            if self._is_coming(row):
                self._missed.add(row)
            return self._read.pop(row, None)  # whoever paints it keeps it as painted

    def has_more(self) -> bool:
        """Return whether pictures that somebody had to do without came since it was last asked."""
        with self._changed:
            has_arrived, self._has_arrived = self._has_arrived, False
        return has_arrived

    def _is_news(self, row: int) -> bool:
        return row not in self._read and row not in self._being_read

    def _is_coming(self, row: int) -> bool:
        return row in self._being_read or row in self._wanted or row in self._ahead

    def _begin(self) -> None:
        """Let threads read while there is something to read."""
        if self._thumbnails is None:
            self._wanted, self._ahead = [], []
        if not self._may_read():
            return
        self._changed.notify_all()
        while self._n_threads < _N_THREADS:
            self._n_threads += 1
            threading.Thread(target=self._work, name="thumbnails", daemon=True).start()

    def _may_read(self) -> bool:
        return bool(self._wanted) or (bool(self._ahead) and not self._is_painting)

    def _work(self) -> None:
        """Read what is wanted, until nothing has been for a while."""
        while True:
            with self._changed:
                is_called = self._changed.wait_for(self._may_read, _IDLE_S)
                source = self._wanted or self._ahead
                rows = source[:_N_AT_ONCE]
                thumbnails = self._thumbnails
                if not is_called or thumbnails is None:
                    self._n_threads -= 1
                    return
                del source[:_N_AT_ONCE]
                self._being_read |= set(rows)
            found: dict[int, _Pixels] = {}
            with contextlib.suppress(EngineError):  # gone; importing again makes them
                found = thumbnails.copies(rows)
            with self._changed:
                self._being_read -= set(rows)
                if thumbnails is not self._thumbnails:
                    continue
                self._read |= found
                while len(self._read) > _N_KEPT:
                    self._read.popitem(last=False)
                self._has_arrived |= not self._missed.isdisjoint(found)
                self._missed -= set(rows)
                self._changed.notify_all()
