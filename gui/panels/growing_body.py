"""A column that its window makes room for; what the screen has no room for scrolls."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject

from gui.panels.scroll_body import ScrollBody

__all__ = ["GrowingBody"]


class GrowingBody(ScrollBody):
    """For windows to which something is added while they are open: nothing is squeezed for it.

    The window grows when its content does, and only then, so that someone may make it smaller.
    """

    _needed_px = 0

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Grow as soon as the content asks for more room."""
        done = super().eventFilter(watched, event)
        if event.type() is QEvent.Type.LayoutRequest and watched is self.widget():
            self._make_room()
        return done

    def _make_room(self) -> None:
        needed = self.column.totalHeightForWidth(self.viewport().width())
        has_grown, self._needed_px = needed > self._needed_px, needed
        lacking, window = needed - self.height(), self.window()
        if not (has_grown and lacking > 0 and self.isVisible()):
            return
        screen = window.screen().availableGeometry()
        frame = window.frameGeometry()
        beside = frame.height() - window.height()
        height = min(window.height() + lacking, screen.height() - beside)
        window.resize(window.width(), max(window.height(), height))
        below = frame.top() + window.height() + beside - (screen.top() + screen.height())
        if below > 0:
            window.move(frame.left(), max(screen.top(), frame.top() - below))
