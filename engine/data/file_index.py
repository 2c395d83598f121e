"""Finding the files that the cells of a label sheet mean."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

NOT_FOUND: Final = "In the sheet but not found."
AMBIGUOUS: Final = "In the sheet, but several files have this name."
_IMAGE_SUFFIXES: Final = frozenset(
    ".png .jpg .jpeg .jpe .jfif .tif .tiff .bmp .dib .dcm .dicom .dic .ima .nii .gif .webp".split()
)


class FileIndex:
    """Finds files by how people write their paths."""

    def __init__(self, root: Path, sheet_folder: Path, files: Sequence[str]) -> None:
        """Index the files.

        Args:
            root: The source folder.
            sheet_folder: Folder of the sheet, which its paths may be relative to.
            files: Relative to ``root``, with forward slashes.
        """
        self._root = _normal(root.as_posix())
        bases = (sheet_folder, root, root.parent)
        self._bases = tuple(dict.fromkeys(_normal(base.as_posix()).rstrip("/") for base in bases))
        self._exact = set(files)
        self._by_key = _indexed((_key(file), file) for file in files)

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        return _indexed((key.rpartition("/")[2], f) for key, fs in self._by_key.items() for f in fs)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return _indexed((_stem(name), f) for name, fs in self._by_name.items() for f in fs)

    @cached_property
    def _by_folder(self) -> dict[str, list[str]]:
        """Files by every folder above them."""
        found: dict[str, list[str]] = defaultdict(list)
        for key, files in self._by_key.items():
            folder = key.rpartition("/")[0]
            while folder:
                found[folder].extend(files)
                folder = folder.rpartition("/")[0]
        return found

    def find(self, written: str) -> str | None:
        """Return the file that a cell of the sheet means, by its path or else its name."""
        return self.find_by_path(written) or self.find_by_name(written)

    def find_by_path(self, written: str) -> str | None:
        """Return the file whose path a cell of the sheet gives, or None.

        Tried in this order: the path relative to the sheet, to the source, or to the folder that
        holds the source, without regard to case and to how accents are written; then without its
        first folders; then the last parts of the files' paths, if only one ends so.
        """
        for candidate in self._relative(written):
            if candidate in self._exact:
                return candidate
            if len(found := self._by_key.get(_key(candidate), [])) == 1:
                return found[0]
        parts = _parts(written)
        for start in range(1, len(parts) - 1):
            if len(found := self._by_key.get("/".join(parts[start:]), [])) == 1:
                return found[0]
        if len(parts) < 2:
            return None
        found = self._ending(len(parts)).get("/".join(parts), [])
        return found[0] if len(found) == 1 else None

    def find_by_name(self, written: str) -> str | None:
        """Return the one file with the name that a cell gives, whatever its folders, or None.

        A file may have another suffix than the cell, or the cell none.
        """
        found = self._alike(written)
        return found[0] if len(found) == 1 else None

    def find_folder(self, written: str) -> list[str]:
        """Return the files beneath the folder that a cell means; none if it means no folder."""
        for candidate in self._relative(written):
            if found := self._by_folder.get(_key(candidate)):
                return found
        name = _key(_slashes(written)).strip("/")
        above = self._folders_by_name.get(name, [])
        return self._by_folder[above[0]] if len(above) == 1 else []

    @cached_property
    def _folders_by_name(self) -> dict[str, list[str]]:
        return _indexed((folder.rpartition("/")[2], folder) for folder in self._by_folder)

    def why_not(self, written: str) -> str:
        """Return why :meth:`find` finds nothing, as a sentence."""
        return AMBIGUOUS if len(self._alike(written)) > 1 else NOT_FOUND

    def _alike(self, written: str) -> list[str]:
        """Return the files with the name that a cell gives; else those that differ in suffix."""
        name = (_parts(written) or [""])[-1]
        for index, key in (
            (self._by_name, name),
            (self._by_stem, name),
            (self._by_stem, _stem(name, only_images=True)),
        ):
            if found := index.get(key, []):
                return found
        return []

    def _ending(self, n_parts: int) -> dict[str, list[str]]:
        """Return the files by their last parts."""
        if n_parts not in self._endings:
            self._endings[n_parts] = _indexed(
                ("/".join(key.split("/")[-n_parts:]), file)
                for key, files in self._by_key.items()
                for file in files
            )
        return self._endings[n_parts]

    @cached_property
    def _endings(self) -> dict[int, dict[str, list[str]]]:
        return {}

    def _relative(self, written: str) -> list[str]:
        """Return what a path may be relative to the source."""
        text = _slashes(written)
        prefix = self._root if self._root.endswith("/") else self._root + "/"
        is_plain = "./" not in text and "//" not in text
        candidates = []
        for base in self._bases:
            whole = text if _is_absolute(text) else f"{base}/{text}"
            whole = whole if is_plain else _normal(whole)
            if whole.startswith(prefix):
                candidates.append(whole[len(prefix) :])
        return candidates


def _indexed(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, file in pairs:
        found.setdefault(key, []).append(file)
    return found


def _slashes(written: str) -> str:
    return written.strip().strip('"').replace("\\", "/")


def _parts(written: str) -> list[str]:
    return [part for part in _key(_slashes(written)).split("/") if part not in ("", ".")]


def _is_absolute(text: str) -> bool:
    return text.startswith("/") or re.match(r"[A-Za-z]:/", text) is not None


def _normal(path: str) -> str:
    """Resolve ``.`` and ``..`` without looking at the disk."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts and parts[-1] not in ("", ".."):
                parts.pop()
        elif part != "." and (part or not parts):
            parts.append(part)
    return "/".join(parts) or "/"


def _stem(name: str, *, only_images: bool = False) -> str:
    """Return a name without its suffix (``a.nii.gz`` has two); else the name itself."""
    stem, dot, suffix = name.removesuffix(".gz").rpartition(".")
    if not stem or (only_images and f"{dot}{suffix}" not in _IMAGE_SUFFIXES):
        return name
    return stem


def _key(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
