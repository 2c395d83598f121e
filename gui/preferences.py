"""What is remembered between two starts: theme, text size, window, recent projects."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Final

from PySide6.QtCore import QByteArray, QSettings

__all__ = ["MAX_RECENT", "Preferences"]

MAX_RECENT: Final = 8
_UNFINISHED: Final = "unfinished_runs"


class Preferences:
    """Settings of the person at this computer, in the system's place for them.

    Recent projects are paths, which may hold names: they stay in this file and are never logged.

    Args:
        settings: Where they are kept; None takes the system's place for this user.
    """

    def __init__(self, settings: QSettings | None = None) -> None:
        self._settings = settings or QSettings(
            QSettings.Format.IniFormat, QSettings.Scope.UserScope, "RadTune", "RadTune"
        )

    @property
    def theme_choice(self) -> str:
        """``system``, ``dark`` or ``light``."""
        return str(self._settings.value("look/theme", "system"))

    @theme_choice.setter
    def theme_choice(self, choice: str) -> None:
        self._settings.setValue("look/theme", choice)

    @property
    def text_scale(self) -> float:
        """Factor on the text size; 1.0 if what is stored makes no sense."""
        try:
            return float(str(self._settings.value("look/text_scale", 1.0)))
        except ValueError:
            return 1.0

    @text_scale.setter
    def text_scale(self, scale: float) -> None:
        self._settings.setValue("look/text_scale", round(scale, 2))

    @property
    def geometry(self) -> QByteArray | None:
        """Place and size of the window when it was last closed."""
        value = self._settings.value("window/geometry")
        return value if isinstance(value, QByteArray) else None

    @geometry.setter
    def geometry(self, geometry: QByteArray) -> None:
        self._settings.setValue("window/geometry", geometry)

    @property
    def recent_projects(self) -> list[Path]:
        """Projects opened before, newest first, whether they are still there or not."""
        value = self._settings.value("recent/projects", [])
        # QSettings gives a lone entry back as a string.
        names = [value] if isinstance(value, str) else value
        return [Path(str(name)) for name in names if name] if isinstance(names, list) else []

    def add_recent(self, folder: Path) -> None:
        """Put a project first."""
        others = [known for known in self.recent_projects if known != folder]
        self._store([folder, *others][:MAX_RECENT])

    def forget_recent(self, folder: Path) -> None:
        """Take a project off the list."""
        self._store([known for known in self.recent_projects if known != folder])

    @property
    def unfinished_runs(self) -> list[tuple[Path, str]]:
        """Projects and the run of each that was under way when a window ended, newest first."""
        self._settings.sync()  # other windows write here too
        self._settings.beginGroup(_UNFINISHED)
        kept = [self._settings.value(key) for key in self._settings.childKeys()]
        self._settings.endGroup()
        entries = [entry for entry in kept if isinstance(entry, list) and len(entry) == 3]
        entries.sort(key=lambda entry: str(entry[0]), reverse=True)
        return [(Path(str(project)), str(run)) for _, project, run in entries]

    def add_unfinished(self, project: Path, run: str) -> None:
        """Remember the run that is under way in a project, in the place of an earlier one."""
        since = f"{time.time():017.6f}"
        self._settings.setValue(_key_of(project), [since, str(project), run])
        self._settings.sync()  # the program may be killed the next moment

    def forget_unfinished(self, project: Path, run: str) -> None:
        """Forget a run that has ended, and none of another window's."""
        if (project, run) in self.unfinished_runs:
            self._settings.remove(_key_of(project))
            self._settings.sync()

    def _store(self, folders: list[Path]) -> None:
        self._settings.setValue("recent/projects", [str(folder) for folder in folders])


def _key_of(project: Path) -> str:
    """Return a key of its own for each project: windows that write at once lose nothing then."""
    digest = hashlib.sha256(str(project).encode("utf-8", "surrogateescape")).hexdigest()
    return f"{_UNFINISHED}/{digest[:16]}"
