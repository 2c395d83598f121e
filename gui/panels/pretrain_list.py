"""The list of projects in the dialog of a pre-training; the first few are always in sight."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QListWidget, QWidget

__all__ = ["PretrainList"]

_LEAST_ROWS: Final = 3


class PretrainList(QListWidget):
    """Its rows wrap, so how high the first few are depends on its width and on the text size."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(self.tr("Projects to learn from"))
        self.setWordWrap(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def minimumSizeHint(self) -> QSize:
        """Return the height of the first few rows."""
        last = self.item(min(_LEAST_ROWS, self.count()) - 1)
        bottom = self.visualItemRect(last).bottom() + self.verticalOffset() + 1 if last else 0
        return super().minimumSizeHint().expandedTo(QSize(0, bottom + 2 * self.frameWidth()))

    def sizeHint(self) -> QSize:
        """Return what a list usually asks for, and no less than it must have."""
        return super().sizeHint().expandedTo(self.minimumSizeHint())

    def doItemsLayout(self) -> None:
        """Ask for another height where rows were wrapped elsewhere."""
        super().doItemsLayout()
        self.updateGeometry()
