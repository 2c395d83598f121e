"""Which kind of disk a folder is on: databases and locks behave differently over a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Final

_NETWORK_TYPES: Final = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afpfs", "webdav", "davfs", "ncpfs"),
        *("afs", "ceph", "lustre", "glusterfs", "gpfs", "beegfs", "fuse.sshfs", "fuse.rclone"),
        *("fuse.glusterfs", "fuse.davfs", "fuse.gvfsd-fuse"),
    )
)
_DRIVE_REMOTE: Final = 4  # GetDriveTypeW


def is_network_disk(folder: Path) -> bool:
    """Return whether ``folder`` lies on a network disk; False where that can't be found out."""
    if os.name == "nt":
        return _is_network_drive(folder)
    return mount_type(PurePosixPath(folder.resolve()), _mounts()) in _NETWORK_TYPES


def mount_type(folder: PurePosixPath, mounts: list[tuple[str, str]]) -> str:
    """Return the type of the file system that holds ``folder``; empty if none does.

    Args:
        folder: Absolute path.
        mounts: Mount point and type of every file system; a later one hides an earlier one.
    """
    best_length, found = -1, ""
    for point, kind in mounts:
        length = len(PurePosixPath(point).parts)
        if folder.is_relative_to(point) and length >= best_length:
            best_length, found = length, kind
    return found


def _mounts() -> list[tuple[str, str]]:
    if sys.platform == "darwin":
        return parse_mac_mounts(_mac_mount_output())
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    fields = [line.split(" ") for line in lines]
    return [(_unescaped(parts[1]), parts[2]) for parts in fields if len(parts) > 2]


def _unescaped(point: str) -> str:
    """Undo the octal escapes of spaces, tabs and backslashes in ``/proc/mounts``."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\134", "\\")):
        point = point.replace(code, character)
    return point


def _mac_mount_output() -> str:
    try:
        done = subprocess.run(
            ["/sbin/mount"], capture_output=True, encoding="utf-8", timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def parse_mac_mounts(output: str) -> list[tuple[str, str]]:
    """Read lines such as ``//user@server/share on /Volumes/share (smbfs, nodev)``."""
    found = []
    for line in output.splitlines():
        left, _, options = line.rpartition(" (")
        _, _, point = left.partition(" on ")
        if point:
            found.append((point, options.split(",")[0].rstrip(")")))
    return found


def _is_network_drive(folder: Path) -> bool:
    if sys.platform != "win32":
        return False
    import ctypes

    anchor = os.path.splitdrive(folder.absolute())[0]
    if anchor.startswith("\\\\"):
        return not anchor.startswith("\\\\?\\") or anchor.upper().startswith("\\\\?\\UNC")
    kind: int = ctypes.windll.kernel32.GetDriveTypeW(f"{anchor}\\")
    return kind == _DRIVE_REMOTE
