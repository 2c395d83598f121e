"""The project: a folder with an index of images, labels, splits and runs."""

from __future__ import annotations

import os
import secrets
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from engine.contract.errors import ProjectError
from engine.files import long_path, storage_error
from engine.project.database import DATABASE_NAME, Database, not_a_project
from engine.project.findings import FindingStore
from engine.project.folder import CACHE_FOLDER, RUNS_FOLDER, readable

FOLDER_SUFFIX: Final = ".radtune"
RUN_PROJECT: Final = f"project{FOLDER_SUFFIX}"
"""Name of the project in the output folder of the whole job."""


class Project(FindingStore):
    """An open project; one instance per thread or process.

    Several may be open on one folder at a time: reading never waits for a writer on a local disk,
    and writes wait for one another. Who may write at all is up to ``engine.project.lock``.
    """

    @classmethod
    def create(cls, folder: Path, name: str | None = None) -> Self:
        """Make a project in ``folder``, which need not exist.

        Args:
            folder: Its place; what else lies there is left alone.
            name: What the user calls it; None takes the folder's name.

        Raises:
            ProjectError: If there is a project already.
            StorageError: If the disk is full or read-only.
        """
        folder = _absolute(folder)
        try:
            for part in (folder, folder / CACHE_FOLDER, folder / RUNS_FOLDER):
                part.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise ProjectError(
                "There is a file where the project folder should be.",
                remedy="Choose another name for the project.",
            ) from error
        except OSError as error:
            raise storage_error(error, "the project folder") from error
        db = Database(folder, read_only=False)
        try:
            return cls._initialised(folder, db, name)
        except BaseException:
            db.close()
            raise

    @classmethod
    def _initialised(cls, folder: Path, db: Database, name: str | None) -> Self:
        if not db.is_empty():
            raise ProjectError(
                "There is a project in this folder already.",
                remedy="Open it, or choose another folder for the new one.",
            )
        with db.initialising(folder):
            db.execute(
                "INSERT INTO meta VALUES ('salt', ?), ('name', ?)",
                (secrets.token_hex(32), readable(name or folder.name.removesuffix(FOLDER_SUFFIX))),
            )
        return cls(folder, db)

    @classmethod
    def open(cls, folder: Path, *, read_only: bool = False) -> Self:
        """Open the project in ``folder``.

        Args:
            folder: Its place.
            read_only: Promise not to write; needed for a project on a read-only disk.

        Raises:
            ProjectError: If there is none, it is damaged, or a newer version made it.
            StorageError: If the disk refuses.
        """
        folder = _absolute(folder)
        if not has_project(folder):
            raise not_a_project()
        db = Database(folder, read_only=read_only)
        try:
            if db.is_empty():  # left by a creation that was cut short
                raise not_a_project()
            db.prepare(folder)
            return cls(folder, db)
        except BaseException:
            db.close()
            raise

    @classmethod
    def open_or_create(cls, folder: Path, name: str | None = None) -> Self:
        """Open the project in ``folder``, or make one if there is none.

        Raises:
            ProjectError: If the one that is there can't be opened.
            StorageError: If the disk refuses.
        """
        folder = _absolute(folder)
        if has_project(folder):
            with closing(Database(folder, read_only=False)) as db:
                is_empty = db.is_empty()
            if not is_empty:
                return cls.open(folder)
        return cls.create(folder, name)

    def close(self) -> None:
        """Close the database; closing twice does no harm."""
        self.db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def has_project(folder: Path) -> bool:
    """Return whether ``folder`` looks like a project; nothing is opened."""
    try:
        return (_absolute(folder) / DATABASE_NAME).is_file()
    except OSError:
        return False


def _absolute(folder: Path) -> Path:
    # Not resolve(): on Windows it would turn a mapped drive into a path that users don't know.
    return long_path(Path(os.path.abspath(folder)))  # noqa: PTH100
