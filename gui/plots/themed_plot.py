"""What all pyqtgraph plots share: colours, hairline grid, hover read-out, calm redrawing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, QSize, Qt, QTimer
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPaintEvent,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from gui.plots.printable import PrintableWidget
from gui.theme import theme
from gui.tokens import ColorToken
from gui.widgets.painting import draw_focus_ring, set_role, smooth_painter

__all__ = ["REDRAW_MS", "ThemedPlot"]

REDRAW_MS = 100
_BEYOND_PX = 48


class ThemedPlot(PrintableWidget):
    """A plot area without zooming, so that the wheel scrolls the page it is on.

    Moving the mouse, or Left and Right with the keyboard, reads values off. Children add their
    curves in the constructor, colour them in `restyle`, and put new data into them in `redraw`,
    which runs at most ten times a second and only while the plot can be seen.
    """

    def __init__(self, name: str, *, parent: QWidget | None = None) -> None:
        """Make an empty plot; the first one loads pyqtgraph (some tenths of a second)."""
        super().__init__(parent=parent)
        import pyqtgraph as pg

        self._pg = pg
        self._plot: Any = pg.PlotWidget(self, background=None)
        self._item: Any = self._plot.getPlotItem()
        self._axes: dict[str, Any] = {}
        self._labels: dict[str, str] = {}
        self._cursor_x: float | None = None
        self._is_dirty = False
        self._clock = QTimer(self)
        self._clock.setSingleShot(True)
        self._clock.setInterval(REDRAW_MS)
        self._clock.timeout.connect(self._redraw_if_visible)
        self._prepare()
        self._line: Any = pg.InfiniteLine(angle=90, movable=False)
        self._line.hide()
        self._item.addItem(self._line, ignoreBounds=True)
        self._read_out = QLabel(self)
        set_role(self._read_out, "chip")
        self._read_out.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._read_out.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 2, 2, 2)
        column.addWidget(self._plot)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(name)

    def sizeHint(self) -> QSize:
        """Return a useful size for half a page."""
        return QSize(theme().px(320), theme().px(200))

    def minimumSizeHint(self) -> QSize:
        """Return the least size with readable axes."""
        return QSize(theme().px(180), theme().px(120))

    def set_axis_labels(self, bottom: str = "", left: str = "") -> None:
        """Name the axes; an empty name takes no room."""
        self._labels = {"bottom": bottom, "left": left}
        self._style_axes()

    def end_padding(self) -> float:
        """Return the padding of a range that leaves room for half of the outermost numbers.

        As a share of the range, as `setYRange` takes it.
        pyqtgraph leaves out a number that doesn't fit beside the area of the curves as a whole.
        """
        height = max(80.0, float(self._item.getViewBox().height()))
        share = theme().px(7) / height
        return share / (1.0 - 2.0 * share)

    def fit_ends(self) -> None:
        """React to another size of the area of the curves; for ranges that use `end_padding`."""

    def add_curve(self, x: Sequence[float] = (), y: Sequence[float] = (), **options: Any) -> Any:
        """Add a pyqtgraph curve whose marks stay sharp at every scale."""
        # The cache holds marks as pixels, which would end up in saved SVG files.
        return self._item.plot(x, y, antialias=True, useCache=False, **options)

    def schedule_redraw(self) -> None:
        """Ask for a redraw soon; many requests within a tenth of a second become one."""
        self._is_dirty = True
        if not self._clock.isActive():
            self._clock.start()

    # The metaclass of Qt's objects doesn't mix with ABCMeta: it is mypy that refuses to make a plot
    # without these.
    @abstractmethod
    def redraw(self) -> None:
        """Put the present data into the curves."""

    def stops(self) -> list[float]:
        """Return the positions at which values can be read off, ascending."""
        return []

    @abstractmethod
    def read_out(self, x: float) -> str:
        """Return the text for the values at a position of `stops`."""

    @abstractmethod
    def to_csv(self) -> str:
        """Return the numbers behind the plot, comma-separated with a header line."""

    def restyle(self) -> None:
        """Colour axes, grid, cursor."""
        self._style_axes()
        self._line.setPen(self.pen("control", width=1))
        is_read = self._cursor_x is not None and not self.is_printing
        self._line.setVisible(is_read)
        self._read_out.setVisible(is_read)
        super().restyle()

    def pen(
        self,
        color: ColorToken | str,
        *,
        width: float = 2.0,
        is_dashed: bool = False,
        alpha: int = 255,
    ) -> Any:
        """Return a pyqtgraph pen in a colour of the present tokens (or ``#rrggbb``)."""
        shade = self.shade(color)
        shade.setAlpha(alpha)
        style = Qt.PenStyle.DashLine if is_dashed else Qt.PenStyle.SolidLine
        return self._pg.mkPen(shade, width=width, style=style)

    def shade(self, color: ColorToken | str) -> QColor:
        """Return a token's colour, or the colour ``#rrggbb`` itself."""
        return QColor(color if color.startswith("#") else self.tokens.colors()[color])

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what came while the plot was hidden."""
        super().showEvent(event)
        self._redraw_if_visible()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the read-out in its corner."""
        super().resizeEvent(event)
        self._place_read_out()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the focus ring around the plot."""
        super().paintEvent(event)
        if self.hasFocus() and not self.is_printing:
            draw_focus_ring(smooth_painter(self), QRectF(self.rect()), 4)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show the focus ring."""
        super().focusInEvent(event)
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Step through the values with Left, Right, Home and End; Escape hides the read-out."""
        stops = self.stops()
        key = event.key()
        if key == Qt.Key.Key_Escape and self._cursor_x is not None:
            self._hide_cursor()
        elif stops and key in _STEP_KEYS:
            places = [index for index, x in enumerate(stops) if x == self._cursor_x]
            place = places[0] if places else len(stops) - 1
            moves = {
                Qt.Key.Key_Left: max(0, place - 1),
                Qt.Key.Key_Right: min(len(stops) - 1, place + 1),
                Qt.Key.Key_Home: 0,
                Qt.Key.Key_End: len(stops) - 1,
            }
            self._show_cursor(stops[moves[Qt.Key(key)]])
        else:
            super().keyPressEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Read off under the mouse; hand the wheel to the page."""
        kind = event.type()
        if kind is QEvent.Type.MouseMove and isinstance(event, QMouseEvent):
            self._hover(event.position())
        elif kind is QEvent.Type.Leave:
            self._hide_cursor()
        elif kind is QEvent.Type.Wheel:
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    def _prepare(self) -> None:
        self._item.hideButtons()
        self._item.setMenuEnabled(False)
        self._item.setMouseEnabled(x=False, y=False)
        self._item.getViewBox().setDefaultPadding(0.02)
        self._item.getViewBox().sigResized.connect(self._on_area_resized)
        self._item.setClipToView(False)
        self._plot.setFrameShape(self._plot.Shape.NoFrame)
        self._plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._plot.setStyleSheet("background: transparent; border: none;")
        self._plot.viewport().setMouseTracking(True)
        self._plot.viewport().installEventFilter(self)
        for side in ("left", "bottom"):
            axis = self._item.getAxis(side)
            axis.enableAutoSIPrefix(False)
            # Numbers may reach so far beyond the ends of the axis.
            axis.setStyle(tickLength=0, maxTickLevel=0, hideOverlappingLabels=_BEYOND_PX)
            # Below the curves: the grid belongs to the axis and would cross them.
            axis.setZValue(-100)
            self._axes[side] = axis
        self._item.showGrid(x=False, y=True, alpha=1.0)

    def _on_area_resized(self, _view: Any) -> None:
        self.fit_ends()

    def _style_axes(self) -> None:
        # The last number under the axis is centred on its end and needs room there.
        self._item.layout.setContentsMargins(0, 8, theme().px(12), 0)
        for side, axis in self._axes.items():
            # The grid is enough; an axis line would be one hairline too many beside it.
            axis.setPen(self._pg.mkPen(None))
            axis.setTextPen(self.pen("secondary", width=1))
            # Only the left axis has a grid; ticks of no length would show as dots below, and
            # pyqtgraph draws them even with an invisible pen.
            axis.setTickPen(self.pen("line" if side == "left" else "panel", width=1))
            axis.setStyle(tickFont=theme().font("small"), tickTextOffset=6)
            text = self._labels.get(side, "")
            axis.showLabel(bool(text))
            if text:
                css = {"color": self.tokens.secondary, "font-size": f"{theme().px(11)}px"}
                axis.setLabel(text, **css)

    def _redraw_if_visible(self) -> None:
        if self._is_dirty and self.isVisible():
            self._is_dirty = False
            self.redraw()

    def _hover(self, position: QPointF) -> None:
        stops = self.stops()
        view = self._item.getViewBox()
        scene = self._plot.mapToScene(position.toPoint())
        if not stops or not view.sceneBoundingRect().contains(scene):
            self._hide_cursor()
            return
        x = view.mapSceneToView(scene).x()
        self._show_cursor(min(stops, key=lambda stop: abs(stop - x)))

    def _show_cursor(self, x: float) -> None:
        self._cursor_x = x
        self._line.setValue(x)
        self._line.show()
        self._read_out.setText(self.read_out(x))
        self._read_out.show()
        self._place_read_out()
        self.setAccessibleDescription(self._read_out.text())

    def _hide_cursor(self) -> None:
        self._cursor_x = None
        self._line.hide()
        self._read_out.hide()

    def _place_read_out(self) -> None:
        self._read_out.adjustSize()
        left = max(0, self.width() - self._read_out.width() - 4)
        self._read_out.move(left, 2)


_STEP_KEYS = (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Home, Qt.Key.Key_End)
