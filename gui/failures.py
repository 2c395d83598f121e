"""What happens when the window itself has a bug: a log without identifiers, and a message.

The log names places in the code, never messages of exceptions: those can quote paths, and paths
can hold names.
"""

from __future__ import annotations

import contextlib
import faulthandler
import sys
import threading
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

from PySide6.QtCore import QObject, Signal

__all__ = ["FailureReporter"]

_MAX_BYTES: Final = 1_000_000


class FailureReporter(QObject):
    """Takes over what Python would print; the window shows that something happened.

    Signals:
        failure_happened: Emitted in whatever thread failed.
    """

    failure_happened = Signal()

    def install(self) -> None:
        """Take over unhandled exceptions of this thread, of others and of Qt's callbacks."""
        sys.excepthook = self._handle
        threading.excepthook = self._handle_thread
        with contextlib.suppress(OSError):
            folder = _log_folder()
            folder.mkdir(parents=True, exist_ok=True)
            self._crash_file = (folder / "crash-window.log").open("w", encoding="utf-8")
            faulthandler.enable(self._crash_file)

    def _handle(
        self,
        kind: type[BaseException],
        failure: BaseException,
        trace: TracebackType | None,
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, failure, trace)
            return
        log_failure(failure)
        self.failure_happened.emit()

    def _handle_thread(self, arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            self._handle(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)


def log_failure(failure: BaseException) -> None:
    """Append an exception's type and code locations to the log; never raises."""
    lines = [time.strftime("%Y-%m-%d %H:%M:%S"), "window", type(failure).__qualname__]
    for frame in traceback.extract_tb(failure.__traceback__):
        lines.append(f"  {Path(frame.filename).name}:{frame.lineno} in {frame.name}")
    with contextlib.suppress(OSError):
        path = _log_folder() / "failures.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _MAX_BYTES:
            path.replace(path.with_suffix(".old.log"))
        with path.open("a", encoding="utf-8") as stream:
            stream.write("\n".join(lines) + "\n\n")


def _log_folder() -> Path:
    import platformdirs

    return Path(platformdirs.user_log_dir("RadTune", appauthor=False))
