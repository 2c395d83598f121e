"""A line of text that opens and closes what is below it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolButton, QWidget

from gui.icons import bind_icon

__all__ = ["Fold"]


class Fold(QToolButton):
    """Closed at first; ``body``, if there is one, is shown while it is open.

    The owner puts the body below it.
    """

    def __init__(self, text: str, body: QWidget | None = None) -> None:
        super().__init__()
        self.setText(text)
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        if body is not None:
            body.hide()
            self.toggled.connect(body.setVisible)
        self.toggled.connect(self._point)
        self._point(False)

    def _point(self, is_open: bool) -> None:
        bind_icon(self, "chevron-down" if is_open else "chevron-right", size_px=16, gap_px=4)
