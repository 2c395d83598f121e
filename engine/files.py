"""Files that are either whole or absent, and disk problems put into plain words."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any, Final

from engine.contract.errors import DamagedFileError, StorageError

_FULL: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_FULL_ON_WINDOWS: Final = frozenset({39, 112})  # ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL
_READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_GONE: Final = frozenset(
    {errno.ENOENT, errno.ENODEV, errno.ENXIO, getattr(errno, "ESTALE", errno.ENOENT)}
)
_KIND: Final = frozenset({errno.EEXIST, errno.ENOTDIR, errno.EISDIR})
_WINDOWS_LIMIT: Final = 240  # folders stop at 248 characters, files at 260; a suffix must fit too
_REPLACE_TRIES: Final = 8
_OLD: Final = ".old"
_TEMPORARY: Final = ".tmp"
_CHUNK_BYTES: Final = 1 << 20
_DIGEST: Final = "facts_sha256"


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file so that a reader, or a crash, sees the old one or the new one, never a part.

    Args:
        path: File to make or replace; its folder must exist.
        data: Content; text is written as UTF-8 without changing line ends.

    Raises:
        StorageError: If the disk is full, read-only, or gone; the old file is then untouched.
    """
    content = data.encode("utf-8") if isinstance(data, str) else data
    path = long_path(path)
    # Short and independent of the file's name, which may already be as long as the disk allows.
    temporary = path.parent / f".{secrets.token_hex(6)}{_TEMPORARY}"
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        replace_file(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):  # whoever holds it on Windows lets it not go either
            temporary.unlink(missing_ok=True)
        raise storage_error(error, "a file") from error


def replace_file(source: Path, target: Path, *, wait: Callable[[float], None] = time.sleep) -> None:
    """Rename ``source`` over ``target``.

    On Windows a virus scanner or an indexer may hold either file for a moment, which looks like a
    missing permission; so a refusal there is tried again for about a second.

    Raises:
        OSError: If it stays impossible.
    """
    for attempt in range(_REPLACE_TRIES):
        try:
            source.replace(target)
            return
        except PermissionError:
            if os.name != "nt" or attempt == _REPLACE_TRIES - 1:
                raise
            wait(0.01 * 2**attempt)


def make_folder(path: Path, *, parents: bool = True) -> None:
    """Make a folder where it is missing.

    Args:
        path: The folder.
        parents: Whether to make those around it, too. Not where they must be there, so that they
            are gone if they aren't: a drive may have been pulled out, and its place left empty.

    Raises:
        StorageError: If the disk doesn't allow it.
    """
    try:
        long_path(path).mkdir(parents=parents, exist_ok=True)
    except OSError as error:
        raise storage_error(error, "a folder") from error


def require_writable(folder: Path) -> None:
    """Check that a file can be made in ``folder``, before long work whose result goes there.

    Raises:
        StorageError: If the disk doesn't allow it.
    """
    trial = long_path(folder) / f".{secrets.token_hex(6)}{_TEMPORARY}"
    try:
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        raise storage_error(error, "a file") from error


def replace_folder(source: Path, target: Path) -> None:
    """Move a finished folder to where ``target`` is or was, with the gap as short as can be.

    Raises:
        StorageError: If the disk doesn't allow it; what was at ``target`` is there again.
    """
    source, target = long_path(source), long_path(target)
    old = target.with_name(f".{target.name}.{secrets.token_hex(6)}{_OLD}")
    try:
        if target.exists():
            replace_file(target, old)
        try:
            replace_file(source, target)
        except OSError:
            if old.exists():
                replace_file(old, target)
            raise
        sync_folder(target.parent)
    except OSError as error:
        raise storage_error(error, "a folder") from error
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(target: Path) -> None:
    """Mend what a process left that was killed inside :func:`replace_folder`.

    If ``target`` is missing, what was there comes back; else nothing of it is kept. Only for a
    folder in which nobody else writes.
    """
    target = long_path(target)
    for old in sorted(target.parent.glob(f".{target.name}.*{_OLD}"), key=_changed, reverse=True):
        with contextlib.suppress(OSError):
            if not target.exists():
                replace_file(old, target)
                continue
        shutil.rmtree(old, ignore_errors=True)


def drop_temporaries(folder: Path) -> None:
    """Remove what a process left that was killed inside :func:`write_atomic`.

    Only for a folder in which nobody writes now.
    """
    for path in long_path(folder).glob(f".*{_TEMPORARY}"):
        with contextlib.suppress(OSError):
            path.unlink()


def _changed(path: Path) -> float:
    return path.stat().st_mtime


