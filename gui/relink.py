"""Originals that were moved: says so, and takes the new place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from engine.project.store import Project
from gui.session import Session
from gui.widgets.counts import images_text
from gui.widgets.message_bar import MessageAction, MessageKind

__all__ = ["RelinkGuide"]

_SAMPLE: Final = 200
"""Enough to notice a folder that moved; looking at all files of a network disk takes long."""


@dataclass(frozen=True, slots=True)
class _Moved:
    """A source whose folder isn't where it was, and how many images lie in it."""

    source_id: int
    name: str
    n_images: int


class RelinkGuide(QObject):
    """Looks for moved originals when a project is opened.

    Signals:
        needed: Kind, what happened, what to do, actions: a message for the user.
    """

    needed = Signal(object, str, str, list)

    def __init__(self, session: Session, window: QWidget) -> None:
        super().__init__(window)
        self._session = session
        self._window = window

    def check(self) -> None:
        """Look, off the window's thread."""
        folder = self._session.folder
        if folder is not None:
            self._session.background.do(partial(_find_moved, folder), self._tell)

    def _tell(self, moved: list[_Moved]) -> None:
        for source in moved:
            self.needed.emit(
                MessageKind.WARNING,
                self.tr("The folder “%s” with %s is not where it was.")
                % (source.name, images_text(source.n_images)),
                self.tr("Training works without it; say where it is to see images at full size."),
                [MessageAction(self.tr("Find the folder…"), self._asker(source))],
            )

    def _asker(self, source: _Moved) -> Callable[[], object]:
        return partial(self._ask, source)

    def _ask(self, source: _Moved) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self._window, self.tr("Where is the folder “%s” now?") % source.name
        )
        folder = self._session.folder
        if chosen and folder is not None:
            self._session.background.do(
                partial(_relink, folder, source.source_id, Path(chosen)), self._report
            )

    def _report(self, found: tuple[int, int]) -> None:
        n_found, n_missing = found
        if not n_found:
            self.needed.emit(
                MessageKind.ERROR,
                self.tr("None of the images are in that folder."),
                self.tr("Choose the folder that the images were imported from."),
                [],
            )
            return
        kind = MessageKind.WARNING if n_missing else MessageKind.SUCCESS
        text = self.tr("%s found again.") % images_text(n_found)
        more = self.tr("%s are still missing.") % images_text(n_missing) if n_missing else ""
        self.needed.emit(kind, text, more, [])
        self._session.reload()


def _find_moved(folder: Path) -> list[_Moved]:
    with Project.open(folder, read_only=True) as project:
        if not project.missing_originals(sample=_SAMPLE):
            return []
        return [
            _Moved(source.id, source.root.name, source.n_images)
            for source in project.sources()
            if source.n_images and not source.root.is_dir()
        ]


def _relink(folder: Path, source_id: int, root: Path) -> tuple[int, int]:
    with Project.open(folder) as project:
        return project.relink(source_id, root)
