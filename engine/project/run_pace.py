"""How fast a run was trained and how much memory that took, as its own log says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.contract.errors import ConfigError
from engine.contract.events import BatchFinished
from engine.contract.protocol import decode_event
from engine.files import long_path

__all__ = ["RUN_LOG_NAME", "RunPace", "read_run_pace"]

RUN_LOG_NAME: Final = "events.jsonl"
_TAIL_BYTES: Final = 256 * 1024  # a log may hold a hundred thousand updates


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPace:
    """What the last update of a training that is still in its log's tail says.

    Attributes:
        images_per_s: Images learned from a second.
        memory_mb: Memory of the training process, or of the graphics card; MiB.
    """

    images_per_s: float
    memory_mb: float


def read_run_pace(folder: Path) -> RunPace | None:
    """Return how fast the run of a folder was trained; None where its log doesn't say."""
    try:
        with long_path(folder / RUN_LOG_NAME).open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = stream.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        if '"BatchFinished"' not in line:
            continue
        try:
            event = decode_event(line)
        except (ConfigError, ValueError):  # cut off, or of another version
            continue
        if isinstance(event, BatchFinished) and event.images_per_s > 0:
            return RunPace(images_per_s=event.images_per_s, memory_mb=event.memory_mb)
    return None
