"""Who may write to a project: one session at a time, which lends its right to its workers.

The lock is the operating system's, on ``project.lock``, so it ends with the process that holds it,
however that ended. The file also names the owner, for the message that others get.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from engine.contract.errors import ProjectError
from engine.files import long_path, storage_error

LOCK_NAME: Final = "project.lock"
TOKEN_VARIABLE: Final = "RADTUNE_LOCK_TOKEN"
_OWNER_NAME: Final = "project.owner"
"""Stands in for the lock on disks that have none."""
_READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
_OWNER_BYTES: Final = 512
_LOCKED_BYTE: Final = 1 << 30
"""Windows locks bytes against reading too; this one lies far behind the owner's name."""


class ByteLocks(Protocol):
    """What is used of ``msvcrt``."""

    LK_NBLCK: int
    LK_UNLCK: int

    def locking(self, fd: int, mode: int, nbytes: int, /) -> None:
        """Lock or unlock bytes from the present position on."""


class ProjectLock:
    """The right to write to a project folder.

    Attributes:
        token: What a worker shows to write in this session's name.
        is_held: Whether this object holds the lock itself.
        is_borrowed: Whether another process of this session holds it for us.
        is_read_only: Whether nobody can write here, so that there is nothing to lock.
        reason: A sentence where something other than the plain lock applies, else empty.
    """

    def __init__(self, folder: Path, owner: str) -> None:
        """Prepare a lock; nothing is locked yet.

        Args:
            folder: The project's folder, which exists.
            owner: How others are told who holds it, such as ``the RadTune window``.
        """
        self._folder = long_path(Path(os.path.abspath(folder)))  # noqa: PTH100 - as Project
        self._owner = owner
        self._file: FileIO | None = None
        self._stand_in: Path | None = None
        self._is_marked = False
        self.token = secrets.token_hex(16)
        self.is_borrowed = False
        self.is_read_only = False
        self.reason = ""

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock itself."""
        return self._file is not None or self._stand_in is not None

    def environment(self) -> dict[str, str]:
        """Return the environment variable that lends the lock to a worker."""
        return {
            TOKEN_VARIABLE: os.environ.get(TOKEN_VARIABLE, "") if self.is_borrowed else self.token
        }

    def acquire(self) -> None:
        """Take the lock, or borrow it from the session that started this process.

        On a read-only disk nothing is locked and :attr:`is_read_only` says so.

        Raises:
            ProjectError: If another session holds it, naming that one.
            StorageError: If the folder is gone or the disk fails.
        """
        if self.is_held or self.is_borrowed or self._borrow():
            return
        try:
            file = _open_lock(self._folder / LOCK_NAME)
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise storage_error(error, "the project's lock") from error
            self.is_read_only = True
            self.reason = "The project folder is read-only, so nothing can be changed in it."
            return
        try:
            is_locked = _lock(file)
        except OSError as error:
            file.close()
            if error.errno not in _NO_LOCKS:
                raise storage_error(error, "the project's lock") from error
            self._acquire_stand_in()
            return
        if not is_locked:
            file.close()
            raise _in_use(self._read_owner(LOCK_NAME))
        self._hold(file)

    def retake(self) -> None:
        """Take the lock anew once the project's disk is back: it may have been lost with the disk.

        A lock that is borrowed is taken as well, if its lender's was lost.

        Raises:
            ProjectError: If another session has opened the project meanwhile; nothing is held then.
            StorageError: If the disk fails again.
        """
        if self.is_read_only:
            return
        stand_in = self._stand_in
        self._let_go()
        token, names = self.environment()[TOKEN_VARIABLE], (LOCK_NAME, _OWNER_NAME)
        is_marked = self._is_marked and any((self._folder / name).exists() for name in names)
        if is_marked and not self._names(token):
            raise _taken()
        if stand_in is not None:
            self._stand_in = stand_in
            return
        try:
            file = _open_lock(self._folder / LOCK_NAME)
        except OSError as error:
            raise storage_error(error, "the project's lock") from error
        try:
            is_locked = _lock(file)
        except OSError as error:
            file.close()
            if self.is_borrowed and error.errno in _NO_LOCKS:  # its lender's file stands in
                return
            raise storage_error(error, "the project's lock") from error
        if is_locked:
            self._hold(file)
            return
        file.close()
        if not self.is_borrowed:
            raise _taken()

    def _hold(self, file: FileIO) -> None:
        self._file = file
        if not self.is_borrowed:
            self._is_marked = _write_owner(file, self._description())

    def _let_go(self) -> None:
        """Let go of what is held and leave what it says."""
        self._stand_in = None
        if self._file is not None:
            with contextlib.suppress(OSError):  # of a disk that is gone
                _unlock(self._file)
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def release(self) -> None:
        """Give the lock back; releasing twice does no harm."""
        if self._stand_in is not None:
            with contextlib.suppress(OSError):  # a disk that is gone took the file along
                self._stand_in.unlink(missing_ok=True)
        if self._file is not None and not self.is_borrowed:
            # The file stays: deleting it would let two others each lock a file of that name.
            _write_owner(self._file, {})
        self._let_go()
        self.is_borrowed = self._is_marked = False

    def _borrow(self) -> bool:
        token = os.environ.get(TOKEN_VARIABLE)
        self.is_borrowed = self._is_marked = bool(token) and self._names(token)
        return self.is_borrowed

    def _names(self, token: str | None) -> bool:
        """Return whether the project's lock is that of a session."""
        names = (LOCK_NAME, _OWNER_NAME)
        return any(self._read_owner(name).get("token") == token for name in names)

    def _description(self) -> dict[str, Any]:
        return {
            "owner": self._owner,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "token": self.token,
            "since": time.time(),
        }

    def _read_owner(self, name: str) -> dict[str, Any]:
        return _read_owner(self._folder / name)

    def _acquire_stand_in(self) -> None:
        """Lock by a file that exists, on network disks without locks.

        Raises:
            ProjectError: If the file names a process that may still be alive.
        """
        path = self._folder / _OWNER_NAME
        other = self._read_owner(_OWNER_NAME)
        if path.exists() and not _has_ended(other):
            raise _in_use(other, by_hand=True)
        path.unlink(missing_ok=True)
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(self._description(), file)
        except FileExistsError as error:
            raise _in_use(self._read_owner(_OWNER_NAME), by_hand=True) from error
        except OSError as error:
            raise storage_error(error, "the project's lock") from error
        self._stand_in, self._is_marked = path, True
        self.reason = "This disk has no file locks; a file in the project folder stands in."

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def is_in_use(folder: Path) -> bool:
    """Return whether somebody writes to a project now, without keeping anybody from it."""
    folder = long_path(folder)
    owner = folder / _OWNER_NAME
    if owner.exists() and not _has_ended(_read_owner(owner)):
        return True
    if not (folder / LOCK_NAME).exists():
        return False
    try:
        with _open_lock(folder / LOCK_NAME) as file:
            is_free = _lock(file)
            if is_free:
                _unlock(file)
            return not is_free
    except OSError:
        return False  # a disk without locks, or one that can't be written


