"""Taking a figure out of the window: image, SVG, in print colours whatever the theme."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QPoint, QPointF, QRect, QRectF, QSize
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QWidget

from gui.theme import theme
from gui.tokens import LIGHT, ColorToken, Tokens

__all__ = ["PrintableWidget"]

_MARGIN_PX = 16


class PrintableWidget(QWidget):
    """A widget that paints with `tokens`, so that it can be painted for paper as well.

    Saved figures use the light colours: they go into papers and slides.
    """

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._print_tokens: Tokens | None = None
        self._print_title = ""
        self._print_legend: tuple[tuple[str, ColorToken], ...] = ()
        theme().changed.connect(self._on_theme_changed)

    @property
    def tokens(self) -> Tokens:
        """The colours to paint with."""
        return self._print_tokens or theme().tokens

    def set_print_header(self, title: str, legend: Sequence[tuple[str, ColorToken]] = ()) -> None:
        """Say what stands above the figure when it is saved, as the card's title does on screen."""
        self._print_title = title
        self._print_legend = tuple(legend)

    @property
    def is_printing(self) -> bool:
        """Whether the figure is being painted for paper."""
        return self._print_tokens is not None

    def restyle(self) -> None:
        """Take over `tokens` and the text scale; called when either changed."""
        self.updateGeometry()
        self.update()

    def to_image(self, scale: float = 2.0) -> QImage:
        """Return the figure in print colours, ``scale`` times as large as on screen."""
        image = QImage(self._print_size() * scale, QImage.Format.Format_ARGB32)
        image.fill(QColor(LIGHT.panel))
        painter = QPainter(image)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.scale(scale, scale)
        self._render_printed(painter)
        painter.end()
        return image

    def to_svg(self) -> bytes:
        """Return the figure in print colours as an SVG document."""
        data = QByteArray()
        buffer = QBuffer(data)
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        generator = QSvgGenerator()
        generator.setOutputDevice(buffer)
        generator.setSize(self._print_size())
        generator.setViewBox(QRect(QPoint(), self._print_size()))
        generator.setTitle(self.accessibleName())
        painter = QPainter(generator)
        painter.fillRect(QRect(QPoint(), self._print_size()), QColor(LIGHT.panel))
        self._render_printed(painter)
        painter.end()
        buffer.close()
        return bytes(data.data())

    def _render_printed(self, painter: QPainter) -> None:
        self._print_tokens = LIGHT
        self.restyle()
        try:
            self._print_header(painter)
            flags = QWidget.RenderFlag.DrawChildren
            corner = QPoint(_MARGIN_PX, self._header_height() + _MARGIN_PX)
            self.render(painter, corner, renderFlags=flags)
        finally:
            self._print_tokens = None
            self.restyle()

    def _print_size(self) -> QSize:
        margins = QSize(2 * _MARGIN_PX, 2 * _MARGIN_PX + self._header_height())
        return self.size() + margins

    def _header_height(self) -> int:
        if not self._print_title:
            return 0
        return QFontMetrics(theme().font("body", is_bold=True)).height() + 12

    def _print_header(self, painter: QPainter) -> None:
        left, base = float(_MARGIN_PX), _MARGIN_PX + self._header_height() - 16.0
        font = theme().font("body", is_bold=True)
        painter.setFont(font)
        painter.setPen(QColor(LIGHT.text))
        painter.drawText(QPointF(left, base), self._print_title)
        left += QFontMetrics(font).horizontalAdvance(self._print_title) + 16
        font = theme().font("body")
        painter.setFont(font)
        for text, token in self._print_legend:
            painter.setPen(QColor(LIGHT.secondary))
            painter.drawText(QPointF(left, base), text)
            left += QFontMetrics(font).horizontalAdvance(text) + 6
            painter.fillRect(QRectF(left, base - 6, 14, 3), QColor(LIGHT.color(token)))
            left += 14 + 12

    def _on_theme_changed(self) -> None:
        self.restyle()