def file_identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from one that lies at the same path later; None if none is there.

    Some disks number no files; there only its presence counts.
    """
    try:
        found = long_path(path).stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_ino else (0, 0)


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a power cut; nothing to do on Windows."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # some network disks don't open folders; the file itself is already on disk
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def write_json(path: Path, plain: Any) -> None:
    """Write JSON-ready values atomically, as indented UTF-8.

    Raises:
        StorageError: As :func:`write_atomic`.
        ValueError: If a number is NaN or infinite, which JSON doesn't have.
    """
    write_atomic(path, json.dumps(plain, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the values of a JSON file.

    Raises:
        DamagedFileError: If it isn't JSON.
        StorageError: If the file can't be read.
    """
    try:
        return json.loads(long_path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise storage_error(error, "a file", reading=True) from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise _damaged("it isn't valid JSON") from error


def _damaged(how: str) -> DamagedFileError:
    return DamagedFileError(
        f"A file of the project is damaged: {how}.",
        remedy="Restore it from a backup, or repeat the step that made it.",
    )


def signed(facts: dict[str, Any]) -> dict[str, Any]:
    """Return JSON-ready facts with a digest of their own: a changed digit is still valid JSON."""
    return facts | {_DIGEST: _digest(json.loads(json.dumps(facts)))}


def checked(facts: dict[str, Any]) -> dict[str, Any]:
    """Return signed facts without their digest.

    Raises:
        ValueError: If it isn't theirs.
    """
    own = {name: value for name, value in facts.items() if name != _DIGEST}
    if facts.get(_DIGEST) != _digest(own):
        raise ValueError("other facts than were written")
    return own


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_signed_json(path: Path) -> dict[str, Any]:
    """Return the facts of a JSON file that were :func:`signed`, or by an earlier version were not.

    Raises:
        DamagedFileError: If they aren't those that were written.
        StorageError: If the file can't be read.
    """
    facts = read_json(path)
    if not isinstance(facts, dict):
        raise _damaged("it holds something else")
    try:
        return checked(facts) if _DIGEST in facts else facts
    except ValueError as error:
        raise _damaged("it was changed after it was written") from error


def is_signed(path: Path) -> bool:
    """Return whether the facts of a JSON file were :func:`signed`; by an earlier version not.

    Raises:
        DamagedFileError: If it isn't JSON.
        StorageError: If the file can't be read.
    """
    facts = read_json(path)
    return isinstance(facts, dict) and _DIGEST in facts


def require_space(folder: Path, n_bytes: int) -> None:
    """Check that ``n_bytes`` more fit on the disk of ``folder`` (or of its nearest parent).

    Raises:
        StorageError: If less is free.
    """
    existing = long_path(folder)
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        free = shutil.disk_usage(existing).free
    except OSError:
        return  # a disk that doesn't say how full it is: writing will tell
    if free < n_bytes:
        raise StorageError(
            f"The disk has {_readable(free)} free, and {_readable(n_bytes)} are needed.",
            remedy="Free some space or choose a folder on another disk, then try again.",
        )


def _readable(n_bytes: int) -> str:
    if n_bytes >= 1 << 30:
        return f"{n_bytes / (1 << 30):.1f} GB"
    return f"{n_bytes / (1 << 20):.1f} MB"


def long_path(path: Path) -> Path:
    r"""Return a path that Windows accepts beyond 260 characters; elsewhere the path unchanged.

    Windows reads such a path only as ``\\?\C:\...`` (``\\?\UNC\server\share\...`` on a network
    disk), which must be absolute and free of ``..``.
    """
    if os.name != "nt":
        return path
    return Path(verbatim_windows(PureWindowsPath(os.path.abspath(path))))  # noqa: PTH100


def verbatim_windows(path: PureWindowsPath) -> str:
    r"""Return an absolute, normalised Windows path in its ``\\?\`` form where it is long."""
    text = str(path)
    if len(text) < _WINDOWS_LIMIT or text.startswith("\\\\?\\") or not path.is_absolute():
        return text
    if text.startswith("\\\\"):
        return "\\\\?\\UNC" + text[1:]
    return "\\\\?\\" + text


def storage_error(error: OSError, what: str, *, reading: bool | None = False) -> StorageError:
    """Return the user's sentence for a failed file operation.

    Args:
        error: What the system said.
        what: What was being written or read, such as ``a checkpoint``; never a path.
        reading: Whether it was being read; None where that isn't known.
    """
    deed = {None: "read or written", True: "read", False: "written"}[reading]
    code, failed = error.errno, f"{what} could not be {deed}"
    if code in _FULL or getattr(error, "winerror", None) in _FULL_ON_WINDOWS:
        return StorageError(
            f"The disk is full: {failed}.",
            remedy="Free some space on the disk, then try again.",
        )
    if code in _READ_ONLY:
        if reading:
            return StorageError(
                f"{failed[0].upper()}{failed[1:]}: the system doesn't allow it.",
                remedy="Ask for permission to read this folder, or copy it to your own disk.",
            )
        return StorageError(
            f"The folder is read-only or in use by another program: {failed}.",
            remedy="Choose a folder that you may write to, or close the program that uses it.",
        )
    if code in _GONE:
        return StorageError(
            f"The folder or disk isn't there any more: {failed}.",
            remedy="Connect the disk again or restore the folder, then try again.",
        )
    if code in _KIND:
        return StorageError(
            f"There is a {'folder' if code == errno.EISDIR else 'file'} where a "
            f"{'file' if code == errno.EISDIR else 'folder'} is needed: {failed}.",
            remedy="Choose another name or place.",
        )
    if code == errno.ENAMETOOLONG:
        return StorageError(
            f"The path is too long for this disk: {failed}.",
            remedy="Choose a folder with a shorter path.",
        )
    return StorageError(
        f"The disk reported an error ({os.strerror(code) if code else 'unknown'}): {failed}.",
        remedy="Check the disk and its connection, then try again.",
    )


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits.

    Raises:
        StorageError: If the file can't be read.
    """
    digest = hashlib.sha256()
    try:
        with long_path(path).open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise storage_error(error, "a file", reading=True) from error
    return digest.hexdigest()
