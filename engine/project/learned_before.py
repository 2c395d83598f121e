"""Which images of a project a pre-training learned from, kept in the project itself.

``pretrained/<digest>.npz`` lists them under the digest of the weights that it made. So the project
knows them again under whatever name they are added, also after its images were divided anew, while
the weights tell nothing of any project. Patients are looked up by the images when that is asked.
The database names the digests, so that a list that got lost is not taken for one that never was.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.files import long_path, make_folder, write_atomic
from engine.project.folder import PRETRAINED_FOLDER
from engine.project.store import Project
from engine.project.table import TrainingTable

_NOTED: Final = "pretrained"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def note_pretraining(project: Project, digest: str, records: NDArray[np.int64]) -> None:
    """Keep what weights learned from, before these can be chosen for a run.

    Args:
        project: One of those that the pre-training learns from.
        digest: SHA-256 of the weights, hexadecimal.
        records: Row ids of the training images, int64 ``(N,)``.

    Raises:
        StorageError: If the disk is full or can't be written.
    """
    with project.transaction():
        project.db.execute("INSERT OR REPLACE INTO meta VALUES (?, '')", (f"{_NOTED} {digest}",))
    stream = io.BytesIO()
    np.savez_compressed(stream, records=records)
    path = _file(project, digest)
    make_folder(path.parent)
    write_atomic(path, stream.getvalue())


def records_of_pretraining(project: Project, digest: str) -> NDArray[np.int64] | None:
    """Return row ids of the images that weights learned from, int64 ``(N,)``; empty for others.

    None if they learned from this project and the list of the images is damaged or missing.
    """
    none = np.array([], dtype=np.int64)
    if not _DIGEST.fullmatch(digest):
        return none
    with (
        contextlib.suppress(Exception),  # a damaged archive fails in any of a dozen ways
        np.load(long_path(_file(project, digest)), allow_pickle=False) as found,
    ):
        return np.asarray(found["records"], dtype=np.int64)
    is_noted = project.db.value("SELECT 1 FROM meta WHERE key = ?", (f"{_NOTED} {digest}",))
    return None if is_noted or long_path(_file(project, digest)).exists() else none


def is_known(
    project: Project, table: TrainingTable, records: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which images are of patients that something learned from, shape ``(N,)``.

    Args:
        project: Open.
        table: The usable images now.
        records: Row ids of what was learned from; they may be out of use by now.
    """
    patient_of = dict(project.db.all("SELECT id, patient_id FROM records"))
    learned = {patient_of[record] for record in records.tolist() if record in patient_of}
    is_theirs = np.isin(table.patients, np.array(sorted(learned), dtype=np.int64))
    return np.isin(table.groups, table.groups[is_theirs])


def _file(project: Project, digest: str) -> Path:
    return project.folder / PRETRAINED_FOLDER / f"{digest}.npz"
