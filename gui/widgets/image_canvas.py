"""The drawing part of the image viewer: zoom, pan, window and level with mouse and keys."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui.widgets.painting import draw_focus_ring

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gui.widgets.image_pixels import ImagePixels

__all__ = ["ImageCanvas"]

_MAX_SCALE = 32.0
_KEY_STEP_PX = 24
_PAN_KEYS = {
    Qt.Key.Key_Left: QPointF(1, 0),
    Qt.Key.Key_Right: QPointF(-1, 0),
    Qt.Key.Key_Up: QPointF(0, 1),
    Qt.Key.Key_Down: QPointF(0, -1),
}


class ImageCanvas(QWidget):
    """Shows an image on black; see `gui.widgets.image_view.ImageView` for how it is used.

    Signals:
        window_changed: Centre and width after the user or the program changed them.
        view_changed: Zoom or position changed.
    """

    window_changed = Signal(float, float)
    view_changed = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pixels: ImagePixels | None = None
        self._window = (128.0, 256.0)
        self._start_window = self._window
        self._is_inverted = False
        self._starts_inverted = False
        self._is_fitted = True
        self._scale = 1.0
        self._center = QPointF()
        self._last = QPoint()
        self._is_space_down = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    @property
    def pixels(self) -> ImagePixels | None:
        """The image that is shown."""
        return self._pixels

    @property
    def window_level(self) -> tuple[float, float]:
        """Centre and width."""
        return self._window

    @property
    def is_inverted(self) -> bool:
        """Whether dark and bright are exchanged."""
        return self._is_inverted

    @property
    def scale(self) -> float:
        """Logical screen pixels per image pixel."""
        return self._scale

    def set_image(
        self,
        array: NDArray[Any] | None,
        window: tuple[float, float] | None,
        *,
        keep_view: bool,
        is_inverted: bool = False,
    ) -> None:
        """Show another image, or none; see `ImageView.set_image`."""
        former = self._pixels
        if array is None:
            self._pixels = None
            self.update()
            return
        # Here and not above, so that the first page is painted before NumPy is loaded.
        from gui.widgets.image_pixels import ImagePixels

        self._pixels = ImagePixels(array)
        self._start_window = window if window is not None else self._pixels.default_window()
        same_size = former is not None and (former.width, former.height) == (
            self._pixels.width,
            self._pixels.height,
        )
        if not (keep_view and same_size):
            self.set_inverted(is_inverted=is_inverted)
            self.fit()
        self._starts_inverted = is_inverted
        self.set_window(*self._start_window)

    def set_window(self, center: float, width: float) -> None:
        """Change centre and width; the width is kept positive."""
        is_float = self._pixels is not None and self._pixels.is_float
        self._window = (float(center), float(max(width, 1e-6 if is_float else 1.0)))
        self.window_changed.emit(*self._window)
        self.update()

    def set_inverted(self, *, is_inverted: bool) -> None:
        """Exchange dark and bright, or undo that."""
        if is_inverted != self._is_inverted:
            self._is_inverted = is_inverted
            self.view_changed.emit()
            self.update()

    def reset(self) -> None:
        """Return to the first window, the whole image, and the first polarity."""
        self.set_inverted(is_inverted=self._starts_inverted)
        self.set_window(*self._start_window)
        self.fit()

    def fit(self) -> None:
        """Show the whole image, and keep doing so when the widget changes its size."""
        if self._pixels is None:
            return
        self._is_fitted = True
        width, height = self._pixels.width, self._pixels.height
        self._scale = max(min(self.width() / width, self.height() / height), 1e-4)
        self._center = QPointF(width / 2, height / 2)
        self.view_changed.emit()
        self.update()

    def zoom_about(self, point: QPointF, factor: float) -> None:
        """Zoom so that what is under ``point`` (widget coordinates) stays there."""
        if self._pixels is None:
            return
        smallest = min(self.width() / self._pixels.width, self.height() / self._pixels.height, 1.0)
        scale = min(max(self._scale * factor, smallest / 2), _MAX_SCALE)
        before = self._to_image(point)
        self._scale = scale
        offset = point - QRectF(self.rect()).center()
        self._center = before - offset / scale
        self._is_fitted = False
        self._clamp()

    def sizeHint(self) -> QSize:
        """Return a useful size for a side panel."""
        return QSize(300, 240)

    def minimumSizeHint(self) -> QSize:
        """Return the least size in which an image can be judged."""
        return QSize(120, 96)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the whole image in view until the user zooms."""
        super().resizeEvent(event)
        if self._is_fitted:
            self.fit()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the visible part from the copy that fits the zoom."""
        del event
        painter = QPainter(self)
        # Black in both themes: anything brighter beside a radiograph dazzles.
        painter.fillRect(self.rect(), QColor("#000000"))
        if self._pixels is not None:
            self._draw_image(painter, self._pixels)
        if self.hasFocus():
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            draw_focus_ring(painter, QRectF(self.rect()), 4)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom about the cursor."""
        delta = event.angleDelta().y()
        if self._pixels is not None and delta:
            self.zoom_about(event.position(), math.pow(1.0015, delta))
            event.accept()
        else:
            event.ignore()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Remember where a drag starts."""
        self._last = event.position().toPoint()
        self.setFocus(Qt.FocusReason.MouseFocusReason)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag with left for the window, with middle, right or Space for the position."""
        point = event.position().toPoint()
        delta = point - self._last
        self._last = point
        buttons = event.buttons()
        moving = Qt.MouseButton.MiddleButton | Qt.MouseButton.RightButton
        if buttons & moving or (buttons & Qt.MouseButton.LeftButton and self._is_space_down):
            self._pan(QPointF(delta))
        elif buttons & Qt.MouseButton.LeftButton:
            self._change_window(delta.x(), delta.y())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Start over."""
        del event
        self.reset()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows pan, with Shift window; + and - zoom, 0 fits, 1 is one to one, I inverts."""
        key = Qt.Key(event.key())
        middle = QRectF(self.rect()).center()
        if key in _PAN_KEYS and event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            step = _PAN_KEYS[key] * 8
            self._change_window(round(-step.x()), round(-step.y()))
        elif key in _PAN_KEYS:
            self._pan(_PAN_KEYS[key] * _KEY_STEP_PX)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom_about(middle, 1.25)
        elif key is Qt.Key.Key_Minus:
            self.zoom_about(middle, 0.8)
        elif key is Qt.Key.Key_0:
            self.fit()
        elif key is Qt.Key.Key_1:
            self.zoom_about(middle, 1.0 / (self._scale * self.devicePixelRatioF()))
        elif key is Qt.Key.Key_I:
            self.set_inverted(is_inverted=not self._is_inverted)
        elif key is Qt.Key.Key_R:
            self.reset()
        elif key is Qt.Key.Key_Space:
            self._is_space_down = True
            self.setCursor(Qt.CursorShape.OpenHandCursor)
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """Leave panning when Space is let go."""
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._stop_space()
        else:
            super().keyReleaseEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Forget a held Space, whose release goes elsewhere."""
        self._stop_space()
        super().focusOutEvent(event)

    def _stop_space(self) -> None:
        self._is_space_down = False
        self.unsetCursor()

    def _change_window(self, dx: int, dy: int) -> None:
        if self._pixels is None or self._pixels.is_color:
            return
        center, width = self._window
        span = self._pixels.value_range() / 400.0
        # Right is softer, up is brighter, as in the viewers that radiologists know.
        self.set_window(center + dy * span, width + dx * span)

    def _pan(self, delta: QPointF) -> None:
        if self._pixels is None:
            return
        self._center -= delta / self._scale
        self._is_fitted = False
        self._clamp()

    def _clamp(self) -> None:
        if self._pixels is None:
            return
        x = min(max(self._center.x(), 0.0), float(self._pixels.width))
        y = min(max(self._center.y(), 0.0), float(self._pixels.height))
        self._center = QPointF(x, y)
        self.view_changed.emit()
        self.update()

    def _to_image(self, point: QPointF) -> QPointF:
        return self._center + (point - QRectF(self.rect()).center()) / self._scale

    def _draw_image(self, painter: QPainter, pixels: ImagePixels) -> None:
        level = pixels.level_for(self._scale * self.devicePixelRatioF())
        step = 2**level
        n_rows, n_columns = pixels.level(level).shape[:2]
        first, last = (
            self._to_image(QPointF(0, 0)),
            self._to_image(QPointF(self.width(), self.height())),
        )
        left, top = max(0, math.floor(first.x() / step)), max(0, math.floor(first.y() / step))
        right = min(n_columns, math.ceil(last.x() / step) + 1)
        bottom = min(n_rows, math.ceil(last.y() / step) + 1)
        if right <= left or bottom <= top:
            return
        part = pixels.render(
            level,
            slice(top, bottom),
            slice(left, right),
            self._window,
            is_inverted=self._is_inverted,
        )
        kind = QImage.Format.Format_RGB888 if part.ndim == 3 else QImage.Format.Format_Grayscale8
        image = QImage(part.data, part.shape[1], part.shape[0], part.strides[0], kind)
        corner = (
            QRectF(self.rect()).center()
            + (QPointF(left * step, top * step) - self._center) * self._scale
        )
        side = step * self._scale
        target = QRectF(corner.x(), corner.y(), part.shape[1] * side, part.shape[0] * side)
        # Beyond 4 x the single pixels are what one wants to see.
        smooth = self._scale < 4.0
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, smooth)
        painter.drawImage(target, image)
