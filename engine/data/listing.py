"""Which files a source folder holds, in an order that doesn't depend on the machine."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from engine.contract.errors import DatasetError
from engine.contract.records import SkippedFile
from engine.data.images import is_candidate
from engine.data.tables import TABLE_SUFFIXES
from engine.files import long_path
from engine.project.folder import PARTS, readable
from engine.project.store import RUN_PROJECT, has_project

_NO_TEXT = "The name holds letters that are no valid Unicode; rename it."
_SYSTEM_FOLDERS = frozenset({"__macosx", "$recycle.bin", "system volume information"})


@dataclass
class Listing:
    """What lies in a folder.

    Attributes:
        root: The folder.
        files: Every ordinary file, relative to ``root`` with forward slashes, sorted.
        skipped: Folders that could not be opened, and names that can't be kept as text.
    """

    root: Path
    files: list[str] = field(default_factory=list)
    skipped: list[SkippedFile] = field(default_factory=list)

    def path(self, name: str) -> Path:
        """Return where a file of the listing is."""
        return self.root / name

    def images(self, on_file: Callable[[], None] | None = None) -> list[str]:
        """Return the files that may be images; those with a telling name are not opened."""
        found = []
        for name in self.files:
            if on_file is not None:
                on_file()
            if is_candidate(self.path(name)):
                found.append(name)
        return found

    def tables(self) -> list[str]:
        """Return the label sheets at the top of the folder; those named like one come first."""
        found = [
            name
            for name in self.files
            if "/" not in name and PurePosixPath(name).suffix.lower() in TABLE_SUFFIXES
        ]
        return sorted(found, key=_table_rank)


def _table_rank(name: str) -> tuple[bool, bool, str]:
    lowered = name.lower()
    return "label" not in lowered and "标签" not in lowered, not lowered.endswith(".csv"), name


def list_files(root: Path, on_folder: Callable[[], None] | None = None) -> Listing:
    """Walk a folder, following links but no loop of them.

    Hidden files, system folders, RadTune's own projects and the results beside them are left out.

    Args:
        root: Folder to walk.
        on_folder: Called for every folder; may raise to give up.

    Raises:
        DatasetError: If the folder doesn't exist or can't be opened.
    """
    if not long_path(root).is_dir():
        raise DatasetError(
            "The folder of images doesn't exist, or its disk isn't connected.",
            remedy="Check the folder's name and choose it again.",
        )
    listing = Listing(root)
    _walk(root, "", listing, set(), on_folder)
    listing.files.sort(key=_sort_key)
    if not listing.files and listing.skipped and listing.skipped[0].path == ".":
        raise DatasetError(
            "The system doesn't allow opening the folder of images.",
            remedy="Ask for permission to read it, or copy it to your own disk.",
        )
    return listing


def _sort_key(name: str) -> tuple[str, ...]:
    return tuple(unicodedata.normalize("NFC", name).split("/"))


def _walk(
    folder: Path,
    prefix: str,
    listing: Listing,
    visited: set[tuple[int, int]],
    on_folder: Callable[[], None] | None,
) -> None:
    """Add the files of one folder and those below; ``visited`` holds device and number of each."""
    if on_folder is not None:
        on_folder()
    folder = long_path(folder)
    try:
        status = folder.stat()
        # Some network disks number every folder 0.
        if status.st_ino and (identity := (status.st_dev, status.st_ino)) in visited:
            return
        if status.st_ino:
            visited.add(identity)
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        listing.skipped.append(
            SkippedFile(path=prefix.rstrip("/") or ".", reason=_why_closed(error))
        )
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        name = prefix + entry.name
        if readable(name) != name:
            listing.skipped.append(SkippedFile(path=readable(name), reason=_NO_TEXT))
            continue
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError:
            continue  # a link into nowhere
        if is_folder and entry.name.lower() not in _SYSTEM_FOLDERS:
            inner = folder / entry.name
            if not _is_of_radtune(inner):
                _walk(inner, f"{name}/", listing, visited, on_folder)
        elif is_file:
            listing.files.append(name)


def _is_of_radtune(folder: Path) -> bool:
    """Return whether a folder is a project, a part of one, or what ``run`` wrote beside one."""
    is_part = folder.name in PARTS and has_project(folder.parent)
    return is_part or has_project(folder) or has_project(folder / RUN_PROJECT)


def _why_closed(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "The system doesn't allow opening this folder."
    return "The disk could not read this folder."
