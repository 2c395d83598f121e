"""Which images the pre-trainings on this computer learned from, for projects that hold them, too.

A project keeps which of its images weights learned from (:mod:`engine.project.learned_before`).
Another one that was made from the same folder, or that shares some of its images, knows them by
what ``learned/<digest>.images`` beside the added weights lists: of each image the first 64 bits of
:attr:`engine.project.records.NewRecord.pixel_hash`, as a compressed archive of NumPy's. A file of
weights that is given away tells nothing of that.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.files import long_path, make_folder, write_atomic
from engine.project.store import Project
from engine.weights_folder import weights_folder

_FOLDER: Final = "learned"
_ENDING: Final = ".images"  # none that files of weights have, lest a folder of them is searched
_DIGITS: Final = 16  # of a hash: two of 100,000 images agree by chance once in a billion
_MOST_PROJECTS: Final = 4
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
"""A SHA-256, as it names a file."""
_NONE: Final = np.array([], dtype=np.uint64)
_Images = tuple[NDArray[np.int64], NDArray[np.uint64]]
_read_before: dict[tuple[Path, bytes, int | None], _Images] = {}


def note_learned_images(digest: str, learned: Iterable[tuple[Project, NDArray[np.int64]]]) -> None:
    """Keep which images weights learned from.

    Args:
        digest: SHA-256 of the weights, hexadecimal.
        learned: All projects that the pre-training learned from, and the row ids of the training
            images, int64 ``(N,)``.

    Raises:
        StorageError: If the disk is full or can't be written.
    """
    listed = _NONE
    for project, records in learned:
        ids, images = _images_of(project)
        listed = np.union1d(listed, images[np.isin(ids, records)])
    stream = io.BytesIO()
    np.savez_compressed(stream, images=listed)
    path = _file(digest)
    make_folder(path.parent)
    write_atomic(path, stream.getvalue())


def records_learned_here(project: Project, digest: str) -> NDArray[np.int64]:
    """Return row ids of the images that weights learned from in any project, int64 ``(N,)``.

    Empty if no list says so, also where it is damaged: see :func:`is_list_damaged`.
    """
    listed = _listed(digest)
    if listed is None or not len(listed):
        return np.array([], dtype=np.int64)
    ids, images = _images_of(project)
    return ids[np.isin(images, listed)]


def is_list_damaged(digest: str) -> bool:
    """Return whether there is a list of the images that weights learned from, but not readable."""
    return _listed(digest) is None


def digests_learned_here(project: Project) -> list[str]:
    """Return the SHA-256 of weights that learned from a project's images, or may have.

    They may where the list is damaged.
    """
    folder = long_path(weights_folder() / _FOLDER)
    with contextlib.suppress(OSError):
        found = sorted(path.stem for path in folder.glob(f"*{_ENDING}"))
        return [
            digest
            for digest in found
            if is_list_damaged(digest) or len(records_learned_here(project, digest))
        ]
    return []


def _images_of(project: Project) -> _Images:
    """Return row ids, and what the lists call the images; without those of no known pixels."""
    newest = project.db.value("SELECT max(id) FROM records")
    # Records are added, never removed, and their pixels stay; copies of a project share its salt.
    key = (project.folder, project.salt, newest)
    if key not in _read_before:
        rows = project.db.all("SELECT id, pixel_hash FROM records WHERE pixel_hash <> ''")
        if len(_read_before) >= _MOST_PROJECTS:
            _read_before.clear()
        _read_before[key] = (
            np.array([record for record, _ in rows], dtype=np.int64),
            np.array([int(value[:_DIGITS], 16) for _, value in rows], dtype=np.uint64),
        )
    return _read_before[key]


def _listed(digest: str) -> NDArray[np.uint64] | None:
    """Return what a list names; nothing if there is none, None if it is damaged."""
    if not DIGEST.fullmatch(digest):  # a bundle may say anything
        return _NONE
    path = long_path(_file(digest))
    with (
        contextlib.suppress(Exception),  # a damaged archive fails in any of a dozen ways
        np.load(path, allow_pickle=False) as found,
    ):
        return np.asarray(found["images"], dtype=np.uint64)
    return None if path.exists() else _NONE


def _file(digest: str) -> Path:
    return weights_folder() / _FOLDER / f"{digest}{_ENDING}"
