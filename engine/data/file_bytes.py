"""The bytes of a file, and a user's sentence for each way not to get them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.contract.errors import UnreadableImageError
from engine.files import long_path

MAX_FILE_BYTES: Final = 1 << 30


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        UnreadableImageError: If it can't be opened, or is larger than 1 GB.
    """
    try:
        path = long_path(path)
        n_bytes = path.stat().st_size
        if n_bytes > MAX_FILE_BYTES:
            raise UnreadableImageError(
                f"The file has {n_bytes / 2**30:.1f} GB, more than the 1 GB that RadTune reads.",
                remedy="Save it smaller, or leave it out.",
            )
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(error) from error


def read_beginning(path: Path, n_bytes: int) -> bytes:
    """Return the first bytes of a file.

    Raises:
        UnreadableImageError: If it can't be opened or read.
    """
    try:
        with long_path(path).open("rb") as file:
            return file.read(n_bytes)
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> UnreadableImageError:
    if isinstance(error, FileNotFoundError):
        return UnreadableImageError(
            "The file isn't there any more.", remedy="Put it back, or show where it is now."
        )
    if isinstance(error, PermissionError):
        return UnreadableImageError(
            "The system doesn't allow reading the file.",
            remedy="Ask for permission to read it, or copy it to your own disk.",
        )
    return UnreadableImageError(
        "The disk could not read the file.", remedy="Check the disk, then try again."
    )
