"""Line icons drawn for RadTune, coloured with the theme when they are loaded.

Each file in ``resources/icons`` is an SVG on a 20-px grid whose lines are ``currentColor``.
"""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QByteArray, QObject, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QGuiApplication, QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QAbstractButton

from gui.theme import svg_text, theme
from gui.tokens import ColorToken

__all__ = ["app_icon", "bind_icon", "icon", "pixmap"]

_BASE_PX = 20
_SCALES = (1, 2, 4)


def pixmap(name: str, *, size_px: int = _BASE_PX, color: ColorToken | str = "text") -> QPixmap:
    """Return an icon as a sharp pixmap for the primary screen.

    Args:
        name: File name in ``resources/icons`` without ``.svg``.
        size_px: Side length in logical pixels.
        color: A token name, or a colour as ``#rrggbb``.

    Raises:
        ValueError: If there is no such icon.
    """
    screen = QGuiApplication.primaryScreen()
    ratio = screen.devicePixelRatio() if screen is not None else 1.0
    image = _render(name, _resolve(color), round(size_px * ratio))
    image = QPixmap(image)
    image.setDevicePixelRatio(ratio)
    return image


def icon(name: str, color: ColorToken | str = "text", *, gap: float = 0.0) -> QIcon:
    """Return an icon in the colours of the present theme; ask again after `Theme.changed`.

    Args:
        name: File name in ``resources/icons`` without ``.svg``.
        color: A token name, or a colour as ``#rrggbb``.
        gap: Free room at the right, as a share of the side length.
    """
    result = QIcon()
    normal, disabled = _resolve(color), theme().tokens.disabled
    for scale in _SCALES:
        side = _BASE_PX * scale
        result.addPixmap(_render(name, normal, side, gap), QIcon.Mode.Normal)
        result.addPixmap(_render(name, disabled, side, gap), QIcon.Mode.Disabled)
    return result


def app_icon() -> QIcon:
    """Return the icon of the application, for window and task bar."""
    result = QIcon()
    for side in (16, 24, 32, 48, 64, 128, 256):
        result.addPixmap(_render("radtune", "#000000", side))
    return result


def bind_icon(
    button: QAbstractButton,
    name: str,
    color: ColorToken | str = "text",
    *,
    size_px: int = 20,
    gap_px: int = 0,
) -> None:
    """Give a button an icon that keeps up with the theme and the text scale.

    A later call for the same button replaces the icon. ``gap_px`` is free room at its right, since
    a style sheet can't set the distance between icon and text.
    """
    binder = button.findChild(_IconBinder, options=Qt.FindChildOption.FindDirectChildrenOnly)
    if not isinstance(binder, _IconBinder):
        binder = _IconBinder(button)
    binder.set_icon(name, color, size_px, gap_px)


class _IconBinder(QObject):
    """Child of a button, so that its connection to the theme dies with the button."""

    def __init__(self, button: QAbstractButton) -> None:
        super().__init__(button)
        self._button = button
        self._name = ""
        self._color: ColorToken | str = "text"
        self._size_px = _BASE_PX
        self._gap_px = 0
        theme().changed.connect(self._refresh)

    def set_icon(self, name: str, color: ColorToken | str, size_px: int, gap_px: int) -> None:
        wanted = (name, color, size_px, gap_px)
        if wanted != (self._name, self._color, self._size_px, self._gap_px):
            self._name, self._color, self._size_px, self._gap_px = wanted
            self._refresh()

    def _refresh(self) -> None:
        side, width = theme().px(self._size_px), theme().px(self._size_px + self._gap_px)
        gap = self._gap_px / self._size_px
        self._button.setIcon(icon(self._name, self._color, gap=gap))
        self._button.setIconSize(QSize(width, side))


def _resolve(color: str) -> str:
    return color if color.startswith("#") else theme().tokens.colors()[color]


@lru_cache(maxsize=512)
def _render(name: str, color: str, side_px: int, gap: float = 0.0) -> QPixmap:
    svg = svg_text(name).replace("currentColor", QColor(color).name())
    renderer = QSvgRenderer(QByteArray(svg.encode("utf-8")))
    image = QPixmap(round(side_px * (1 + gap)), side_px)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    renderer.render(painter, QRectF(0, 0, side_px, side_px))
    painter.end()
    return image
