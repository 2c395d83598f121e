"""The bottom of the window: the running job, wherever the user is."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QWidget

from gui.icons import bind_icon
from gui.theme import theme
from gui.widgets.buttons import make_link
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.painting import set_role, smooth_painter
from gui.widgets.progress_row import ThinProgress

__all__ = ["StatusStrip"]


class StatusStrip(QFrame):
    """One line of text; while a job runs also its progress, Pause and Stop.

    Requests show as pending (`set_pending`) until the engine's event confirms them.

    Signals:
        pause_requested, resume_requested, stop_requested: The buttons.
        job_activated: The text was clicked while a job runs: go to its page.
    """

    pause_requested = Signal()
    resume_requested = Signal()
    stop_requested = Signal()
    job_activated = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "strip")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._is_paused = False
        self._has_job = False
        self._dot = _Dot()
        self._text = ElidedLabel(role="small")
        self._progress = ThinProgress(height_px=4)
        self._progress.setMaximumWidth(240)
        self._pause = make_link(self.tr("Pause"), icon="pause")
        self._pause.clicked.connect(self._ask_pause)
        self._stop = make_link(self.tr("Stop"), icon="stop")
        self._stop.clicked.connect(self.stop_requested)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 0, 12, 0)
        row.setSpacing(8)
        row.addWidget(self._dot)
        row.addWidget(self._text, 1)
        row.addWidget(self._progress)
        row.addWidget(self._pause)
        row.addWidget(self._stop)
        self.set_idle("")

    def sizeHint(self) -> QSize:
        """Return a strip of 32 px, higher where large text needs it."""
        hint = super().sizeHint()
        return QSize(hint.width(), max(32, hint.height()))

    def minimumSizeHint(self) -> QSize:
        """Keep the height the same with and without a job."""
        hint = super().minimumSizeHint()
        return QSize(hint.width(), self.sizeHint().height())

    def set_idle(self, text: str) -> None:
        """Say what the application is ready for; no job runs."""
        self._has_job = False
        self._is_paused = False
        self._show(text, fraction=0.0)
        for widget in (self._dot, self._progress, self._pause, self._stop):
            widget.hide()
        self._text.unsetCursor()

    def set_job(
        self,
        text: str,
        fraction: float | None,
        *,
        can_pause: bool = True,
        can_stop: bool = True,
        stop_text: str = "",
    ) -> None:
        """Show a running job, its share done in [0, 1] (``None``: unknown) and its buttons.

        Args:
            text: What runs and how far it is, one line.
            fraction: Share done, or ``None``.
            can_pause: Whether the job can pause.
            can_stop: Whether the job can be stopped.
            stop_text: What stopping does here, such as "Stop and keep best"; default "Stop".
        """
        self._has_job = True
        self._show(text, fraction)
        self._dot.show()
        self._progress.show()
        self._pause.setVisible(can_pause)
        self._stop.setVisible(can_stop)
        self._stop.setText(stop_text or self.tr("Stop"))
        self._text.setCursor(Qt.CursorShape.PointingHandCursor)
        self._pause.setEnabled(True)
        self._stop.setEnabled(True)

    def set_paused(self, is_paused: bool) -> None:
        """Offer Resume instead of Pause."""
        self._is_paused = is_paused
        self._pause.setText(self.tr("Resume") if is_paused else self.tr("Pause"))
        bind_icon(self._pause, "play" if is_paused else "pause", "accent", size_px=16, gap_px=4)
        self._dot.set_hollow(is_paused)
        self._pause.setEnabled(True)
        self._stop.setEnabled(True)

    def set_pending(self, text: str) -> None:
        """Say that a request is on its way ("Pausing…") and take no further ones."""
        self._show(text, fraction=-1.0)
        self._pause.setEnabled(False)
        self._stop.setEnabled(False)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Go to the page of the running job."""
        if self._has_job and event.button() is Qt.MouseButton.LeftButton:
            self.job_activated.emit()
        super().mouseReleaseEvent(event)

    def _show(self, text: str, fraction: float | None) -> None:
        self._text.setText(text)
        self.setAccessibleName(text)
        if fraction is None or fraction >= 0:
            self._progress.set_fraction(fraction)
        self._progress.setAccessibleName(text)

    def _ask_pause(self) -> None:
        if self._is_paused:
            self.resume_requested.emit()
        else:
            self.pause_requested.emit()


class _Dot(QWidget):
    """Full while a job runs, two bars while it is paused."""

    def __init__(self) -> None:
        super().__init__()
        self._is_hollow = False
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)

    def set_hollow(self, is_hollow: bool) -> None:
        self._is_hollow = is_hollow
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(theme().px(12), theme().px(12))

    def paintEvent(self, event: QPaintEvent) -> None:
        del event
        painter = smooth_painter(self)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme().color("accent"))
        side = theme().px(8)
        top, left = (self.height() - side) / 2, 0.0
        if self._is_hollow:
            painter.drawRect(QRectF(left, top, side * 0.35, side))
            painter.drawRect(QRectF(left + side * 0.65, top, side * 0.35, side))
        else:
            painter.drawEllipse(QPointF(left + side / 2, top + side / 2), side / 2, side / 2)
