"""A decode process whose decoder does what the names of files say, as a broken codec might.

``python -m tests.helpers.fragile_decoder``: a name with ``crash`` ends the process, ``hang`` never
returns, ``hog`` takes all the memory it gets, ``stall`` waits for a disk, ``late`` ends the process
after three frames; ``once-`` before one of these does so the first time only.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from engine.data.decode_child import Activity, FileDecoder, serve
from engine.data.decode_messages import DecodedFrame, DecodeSettings, Job

_decode = FileDecoder()


def fragile_command() -> list[str]:
    """Return the command line that starts this process instead of the real one."""
    return [sys.executable, "-m", "tests.helpers.fragile_decoder"]


def _decode_or_break(
    job: Job, settings: DecodeSettings, activity: Activity
) -> Iterator[DecodedFrame]:
    path = Path(job.root) / job.path
    is_sound = "once-" in path.name and _was_here(path)
    if not is_sound:
        _break(path.name, activity)
    for number, frame in enumerate(_decode(job, settings, activity)):
        if "late" in path.name and number == 3 and not is_sound:
            os._exit(9)
        yield frame


def _break(name: str, activity: Activity) -> None:
    if "crash" in name:
        os._exit(9)
    if "stall" in name:
        activity.begin_reading()
        time.sleep(600)
    if "hang" in name:
        activity.begin_decoding()
        time.sleep(600)
    if "hog" in name:
        activity.begin_decoding()
        hoard = []
        while True:
            hoard.append(bytearray(16 << 20))
            time.sleep(0.02)


def _was_here(path: Path) -> bool:
    mark = path.with_suffix(".mark")
    if mark.exists():
        return True
    mark.touch()
    return False


if __name__ == "__main__":
    stream = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    serve(os.fdopen(0, "rb"), stream, _decode_or_break)
