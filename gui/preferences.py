"""What is remembered between two starts: theme, text size, window, recent projects."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PySide6.QtCore import QByteArray, QSettings

__all__ = ["MAX_RECENT", "Preferences"]

MAX_RECENT: Final = 8


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
    def unfinished_run(self) -> tuple[Path, str] | None:
        """Project and id of the run that was under way when the program ended, however it ended."""
        project = str(self._settings.value("unfinished/project", ""))
        run = str(self._settings.value("unfinished/run", ""))
        return (Path(project), run) if project and run else None

    @unfinished_run.setter
    def unfinished_run(self, unfinished: tuple[Path, str] | None) -> None:
        project, run = unfinished or ("", "")
        self._settings.setValue("unfinished/project", str(project))
        self._settings.setValue("unfinished/run", run)
        self._settings.sync()  # the program may be killed the next moment

    def _store(self, folders: list[Path]) -> None:
        self._settings.setValue("recent/projects", [str(folder) for folder in folders])
