"""Fetches the selected image at full size and depth, a moment after it was selected."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PySide6.QtCore import QObject, QTimer, Signal

from engine.contract.commands import ViewImage
from engine.contract.events import COMPLETED, FAILED, JobFinished
from engine.contract.records import ImageRecord
from gui.session import Session

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ImageLoader"]

_DELAY_MS: Final = 160
"""Long enough that arrow keys held down don't ask for every image on the way."""


class ImageLoader(QObject):
    """Asks the data worker for one image at a time, always the newest one wanted.

    Signals:
        loaded: Record id, array, window (centre and width, or None) and whether the file is
            stored inverted.
        failed: Record id, what happened and what to do.
    """

    loaded = Signal(int, object, object, bool)
    failed = Signal(int, str)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._wanted: int | None = None
        self._running: int | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.setInterval(_DELAY_MS)
        self._delay.timeout.connect(self._start)
        session.jobs.ended.connect(self._on_other_job_ended)

    def want(self, record: ImageRecord | None) -> None:
        """Ask for an image; an earlier wish that hasn't begun is forgotten."""
        self._wanted = record.id if record is not None else None
        if record is None:
            self._delay.stop()
        else:
            self._delay.start()

    def _start(self) -> None:
        folder = self._session.folder
        if self._wanted is None or self._running is not None or folder is None:
            return
        if self._session.jobs.is_busy_with("scan"):
            return  # the worker imports; the thumbnail must do until it has ended
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="radtune-view-")
        self._running = self._wanted
        out = Path(self._folder.name) / "image.npy"
        command = ViewImage(project=str(folder), record=self._running, out=str(out))
        self._session.jobs.start(command, self._on_finished, is_quiet=True)

    def _on_finished(self, finished: JobFinished) -> None:
        record, self._running = self._running, None
        if record is None:
            return
        if record != self._wanted:
            self._start()
            return
        self._wanted = None
        if finished.outcome == COMPLETED and finished.result:
            self._deliver(record, finished.result)
        elif finished.outcome == FAILED:
            self.failed.emit(record, f"{finished.error or ''} {finished.remedy or ''}".strip())

    def _deliver(self, record: int, result: dict[str, Any]) -> None:
        path = Path(str(result["path"]))
        try:
            array = _readable(path)
            path.unlink(missing_ok=True)
        except (OSError, ValueError):
            self.failed.emit(record, self.tr("The image could not be read."))
            return
        center, width = result.get("window_center"), result.get("window_width")
        window = (float(center), float(width)) if center is not None and width else None
        self.loaded.emit(record, array, window, bool(result.get("is_inverted")))

    def _on_other_job_ended(self, finished: JobFinished) -> None:
        if finished.kind == "scan" and self._wanted is not None:
            self._delay.start()


def _readable(path: Path) -> NDArray[Any]:
    """Read an array in a type that the viewer shows.

    Raises:
        OSError: If it is gone.
        ValueError: If it is no array.
    """
    import numpy as np

    array: NDArray[Any] = np.load(path, allow_pickle=False)
    if array.ndim == 3 and array.dtype != np.uint8:
        top = 65535.0 if array.dtype == np.uint16 else max(float(array.max()), 1.0)
        return (array.astype(np.float32) * (255.0 / top)).astype(np.uint8)
    if array.dtype in (np.uint8, np.uint16):
        return array
    return array.astype(np.float32)
