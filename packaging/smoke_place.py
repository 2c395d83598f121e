"""Where the built application is tried: a new user's folders, a screen, and no network."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build import programs
from dev_setup import say
from smoke_screen import Screen


@dataclass(frozen=True)
class Built:
    """The built application and where it is tried.

    Attributes:
        app: The built folder.
        work: An empty folder, which is also the user's home.
        screen: Where windows open.
        offline: What a command begins with to run without a network; empty where that can't be.
    """

    app: Path
    work: Path
    screen: Screen
    offline: tuple[str, ...]

    @property
    def window(self) -> list[str]:
        """The command that opens the window."""
        return [*self.offline, str(programs(self.app, os.name)[0])]

    @property
    def engine(self) -> list[str]:
        """The command that runs the engine."""
        return [*self.offline, str(programs(self.app, os.name)[1])]

    def environment(self) -> dict[str, str]:
        """Return the environment of somebody who has nothing but the built folder."""
        return clean_environment(os.environ, self.work) | self.screen.environment

    def running(self) -> list[Any]:
        """Return the processes of the built programs, as psutil gives them."""
        import psutil

        return [
            process
            for process in psutil.process_iter(["exe", "cmdline"])
            if process.info["exe"] and Path(process.info["exe"]).is_relative_to(self.app)
        ]


@contextmanager
def workplace() -> Iterator[Path]:
    """Give an empty folder whose name has a space and other scripts; it goes away afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="RadTune é 胸部 "))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clean_environment(env: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return ``env`` without traces of a development machine, with a new user's folders.

    Args:
        env: The present environment.
        home: The new user's folder; settings, caches, logs and temporary files land in it.
    """
    traces = ("PYTHON", "QT_", "RADTUNE_", "VIRTUAL_ENV", "LD_", "DYLD_", "CONDA", "WAYLAND_")
    kept = {name: value for name, value in env.items() if not name.startswith(traces)}
    folders = {"HOME": home, "USERPROFILE": home, "APPDATA": home, "LOCALAPPDATA": home}
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        folders[f"XDG_{name}_HOME"] = home / name.lower()
    temporary = temporary_folder(home)
    temporary.mkdir(exist_ok=True)
    folders |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), temporary)
    return kept | {name: str(folder) for name, folder in folders.items()}


def temporary_folder(home: Path) -> Path:
    """Return where the tried programs put their temporary files."""
    return home / "tmp"


def offline_prefix() -> list[str]:
    """Return what a command begins with to run without any network, as far as that is possible."""
    for prefix in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        if shutil.which("unshare") and not subprocess.call(
            [*prefix, "true"], stderr=subprocess.DEVNULL
        ):
            return prefix
    say("The network can't be cut off here: that none is needed is not tried.")
    return []
