"""What tells RadTune's code that trains from that of another commit or build of one version.

From a checkout it is read from the sources. A built application has none, so the build keeps the
digest as a file, ``engine/code.sha256``, which the window and the engine read.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

CODE_NAME: Final = "code.sha256"
_ENGINE: Final = Path(__file__).resolve().parent.parent
_TRAINING: Final = ("data", "hardware", "methods", "metrics", "models", "trainer", "seeding.py")
"""Whatever decides which weights a run ends with, apart from its settings and libraries."""
_DIGITS: Final = 12


@cache  # the code that was loaded doesn't change while the program runs
def code_digest() -> str:
    """Return hexadecimal digits that name the code that trains; empty if nothing tells."""
    return source_digest(_ENGINE) or kept_digest(_ENGINE)


def source_digest(engine: Path) -> str:
    """Return the digits from the sources; empty where there are none.

    Args:
        engine: Folder of the package ``engine``.
    """
    files = [
        path
        for part in _TRAINING
        for path in ((engine / part).rglob("*.py") if (engine / part).is_dir() else [engine / part])
        if path.is_file()
    ]
    if not files:
        return ""
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.relative_to(engine).as_posix()):
        text = path.read_bytes().replace(b"\r\n", b"\n")  # a checkout on Windows may have these
        digest.update(f"{path.relative_to(engine).as_posix()} {len(text)}\n".encode())
        digest.update(text)
    return digest.hexdigest()[:_DIGITS]


def kept_digest(engine: Path) -> str:
    """Return the digits that a build kept; empty where it kept none."""
    try:
        return (engine / CODE_NAME).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
