"""Whether Linux ended a run because the computer's memory was used up.

Its out-of-memory killer leaves the process no time for a word, just as a kill by a user does. But
the kernel counts what it ends. So a run notes the count while it trains; if it is cut off, and the
count has grown when it goes on, memory is the likely reason. A kill for another reason leaves the
count as it is, and the run goes on with the same bits.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from engine.contract.errors import EngineError
from engine.files import long_path, write_json

_NAME: Final = "training.json"
_VMSTAT: Final = Path("/proc/vmstat")
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class MemoryKills:
    """Notes of one run.

    Args:
        folder: The run's.
        require_there: Raises an ``EngineError`` while nothing may be written there.
    """

    def __init__(self, folder: Path, require_there: Callable[[], None]) -> None:
        self._path = long_path(folder / _NAME)
        self._require_there = require_there

    def have_ended_it(self) -> bool:
        """Return whether the run was cut off, and something was ended for memory since it began."""
        try:
            before = json.loads(self._path.read_text(encoding="utf-8"))
            now = _counted()
            return bool(now["boot"] == before["boot"] and now["kills"] > before["kills"])
        except (OSError, ValueError, TypeError, KeyError):  # no note, or no count on this system
            return False

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Keep the present count in the run's folder while the run trains."""
        with contextlib.suppress(OSError, ValueError, KeyError, EngineError):
            counted = _counted()
            self._require_there()
            write_json(self._path, counted)
        try:
            yield
        finally:
            with contextlib.suppress(OSError, EngineError):
                self._require_there()
                self._path.unlink(missing_ok=True)


def _counted() -> dict[str, Any]:
    """Return how many processes the kernel has ended for memory since this start of the computer.

    Raises:
        OSError: On other systems than Linux.
        KeyError: If the kernel doesn't count them, as before Linux 4.13.
    """
    lines = dict(line.split() for line in _VMSTAT.read_text(encoding="ascii").splitlines())
    return {
        "boot": _BOOT.read_text(encoding="ascii").strip(),
        "kills": int(lines["oom_kill"]),
    }
