"""Which images the pre-trainings on this computer learned from, for projects that hold them, too.

A project keeps which of its images weights learned from (:mod:`engine.project.learned_before`).
Another one that was made from the same folder, or that shares some of its images, knows them by
what ``learned/<digest>.npz`` beside the added weights lists: of each image the first 64 bits of
:attr:`engine.project.records.NewRecord.pixel_hash`. The weights themselves still tell nothing, so
that they can be given away; the lists stay on this computer.
"""

from __future__ import annotations

import contextlib
import io
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.files import long_path, make_folder, write_atomic
from engine.project.store import Project
from engine.weights_folder import weights_folder

_FOLDER: Final = "learned"
_DIGITS: Final = 16  # of a hash: two of 100,000 images agree by chance once in a billion
_MOST_LISTS: Final = 64


def note_learned_images(project: Project, digest: str, records: NDArray[np.int64]) -> None:
    """Keep which images weights learned from, with those that are listed already.

    Args:
        project: One of those that the pre-training learns from.
        digest: SHA-256 of the weights, hexadecimal.
        records: Row ids of the training images, int64 ``(N,)``.

    Raises:
        StorageError: If the disk is full or can't be written.
    """
    ids, images = _images_of(project)
    listed = np.union1d(_listed(digest), images[np.isin(ids, records)])
    stream = io.BytesIO()
    np.savez_compressed(stream, images=listed)
    path = _file(digest)
    make_folder(path.parent)
    write_atomic(path, stream.getvalue())


def records_learned_here(project: Project, digest: str) -> NDArray[np.int64]:
    """Return row ids of the images that weights learned from in any project, int64 ``(N,)``.

    Empty if no list says so, also where it is damaged.
    """
    listed = _listed(digest)
    if not len(listed):
        return np.array([], dtype=np.int64)
    ids, images = _images_of(project)
    return ids[np.isin(images, listed)]


def digests_learned_here(project: Project) -> list[str]:
    """Return the SHA-256 of the weights that learned from images which a project holds."""
    folder = long_path(weights_folder() / _FOLDER)
    with contextlib.suppress(OSError):
        found = sorted(path.stem for path in folder.glob("*.npz"))
        return [digest for digest in found if len(records_learned_here(project, digest))]
    return []


def _images_of(project: Project) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return row ids, and what the lists call the images; without those of no known pixels."""
    rows = project.db.all("SELECT id, pixel_hash FROM records WHERE pixel_hash <> ''")
    ids = np.array([record for record, _ in rows], dtype=np.int64)
    return ids, np.array([int(value[:_DIGITS], 16) for _, value in rows], dtype=np.uint64)


def _listed(digest: str) -> NDArray[np.uint64]:
    path = long_path(_file(digest))
    with contextlib.suppress(OSError):
        return _read(path, path.stat().st_mtime_ns)
    return np.array([], dtype=np.uint64)


@lru_cache(maxsize=_MOST_LISTS)
def _read(path: Path, _changed_ns: int) -> NDArray[np.uint64]:
    with (
        contextlib.suppress(Exception),  # a damaged archive fails in any of a dozen ways
        np.load(path, allow_pickle=False) as found,
    ):
        return np.asarray(found["images"], dtype=np.uint64)
    return np.array([], dtype=np.uint64)


def _file(digest: str) -> Path:
    return weights_folder() / _FOLDER / f"{digest}.npz"
