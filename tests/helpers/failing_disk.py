"""A folder that can't be written to for a while, on any system and for any user."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


class BrokenFolder:
    """Refuses what writes below a folder, from one of its steps on until it is mended.

    Args:
        folder: What is broken; other folders, and the project's database, are not.
        error: The system's number of the error, such as ``errno.ENOSPC``.
        at: The step of writing, from 1, that is the first to be refused.

    Attributes:
        n_steps: Steps that were tried.
        n_refused: Steps that were refused.
    """

    def __init__(self, folder: Path, error: int, at: int) -> None:
        self.n_steps = self.n_refused = 0
        self._folder, self._error, self._at = folder, error, at
        self._is_mended = False

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Come between the product and the system."""
        real_open = Path.open

        def opened(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
            if mode != "r" and "r" not in mode:
                self._step(path)
            return real_open(path, mode, *rest, **options)

        patch.setattr(Path, "open", opened)
        for name in ("replace", "mkdir", "touch"):
            patch.setattr(Path, name, self._checked(getattr(Path, name)))
        patch.setattr(os, "fsync", self._synced(os.fsync))

    def mend(self) -> None:
        """Let everything through again."""
        self._is_mended = True

    def _checked(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def checked(path: Path, *arguments: Any, **options: Any) -> Any:
            self._step(path)
            return real(path, *arguments, **options)

        return checked

    def _synced(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def synced(descriptor: int) -> None:
            self._step(self._folder / "something")
            real(descriptor)

        return synced

    def _step(self, path: Path) -> None:
        if self._folder not in path.parents:
            return
        self.n_steps += 1
        if self.n_steps >= self._at and not self._is_mended:
            self.n_refused += 1
            raise OSError(self._error, os.strerror(self._error))


@contextlib.contextmanager
def without_permission(folder: Path) -> Iterator[Callable[[], None]]:
    """Take away the right to write below a folder; yields what gives it back.

    Root on Linux is refused by a read-only mount, since permissions don't bind it.
    """
    if sys.platform == "linux" and os.geteuid() == 0:
        place = str(folder)
        mounts = [["--bind", place, place], ["-o", "remount,bind,ro", place]]
        for arguments in mounts:
            done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
            if done.returncode != 0:
                pytest.skip("PERMISSIONS NOT TESTED: this machine doesn't allow mounting")

        def give_back() -> None:
            subprocess.run(["umount", "--lazy", folder], check=False, capture_output=True)
    elif os.name == "posix":
        folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        modes = [path.stat().st_mode for path in folders]
        for path in folders:
            path.chmod(0o555)

        def give_back() -> None:
            for path, mode in zip(folders, modes, strict=True):
                path.chmod(mode)
    else:
        pytest.skip("PERMISSIONS NOT TESTED: Windows folders have none that a test could take")
    try:
        yield give_back
    finally:
        give_back()
