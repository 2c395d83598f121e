"""Progress as a thin bar, with or without texts at its ends."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, QTimer
from PySide6.QtGui import QHideEvent, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QSizePolicy, QWidget

from gui.theme import theme
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.painting import draw_bar, smooth_painter

__all__ = ["ProgressRow", "ThinProgress"]

_STEPS = 1000
_FRAME_MS = 40


class ThinProgress(QProgressBar):
    """A 6-px bar; without a fraction it moves to say that the length of the work is unknown."""

    def __init__(
        self,
        *,
        height_px: int = 6,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._height_px = height_px
        self._phase = 0.0
        self._clock = QTimer(self)
        self._clock.setInterval(_FRAME_MS)
        self._clock.timeout.connect(self._advance)
        self.setTextVisible(False)
        self.setRange(0, _STEPS)
        self.setValue(0)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_fraction(self, fraction: float | None) -> None:
        """Show a share in [0, 1], or movement for ``None``."""
        # Qt would paint everything that waits for it, at once and for each of the two values.
        self.setUpdatesEnabled(False)
        if fraction is None:
            self.setRange(0, 0)
        else:
            self.setRange(0, _STEPS)
            self.setValue(round(min(max(fraction, 0.0), 1.0) * _STEPS))
        self.setUpdatesEnabled(True)
        self._run_clock()

    def sizeHint(self) -> QSize:
        """Return a wide, thin bar."""
        return QSize(120, self._height_px)

    def minimumSizeHint(self) -> QSize:
        """Return the least useful length."""
        return QSize(32, self._height_px)

    def showEvent(self, event: QShowEvent) -> None:
        """Move only while it can be seen."""
        super().showEvent(event)
        self._run_clock()

    def hideEvent(self, event: QHideEvent) -> None:
        """Stop moving while nobody looks."""
        super().hideEvent(event)
        self._clock.stop()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint track and full part, or the moving part."""
        del event
        painter = smooth_painter(self)
        look = theme()
        rect = QRectF(0, (self.height() - self._height_px) / 2, self.width(), self._height_px)
        fill = look.color("accent" if self.isEnabled() else "disabled")
        track = look.color("chip")
        if self.maximum() > 0:
            draw_bar(painter, rect, self.value() / self.maximum(), fill, track)
            return
        draw_bar(painter, rect, 0.0, fill, track)
        length = rect.width() * 0.3
        left = rect.left() + (rect.width() - length) * abs(1.0 - 2.0 * self._phase)
        draw_bar(painter, QRectF(left, rect.top(), length, rect.height()), 1.0, fill)

    def _run_clock(self) -> None:
        if self.maximum() == 0 and self.isVisible():
            self._clock.start()
        else:
            self._clock.stop()
        self.update()

    def _advance(self) -> None:
        self._phase = (self._phase + 0.02) % 1.0
        self.update()


class ProgressRow(QWidget):
    """A label, a thin bar and a text at the right, on one line."""

    def __init__(self, label: str = "", *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._label = ElidedLabel(label, n_letters=24)
        self._bar = ThinProgress()
        self._right = ElidedLabel(role="secondary")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(12)
        row.addWidget(self._label)
        row.addWidget(self._bar, 1)
        row.addWidget(self._right)
        self.set_label(label)

    @property
    def bar(self) -> ThinProgress:
        """The bar itself."""
        return self._bar

    def set_label(self, label: str) -> None:
        """Replace the text at the left."""
        self._label.setText(label)
        self._label.setVisible(bool(label))
        self._bar.setAccessibleName(label)

    def set_progress(self, fraction: float | None, right_text: str = "") -> None:
        """Show a share in [0, 1] (``None``: unknown) and, at the right, counts or time left."""
        self._bar.set_fraction(fraction)
        self._right.setText(right_text)
        self._right.setVisible(bool(right_text))
        self._bar.setAccessibleDescription(right_text)
