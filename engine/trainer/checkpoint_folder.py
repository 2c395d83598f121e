"""A folder of tensors as safetensors and facts as JSON, with checksums of both; no pickle.

Files are read whole, not mapped: a map would keep a folder from being replaced on Windows as long
as the run lasts.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from engine.contract.errors import StorageError
from engine.files import long_path, make_folder, sha256_file, signed, write_atomic, write_json

DAMAGE: Final = (SafetensorError, ValueError, KeyError, TypeError)
"""What reading a file raises that isn't what was written."""


class FileNames(NamedTuple):
    """What the two files of a folder are called."""

    tensors: str
    facts: str


def write_folder(
    writing: Path, names: FileNames, tensors: dict[str, Tensor], facts: dict[str, Any]
) -> None:
    """Write tensors and facts into a folder of their own, or leave none.

    Args:
        writing: The folder; the one that holds it is made, too, if need be, but no other.
        names: Of the files.
        tensors: By name.
        facts: Plain values that JSON can hold.

    Raises:
        StorageError: If the disk is full, gone, or can't be written.
    """
    shutil.rmtree(writing, ignore_errors=True)
    try:
        for folder in (writing.parent, writing):
            make_folder(folder, parents=False)
        data = save({name: tensor.contiguous() for name, tensor in tensors.items()})
        write_atomic(writing / names.tensors, data)
        digest = {"sha256": sha256_file(writing / names.tensors)}
        write_json(writing / names.facts, signed(facts | digest))
    except BaseException:
        shutil.rmtree(writing, ignore_errors=True)
        raise


def content_of(path: Path) -> bytes | None:
    """Return a file's bytes; None if there is none.

    Raises:
        StorageError: If it can't be read just now.
    """
    try:
        return long_path(path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(
            "What this run has saved can't be read just now: another program holds the file, or "
            "its disk doesn't answer.",
            remedy="Nothing is lost. Wait a moment or connect the disk again, then try again.",
        ) from error
