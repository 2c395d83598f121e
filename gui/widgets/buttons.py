"""Buttons with the theme's icons: ordinary, primary, link-like and icon-only."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QFocusEvent
from PySide6.QtWidgets import QPushButton, QToolButton, QWidget

from gui.icons import bind_icon
from gui.tokens import ColorToken
from gui.widgets.painting import repolish, set_role

__all__ = ["IconButton", "make_button", "make_link", "set_primary"]


class _Button(QPushButton):
    """Shows that it has the focus only to people who move it with the keyboard."""

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Note how the focus came."""
        by_key = event.reason() in _KEYBOARD or self.window().testAttribute(
            Qt.WidgetAttribute.WA_KeyboardFocusChange
        )
        if by_key is not self.property("keyboard"):
            self.setProperty("keyboard", by_key)
            repolish(self)
        super().focusInEvent(event)


class IconButton(QToolButton):
    """A button that shows only an icon; the text is its tooltip and its accessible name."""

    def __init__(
        self,
        icon: str,
        text: str,
        *,
        color: ColorToken = "secondary",
        size_px: int = 20,
        is_checkable: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._color: ColorToken = color
        self._size_px = size_px
        self.setCheckable(is_checkable)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
        self.set_icon(icon, text)

    def set_icon(self, icon: str, text: str) -> None:
        """Show another icon and say what the button does now."""
        bind_icon(self, icon, self._color, size_px=self._size_px)
        self.setToolTip(text)
        self.setAccessibleName(text)

    def sizeHint(self) -> QSize:
        """Return a square around the icon, at least 28 px so that it is easy to hit."""
        side = max(28, self.iconSize().width() + 8)
        return QSize(side, side)


def make_button(
    text: str, *, icon: str = "", is_primary: bool = False, parent: QWidget | None = None
) -> QPushButton:
    """Return a push button; at most one on a page may be primary."""
    button = _Button(text, parent)
    button.setAutoDefault(False)
    if icon:
        bind_icon(button, icon, "on_accent" if is_primary else "text", size_px=16, gap_px=4)
    if is_primary:
        set_primary(button, is_primary=True)
    return button


def make_link(text: str, *, icon: str = "", parent: QWidget | None = None) -> QPushButton:
    """Return a push button that looks like a link, for secondary actions inside text."""
    button = make_button(text, parent=parent)
    if icon:
        bind_icon(button, icon, "accent", size_px=16, gap_px=4)
    set_role(button, "link")
    button.setCursor(Qt.CursorShape.PointingHandCursor)
    return button


def set_primary(button: QPushButton, *, is_primary: bool) -> None:
    """Dress a button as the main action of its page, or undo that."""
    button.setProperty("primary", is_primary)
    repolish(button)


_KEYBOARD: Final = (
    Qt.FocusReason.TabFocusReason,
    Qt.FocusReason.BacktabFocusReason,
    Qt.FocusReason.ShortcutFocusReason,
)
