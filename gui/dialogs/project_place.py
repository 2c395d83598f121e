"""Name and place of a new project."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from PySide6.QtCore import QStandardPaths, Qt, Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QLineEdit, QWidget

from gui.widgets.buttons import make_button
from gui.widgets.card import Card
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.painting import set_role

__all__ = ["PROJECT_SUFFIX", "ProjectPlaceCard", "free_folder", "projects_folder"]

PROJECT_SUFFIX: Final = ".radtune"
_MAX_NAME: Final = 80
_FORBIDDEN: Final = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def projects_folder() -> Path:
    """Return where projects go unless the user says otherwise; it may not exist yet.

    A lab can name another disk for all its users in the environment variable RADTUNE_PROJECTS.
    """
    if named := os.environ.get("RADTUNE_PROJECTS"):
        return Path(named).absolute()
    place = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DocumentsLocation)
    return (Path(place) if place else Path.home()) / "RadTune"


def folder_name(name: str) -> str:
    """Return a name that every system accepts for a folder."""
    return _FORBIDDEN.sub("-", name).strip(" .")[:_MAX_NAME] or "Study"


def free_folder(place: Path, name: str, suffix: str = PROJECT_SUFFIX) -> Path:
    """Return a folder in ``place`` that doesn't exist yet, named after the project."""
    base = folder_name(name)
    folder = place / f"{base}{suffix}"
    number = 2
    while folder.exists():
        folder = place / f"{base} {number}{suffix}"
        number += 1
    return folder


class ProjectPlaceCard(Card):
    """A name and a place; the place is never inside the source, which is left as it is.

    Signals:
        changed: Name or place are different now.
    """

    changed = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Project"), parent=parent)
        self._source = Path()
        self._place = projects_folder()
        self._name = QLineEdit()
        self._name.setMaxLength(_MAX_NAME)
        self._name.setAccessibleName(self.tr("Name of the project"))
        self._name.textChanged.connect(self._on_changed)
        self._folder = ElidedLabel(role="small", mode=Qt.TextElideMode.ElideMiddle)
        self._problem = QLabel()
        self._problem.setWordWrap(True)
        self._problem.setProperty("tone", "bad")
        self._problem.hide()
        change = make_button(self.tr("Change…"))
        change.setAccessibleName(self.tr("Change the place of the project"))
        change.clicked.connect(self._choose_place)
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addWidget(self._folder, 1)
        row.addWidget(change)
        hint = QLabel(self.tr("Your images stay where they are and are never changed."))
        hint.setWordWrap(True)
        set_role(hint, "small")
        self.body.addWidget(self._name)
        self.body.addLayout(row)
        self.body.addWidget(self._problem)
        self.body.addWidget(hint)

    @property
    def name(self) -> str:
        """What the user calls the project."""
        return " ".join(self._name.text().split())

    @property
    def folder(self) -> Path:
        """Where the project will be."""
        return free_folder(self._place, self.name)

    @property
    def problem(self) -> str:
        """What is wrong; empty if nothing is."""
        if not self.name:
            return self.tr("Give the project a name.")
        if self._source.is_dir() and self._place.is_relative_to(self._source):
            return self.tr(
                "The project can't be inside the folder of images: choose another place."
            )
        return ""

    def set_source(self, source: Path) -> None:
        """Propose a name after the source."""
        self._source = source
        stem = source.name if source.is_dir() else source.stem
        self._name.setText(re.sub(r"[_]+", " ", stem).strip() or self.tr("My study"))

    def _choose_place(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, self.tr("Where should the project be?"), str(self._place.parent)
        )
        if chosen:
            self._place = Path(chosen)
            self._on_changed()

    def _on_changed(self) -> None:
        self._folder.setText(str(self.folder))
        self._problem.setText(self.problem)
        self._problem.setVisible(bool(self.problem))
        self.changed.emit()
