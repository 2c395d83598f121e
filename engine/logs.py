"""The log of unexpected failures: where in the code, never what data.

Messages of exceptions are left out on purpose: they can quote paths, and paths can hold names.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from pathlib import Path
from typing import Final

import platformdirs

_MAX_BYTES: Final = 1_000_000


def log_folder() -> Path:
    """Return the folder of RadTune's logs; it may not exist yet."""
    return Path(platformdirs.user_log_dir("RadTune", appauthor=False))


def log_failure(failure: BaseException) -> Path:
    """Append an exception's type and code locations to the log; never raises.

    Returns:
        The log file.
    """
    path = log_folder() / "failures.log"
    lines = [time.strftime("%Y-%m-%d %H:%M:%S"), *_describe(failure)]
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _MAX_BYTES:
            path.replace(path.with_suffix(".old.log"))
        with path.open("a", encoding="utf-8") as stream:
            stream.write("\n".join(lines) + "\n\n")
    return path


def _describe(failure: BaseException) -> list[str]:
    lines = [type(failure).__qualname__]
    for frame in traceback.extract_tb(failure.__traceback__):
        lines.append(f"  {Path(frame.filename).name}:{frame.lineno} in {frame.name}")
    if failure.__cause__ is not None:
        lines += ["caused by", *_describe(failure.__cause__)]
    return lines