def _open_lock(path: Path) -> FileIO:
    """Open for reading and writing, made if need be, never emptied: another may hold it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    # Unbuffered: what a full disk refuses must not be tried once more, and fail, on closing.
    return os.fdopen(descriptor, "r+b", buffering=0)


def _read_owner(path: Path) -> dict[str, Any]:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _write_owner(file: FileIO, description: Mapping[str, Any]) -> bool:
    """Write who holds a lock, and return whether that went well.

    What was written before is overwritten in place, for which a full disk has room.
    """
    text = json.dumps(description).encode() if description else b""
    text = text.ljust(_OWNER_BYTES)
    try:
        file.seek(0)
        is_whole = file.write(text) == len(text)
        file.truncate(len(text))
    except OSError:  # a full disk: the lock holds, only its owner's name is missing
        with contextlib.suppress(OSError):
            file.truncate(0)  # rather than that of an earlier one
        return False
    return is_whole


def _lock(file: FileIO) -> bool:
    """Lock a file without waiting; False if another process has it.

    Raises:
        OSError: If the disk has no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        return lock_byte(msvcrt, file)
    import fcntl

    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(file: FileIO) -> None:
    if sys.platform == "win32":
        import msvcrt

        unlock_byte(msvcrt, file)
        return
    import fcntl

    fcntl.flock(file.fileno(), fcntl.LOCK_UN)


def lock_byte(locks: ByteLocks, file: FileIO) -> bool:
    """Lock one byte far behind the content, the Windows way; False if another has it.

    Raises:
        OSError: If the disk has no locks.
    """
    file.seek(_LOCKED_BYTE)
    try:
        locks.locking(file.fileno(), locks.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EDEADLK, getattr(errno, "EDEADLOCK", None)):
            return False
        raise
    finally:
        file.seek(0)
    return True


def unlock_byte(locks: ByteLocks, file: FileIO) -> None:
    """Unlock what :func:`lock_byte` locked."""
    file.seek(_LOCKED_BYTE)
    locks.locking(file.fileno(), locks.LK_UNLCK, 1)
    file.seek(0)


def _has_ended(owner: Mapping[str, Any]) -> bool:
    """Return whether the process that an owner file names has surely ended."""
    pid, since = owner.get("pid"), owner.get("since")
    if owner.get("host") != socket.gethostname() or not isinstance(pid, int):
        return False
    import psutil

    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
    # A process that began after the file was written has merely got the same number.
    return isinstance(since, int | float) and started > since + 1


def _taken() -> ProjectError:
    return ProjectError(
        "While this project was away, another RadTune window or command opened it, so nothing more "
        "is written to it here.",
        remedy="Close it there, then open it here again; a run goes on from what it saved last.",
    )


def _in_use(owner: Mapping[str, Any], *, by_hand: bool = False) -> ProjectError:
    name, host = owner.get("owner"), owner.get("host")
    who = f"{name} on {host}" if name and host else "another RadTune window or command"
    remedy = "Close it there, then try again."
    if by_hand:
        remedy += f" If it has ended long ago, delete {_OWNER_NAME} in the project folder."
    return ProjectError(f"This project is in use by {who}.", remedy=remedy)
