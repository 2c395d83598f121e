"""One SQLite connection with short transactions and errors in plain words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from engine.contract.errors import EngineError, ProjectBusyError, ProjectError, StorageError
from engine.files import file_identity, long_path
from engine.project.disk import is_network_disk
from engine.project.schema import APPLICATION_ID, SCHEMA_VERSION, migrate

DATABASE_NAME: Final = "project.db"
_BUSY_TIMEOUT_MS: Final = 10_000
_LONGEST_NAME_BYTES: Final = 504
"""SQLite keeps 512 bytes for a file name on Linux and macOS, of which its journal takes eight."""
Parameters = Sequence[Any] | Mapping[str, Any]


class Database:
    """The connection of one :class:`~engine.project.store.Project`; for one thread.

    Reads between transactions see the last commit of any process. Writes belong inside
    :meth:`transaction`.
    """

    def __init__(self, folder: Path, *, read_only: bool) -> None:
        self._depth = 0
        self._folder = folder
        self.is_read_only = read_only
        with plain_errors():
            self._connection = _connect(self._path, read_only=read_only)
        self._identity = file_identity(self._path)

    @property
    def _path(self) -> Path:
        return self._folder / DATABASE_NAME

    def is_there(self) -> bool:
        """Return whether the file that is open still lies where it was opened.

        Once it doesn't, only :meth:`open_again` changes that: what is open may be dead by then,
        or in another place.
        """
        found = file_identity(self._path)
        if found is None or found != self._identity:
            self._identity = None
        return self._identity is not None

    def open_again(self, is_same: Callable[[Database], bool]) -> bool:
        """Take the file that lies now where this was opened, and return whether that went well.

        Args:
            is_same: Asked whether what is found there holds the same project.
        """
        if self._depth or file_identity(self._path) is None:
            return False
        try:
            found = Database(self._folder, read_only=self.is_read_only)
            try:
                found.prepare(self._folder)
                is_wanted = is_same(found)
            except EngineError:
                is_wanted = False
            if not is_wanted:
                found.close()
                return False
        except EngineError:
            return False
        with contextlib.suppress(EngineError):  # of a drive that was pulled out
            self.close()
        self._connection, self._identity = found._connection, found._identity
        return True

    def prepare(self, folder: Path) -> None:
        """Set how the connection works and bring the tables up to date.

        Raises:
            ProjectError: If the file is no project, or one of a newer version.
            StorageError: If the disk refuses.
        """
        self._check_version()
        if self.is_read_only:
            return
        if self.user_version() < SCHEMA_VERSION:
            with self.initialising(folder):
                return
        self._set_up(folder)

    @contextmanager
    def initialising(self, folder: Path) -> Iterator[None]:
        """Make the tables, or bring them up to date, together with what is done inside."""
        self._set_up(folder)
        with self.transaction():
            with plain_errors():
                migrate(self._connection, self.user_version())
            yield

    def _set_up(self, folder: Path) -> None:
        # Write-ahead logging lets the window read while a worker writes, but its shared memory
        # doesn't work between two machines.
        mode = "DELETE" if is_network_disk(folder) else "WAL"
        for setting in (f"journal_mode = {mode}", "synchronous = FULL", "foreign_keys = ON"):
            self.execute(f"PRAGMA {setting}")

    def user_version(self) -> int:
        """Return the version of the tables; 0 for an empty file."""
        return int(self.value("PRAGMA user_version"))

    def is_empty(self) -> bool:
        """Return whether the file holds no table yet."""
        return not self.value("SELECT count(*) FROM sqlite_master")

    def _check_version(self) -> None:
        if not self.is_empty() and self.value("PRAGMA application_id") != APPLICATION_ID:
            raise not_a_project()
        version = self.user_version()
        if version > SCHEMA_VERSION:
            raise ProjectError(
                "This project was made by a newer version of RadTune.",
                remedy="Update RadTune on this computer, then open the project again.",
            )
        if self.is_read_only and version < SCHEMA_VERSION:
            raise ProjectError(
                "This project was made by an older version of RadTune and must be brought up to "
                "date, but it can't be written here.",
                remedy="Copy the project to a folder that you may write to and open it there.",
            )

    def all(self, sql: str, parameters: Parameters = ()) -> list[Any]:
        """Return every row as a tuple."""
        with plain_errors():
            return self._connection.execute(sql, parameters).fetchall()

    def one(self, sql: str, parameters: Parameters = ()) -> Any:
        """Return the first row as a tuple, or None."""
        with plain_errors():
            return self._connection.execute(sql, parameters).fetchone()

    def value(self, sql: str, parameters: Parameters = ()) -> Any:
        """Return the first column of the first row, or None."""
        row = self.one(sql, parameters)
        return None if row is None else row[0]

    def execute(self, sql: str, parameters: Parameters = ()) -> sqlite3.Cursor:
        """Run one statement."""
        with plain_errors():
            return self._connection.execute(sql, parameters)

    def execute_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Run one statement for every row."""
        with plain_errors():
            self._connection.executemany(sql, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all writes inside or none; an inner transaction is part of the outer one.

        Raises:
            ProjectError: If the project was opened read-only.
            ProjectBusyError: If another program writes to it for ten seconds.
            StorageError: If the disk refuses.
        """
        if self.is_read_only:
            raise ProjectError(
                "This project is open for reading only.",
                remedy="Copy the project to a folder that you may write to and open it there.",
            )
        with self._scope("BEGIN IMMEDIATE"):
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let several reads see one state of the project."""
        with self._scope("BEGIN"):
            yield

    @contextmanager
    def _scope(self, begin: str) -> Iterator[None]:
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        with plain_errors():
            self._connection.execute(begin)
        self._depth = 1
        try:
            yield
            with plain_errors():
                self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._depth = 0

    def _roll_back(self) -> None:
        # A full disk may already have rolled the transaction back.
        if self._connection.in_transaction:
            with plain_errors():
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; closing twice does no harm."""
        with plain_errors():
            self._connection.close()


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open the file; SQLite looks into it only at the first statement."""
    path = long_path(path.absolute())
    check_name_length(path)
    if not read_only:
        return _open(path, "rwc")
    connection = _open(path, "ro")
    try:
        connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.OperationalError:
        # A database in WAL mode on a read-only disk: with no log beside it nothing can change
        # under the reader, so SQLite may leave the log and its shared memory out.
        if path.with_name(f"{path.name}-wal").exists():
            raise
        connection.close()
        return _open(path, "ro&immutable=1")
    return connection


def _open(path: Path, mode: str) -> sqlite3.Connection:
    # Quoted as bytes, since a folder's name on Linux need not be valid UTF-8.
    name = quote(os.fsencode(path))
    start = "file://" if name.startswith("/") else "file:"
    connection = sqlite3.connect(f"{start}{name}?mode={mode}", uri=True, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    return connection


def check_name_length(path: Path, *, limit: int = _LONGEST_NAME_BYTES) -> None:
    """Refuse a path that SQLite can't open.

    Raises:
        ProjectError: If the path has more than ``limit`` bytes.
    """
    if path.drive == "" and len(bytes(path)) > limit:
        raise ProjectError(
            f"The path of the project folder is too long: {len(bytes(path))} bytes, where at most "
            f"{limit} work (a Chinese character takes three).",
            remedy="Choose a folder with a shorter path.",
        )


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn SQLite's errors into sentences for users.

    Raises:
        StorageError: If the disk is full, read-only or gone.
        ProjectError: If the file is damaged, no project, or busy.
    """
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise ValueError(f"not allowed in the project: {error}") from error
    except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
        if isinstance(error, sqlite3.ProgrammingError):
            raise
        raise _translated(error) from error
    except UnicodeDecodeError as error:  # in SQLite's own words on a damaged schema
        raise _damaged() from error


def _translated(error: sqlite3.Error) -> EngineError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageError(
            "The disk is full: the project could not be written.",
            remedy="Free some space on the disk, then try again.",
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StorageError(
            "The project folder is read-only.",
            remedy="Copy the project to a folder that you may write to, or ask for permission.",
        )
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return StorageError(
            "The project's database can't be reached: the disk is full, not writable, or gone.",
            remedy="Check that the disk is connected, has room, and may be written to.",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return ProjectBusyError(
            "The project is busy: another program is writing to it.",
            remedy="Wait a moment and try again.",
        )
    if code == sqlite3.SQLITE_NOTADB:
        return not_a_project()
    # Text that isn't UTF-8 has no code; and a project of this version has all tables and columns.
    if code in (sqlite3.SQLITE_CORRUPT, 0) or str(error).startswith("no such"):
        return _damaged()
    raise error  # a mistake in a statement: the programmer's, not the user's


def _damaged() -> ProjectError:
    return ProjectError(
        "The project's database is damaged.",
        remedy="Restore the project folder from a backup, or import the images into a new one.",
    )


def not_a_project() -> ProjectError:
    """Return the error for a folder that holds no project."""
    return ProjectError(
        "This folder holds no RadTune project, or its database is damaged.",
        remedy="Choose another folder, or restore the project from a backup.",
    )
