"""The questions for a folder: of images, or of a project."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QFileDialog, QWidget

__all__ = ["ask_for_images", "ask_for_project"]


def ask_for_images(parent: QWidget) -> Path | None:
    """Ask for a folder of images; None if the question was canceled."""
    chosen = QFileDialog.getExistingDirectory(parent, _tr("Choose a folder of images"))
    return Path(chosen) if chosen else None


def ask_for_project(parent: QWidget) -> Path | None:
    """Ask for a project, first where projects usually are; None if the question was canceled."""
    from gui.dialogs.project_place import projects_folder

    place = projects_folder()
    start = place if place.is_dir() else Path.home()
    chosen = QFileDialog.getExistingDirectory(parent, _tr("Choose a project"), str(start))
    return Path(chosen) if chosen else None


def _tr(text: str) -> str:
    return QCoreApplication.translate("MainWindow", text)
