"""Opening a project to change it: alone, and cleared of what a killed process left behind."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from engine.contract.errors import ReadOnlyError
from engine.files import long_path, make_folder
from engine.project.database import DATABASE_NAME, not_a_project
from engine.project.folder import CACHE_FOLDER, RUNS_FOLDER
from engine.project.lock import LOCK_NAME, ProjectLock
from engine.project.segments import drop_unreferenced
from engine.project.store import Project, has_project

_DATABASE_FILES: Final = tuple(f"{DATABASE_NAME}{end}" for end in ("", "-wal", "-shm", "-journal"))


@contextmanager
def open_alone(folder: Path, owner: str) -> Iterator[Project]:
    """Open a project that nobody else may change meanwhile.

    Runs that a killed process left as running become interrupted, and its unfinished cache files
    go, unless the lock is only borrowed: then the session that lent it sees to that.

    Args:
        folder: The project's folder.
        owner: How others are told who holds it.

    Raises:
        ProjectError: If there is no project, another session holds it, or it can't be opened.
        StorageError: If nothing can be written there.
    """
    if not has_project(folder):
        raise not_a_project()
    with _locked(folder, owner) as lock, Project.open(folder) as project:
        project.lock = lock
        _clear(project, lock)
        yield project


@contextmanager
def open_or_make_alone(folder: Path, owner: str) -> Iterator[Project]:
    """Open a project as :func:`open_alone` does, or make one if there is none.

    If what is done inside fails, a project that was made for it goes again, unless it holds
    images by then; what else lies in the folder stays.

    Raises:
        ProjectError: As :func:`open_alone`.
        StorageError: Likewise.
    """
    is_new_folder = not long_path(folder).exists()
    make_folder(folder)
    is_new = False
    try:
        with _locked(folder, owner) as lock:
            is_new = not has_project(folder)
            try:
                with Project.open_or_create(folder) as project:
                    project.lock = lock
                    _clear(project, lock)
                    try:
                        yield project
                    finally:
                        is_new = is_new and not project.next_row()
            except BaseException:
                if is_new:
                    _discard(folder)
                raise
    except BaseException:
        if is_new:
            _drop_lock(folder, with_folder=is_new_folder)
        raise


@contextmanager
def _locked(folder: Path, owner: str) -> Iterator[ProjectLock]:
    with ProjectLock(folder, owner=owner) as lock:
        if lock.is_read_only:
            raise ReadOnlyError(
                lock.reason,
                remedy="Copy the project to a folder that you may write to, or ask for permission.",
            )
        yield lock


def _clear(project: Project, lock: ProjectLock) -> None:
    if lock.is_held:
        project.interrupt_leftovers()
        drop_unreferenced(project)


def _discard(folder: Path) -> None:
    """Remove a project without images, as far as the disk lets us."""
    folder = long_path(folder)
    for name in _DATABASE_FILES:
        with contextlib.suppress(OSError):
            (folder / name).unlink(missing_ok=True)
    for name in (CACHE_FOLDER, RUNS_FOLDER):
        shutil.rmtree(folder / name, ignore_errors=True)


def _drop_lock(folder: Path, *, with_folder: bool) -> None:
    folder = long_path(folder)
    with contextlib.suppress(OSError):
        (folder / LOCK_NAME).unlink(missing_ok=True)
        if with_folder:
            folder.rmdir()
