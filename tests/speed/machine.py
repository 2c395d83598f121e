"""What the figures were measured on, and the folder of real radiographs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


def describe_machine() -> str:
    """Return processor count, load and memory in one line."""
    load = psutil.getloadavg()[0]
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, load {load:.1f} before, {memory:.0f} GiB"


def data_folder() -> Path:
    """Return the folder of real radiographs beside the checkout, or end the program."""
    named = os.environ.get("RADTUNE_TEST_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        sys.exit(f"no real radiographs in {folder}; name their folder in RADTUNE_TEST_DATA")
    return folder
