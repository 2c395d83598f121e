"""Looks at projects for a pre-training off the window's thread, since a disk may be slow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QThread, Signal

from engine.project.pretrainings import UnfinishedPretraining, read_unfinished
from gui.panels.pretrain_projects import read_candidate

__all__ = ["ProjectReader", "unfinished_in"]


class ProjectReader(QThread):
    """Looks at projects one after the other.

    Signals:
        read: A :class:`Candidate`.
        found: A list of :class:`UnfinishedPretraining`, once, last.
    """

    read = Signal(object)
    found = Signal(object)

    def __init__(self, folders: Sequence[Path], held: Path | None, parent: QObject) -> None:
        """Prepare.

        Args:
            folders: The projects.
            held: The one that this window has open.
            parent: Owner.
        """
        super().__init__(parent)
        self._folders = folders
        self._held = held

    def run(self) -> None:
        """Read them."""
        for folder in self._folders:
            self.read.emit(read_candidate(folder))
        self.found.emit(unfinished_in(self._folders, self._held))


def unfinished_in(folders: Sequence[Path], held: Path | None) -> list[UnfinishedPretraining]:
    """Return the pre-trainings that any of these projects keeps and that can go on now."""
    return [found for folder in folders for found in read_unfinished(folder, held=held)]
