"""Which images of a project a pre-training learned from, kept in the project itself.

``pretrained/<digest>.npz`` lists them under the digest of the weights that it made. So the project
knows them again under whatever name they are added, also after its images were divided anew, while
the weights tell nothing of any project. Patients are looked up by the images when that is asked.
The database names the digests, so that a list that got lost is not taken for one that never was.
What a pre-training on another project learned from is known by equal images, on the computer that
made it (:mod:`engine.project.learned_here`).
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.files import long_path, make_folder, write_atomic
from engine.project.folder import PRETRAINED_FOLDER
from engine.project.learned_here import DIGEST, digests_learned_here, records_learned_here
from engine.project.store import Project

_NOTED: Final = "pretrained"


def note_pretraining(project: Project, digest: str, records: NDArray[np.int64]) -> None:
    """Keep what weights learned from, before these can be chosen for a run.

    Args:
        project: One of those that the pre-training learns from.
        digest: SHA-256 of the weights, hexadecimal.
        records: Row ids of the training images, int64 ``(N,)``.

    Raises:
        ProjectError: If the project was away, and another session has opened it meanwhile.
        StorageError: If the project isn't where it was, or the disk is full or can't be written.
    """
    project.require_there()
    with project.transaction():
        project.db.execute("INSERT OR REPLACE INTO meta VALUES (?, '')", (f"{_NOTED} {digest}",))
    stream = io.BytesIO()
    np.savez_compressed(stream, records=records)
    path = _file(project, digest)
    make_folder(path.parent, parents=False)
    write_atomic(path, stream.getvalue())


def records_of_pretraining(project: Project, digest: str) -> NDArray[np.int64] | None:
    """Return row ids of the images that weights learned from, int64 ``(N,)``; empty for others.

    None if they learned from this project and the list of the images is damaged or missing.
    """
    if not DIGEST.fullmatch(digest):
        return np.array([], dtype=np.int64)
    elsewhere = records_learned_here(project, digest)
    with (
        contextlib.suppress(Exception),  # a damaged archive fails in any of a dozen ways
        np.load(long_path(_file(project, digest)), allow_pickle=False) as found,
    ):
        return np.union1d(np.asarray(found["records"], dtype=np.int64), elsewhere)
    is_noted = project.db.value("SELECT 1 FROM meta WHERE key = ?", (f"{_NOTED} {digest}",))
    return None if is_noted or long_path(_file(project, digest)).exists() else elsewhere


def digests_of_pretrainings(project: Project) -> list[str]:
    """Return the SHA-256 of the weights that learned from a project's images, or may have."""
    noted = project.db.all("SELECT key FROM meta WHERE key LIKE ?", (f"{_NOTED} %",))
    listed = (project.folder / PRETRAINED_FOLDER).glob("*.npz")
    found = {key.removeprefix(f"{_NOTED} ") for (key,) in noted} | {path.stem for path in listed}
    found.update(digests_learned_here(project))
    return sorted(digest for digest in found if DIGEST.fullmatch(digest))


class Divided(Protocol):
    """Images with their patients; a :class:`TrainingTable` is one."""

    @property
    def patients(self) -> NDArray[np.int64]:
        """Row ids of patients, int64 ``(N,)``."""

    @property
    def groups(self) -> NDArray[np.int64]:
        """What stays on one side of a split, int64 ``(N,)``."""


def is_known(project: Project, table: Divided, records: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which images are of patients that something learned from, shape ``(N,)``.

    Args:
        project: Open.
        table: The usable images.
        records: Row ids of what was learned from; they may be out of use by now.
    """
    return is_of(table, patients_of(project, records))


def patients_of(project: Project, records: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the patients of images, those out of use among them, as increasing row ids."""
    patient_of = dict(project.db.all("SELECT id, patient_id FROM records"))
    found = {patient_of[record] for record in records.tolist() if record in patient_of}
    return np.array(sorted(found), dtype=np.int64)


def is_of(table: Divided, patients: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which images are of some patients, or of those linked with them, shape ``(N,)``."""
    return np.isin(table.groups, table.groups[np.isin(table.patients, patients)])


def _file(project: Project, digest: str) -> Path:
    return project.folder / PRETRAINED_FOLDER / f"{digest}.npz"
