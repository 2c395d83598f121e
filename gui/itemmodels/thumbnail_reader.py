"""Reads thumbnails beside the window's thread, so that a slow disk never stops a scrolling grid."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QObject, QTimer, Signal

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
_LOOK_MS: Final = 15
_N_THREADS: Final = 2  # one reads for the eye while another is still busy with what lies ahead


class ThumbnailReader(QObject):
    """Hands out thumbnails; those not read yet are awaited for a moment, and told of later.

    From a warm cache they come within that moment, so a grid is painted whole at once. From a cold
    disk or a network drive they come when they come, and the grid stays smooth meanwhile.

    Signals:
        arrived: Thumbnails that :meth:`picture` had to do without are there now.
    """

    arrived = Signal()

    def __init__(self) -> None:
        super().__init__()  # no parent: a thread that still reads must find it alive
        # The threads touch nothing of Qt's: the window looks for what they have read.
        self._look = QTimer(self)
        self._look.setInterval(_LOOK_MS)
        self._look.timeout.connect(self._tell)
        self._has_arrived = False
        self._thumbnails: Thumbnails | None = None
        self._changed = threading.Condition()  # guards all below
        self._wanted: list[int] = []
        self._read: OrderedDict[int, _Pixels] = OrderedDict()
        self._being_read: set[int] = set()
        self._missed: set[int] = set()
        self._n_threads = 0
        self._is_painting = False
        self._awaited: int | None = None
        self._is_patient_until = 0.0

    def set_thumbnails(self, thumbnails: Thumbnails | None) -> None:
        """Read from another project, and wait for no more of this one's."""
        with self._changed:
            self._thumbnails = thumbnails
            self._wanted = []
            self._read.clear()
            self._missed.clear()

    @property
    def n_awaited(self) -> int:
        """How many pictures somebody had to do without, and are still to come."""
        return len(self._missed)

    def want(self, rows: Sequence[int]) -> None:
        """Read these next, in their order, instead of what was wanted before."""
        with self._changed:
            self._wanted = [row for row in rows if self._is_news(row)]
            self._missed.intersection_update(rows)
            self._begin()

    @contextlib.contextmanager
    def painting(self) -> Iterator[None]:
        """Leave Python to the window while it paints, but for pictures that it needs now."""
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
        yet; then :attr:`arrived` tells when it is. Only within :meth:`painting` it waits.
        """
        with self._changed:
            if self._is_news(row):
                self._wanted = [row, *(other for other in self._wanted if other != row)]
                self._begin()
            patience_s = self._is_patient_until - time.monotonic()
            if self._is_coming(row) and patience_s > 0:
                self._awaited = row
                self._changed.notify_all()
                self._changed.wait_for(lambda: not self._is_coming(row), patience_s)
                self._awaited = None
            if self._is_coming(row):
                self._missed.add(row)
                self._look.start()
            return self._read.pop(row, None)  # whoever paints it keeps it as painted

    def _is_news(self, row: int) -> bool:
        return row not in self._read and row not in self._being_read

    def _is_coming(self, row: int) -> bool:
        return row in self._being_read or row in self._wanted

    def _begin(self) -> None:
        """Let threads read while there is something to read."""
        if self._thumbnails is None:
            self._wanted = []
        if not self._wanted:
            return
        self._changed.notify_all()
        while self._n_threads < _N_THREADS:
            self._n_threads += 1
            threading.Thread(target=self._work, name="thumbnails", daemon=True).start()

    def _may_read(self) -> bool:
        return self._awaited in self._wanted if self._is_painting else bool(self._wanted)

    def _work(self) -> None:
        """Read what is wanted, until nothing has been for a while."""
        while True:
            with self._changed:
                is_called = self._changed.wait_for(self._may_read, _IDLE_S)
                rows = self._wanted[:_N_AT_ONCE]
                thumbnails = self._thumbnails
                if not is_called or thumbnails is None:
                    self._n_threads -= 1
                    return
                del self._wanted[:_N_AT_ONCE]
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

    def _tell(self) -> None:
        with self._changed:
            has_arrived, self._has_arrived = self._has_arrived, False
            if not self._missed:
                self._look.stop()
        if has_arrived:
            self.arrived.emit()
