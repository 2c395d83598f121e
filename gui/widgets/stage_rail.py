"""The stages of the work at the left of the window, in order, each with its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence, QPainter, QPaintEvent, QShortcut
from PySide6.QtWidgets import QAbstractButton, QFrame, QSizePolicy, QVBoxLayout, QWidget

from gui.theme import theme
from gui.widgets.painting import draw_elided, draw_focus_ring, set_role, smooth_painter
from gui.widgets.state_dot import StageState, draw_state_dot

__all__ = ["Stage", "StageRail", "StageState"]

_MIN_WIDTH_PX = 183


@dataclass(frozen=True, slots=True)
class Stage:
    """One entry of the rail: a key for the program and a title for people."""

    key: str
    title: str


class StageRail(QFrame):
    """The rail: Up and Down move, Enter opens, Alt+1 to Alt+9 open directly, F1 is Help.

    Signals:
        stage_activated: The key of the stage that was chosen; `set_current` must confirm it.
        help_requested: Help was chosen, or F1 was pressed.
    """

    stage_activated = Signal(str)
    help_requested = Signal()

    def __init__(self, stages: Sequence[Stage], *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "rail")
        self.setAccessibleName(self.tr("Stages"))
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 12, 8, 12)
        column.setSpacing(2)
        self._items: dict[str, _RailItem] = {}
        for number, stage in enumerate(stages, start=1):
            self._add_stage(number, stage, column)
        column.addStretch(1)
        self._help = _RailItem(self.tr("Help"), "F1", None)
        self._help.clicked.connect(self.help_requested)
        column.addWidget(self._help)
        QShortcut(QKeySequence("F1"), self).activated.connect(self.help_requested)

    @property
    def current(self) -> str:
        """The key of the stage whose page is shown; empty before the first."""
        return next((key for key, item in self._items.items() if item.isChecked()), "")

    def set_current(self, key: str) -> None:
        """Mark the stage whose page is shown; an unknown key marks none."""
        for name, item in self._items.items():
            item.setChecked(name == key)

    def set_state(self, key: str, state: StageState) -> None:
        """Show the state of a stage.

        Raises:
            KeyError: If there is no such stage.
        """
        self._items[key].set_state(StageState(state))

    def state(self, key: str) -> StageState:
        """Return the state that is shown for a stage."""
        return self._items[key].state or StageState.EMPTY

    def set_stage_enabled(self, key: str, is_enabled: bool, reason: str = "") -> None:
        """Allow or refuse a stage; the reason for a refusal is its tooltip."""
        item = self._items[key]
        item.setEnabled(is_enabled)
        item.setToolTip("" if is_enabled else reason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the focus with Up and Down, Home and End."""
        items = [item for item in (*self._items.values(), self._help) if item.isEnabled()]
        focused = [index for index, item in enumerate(items) if item.hasFocus()]
        place = focused[0] if focused else -1
        moves = {
            Qt.Key.Key_Up: max(0, place - 1),
            Qt.Key.Key_Down: min(len(items) - 1, place + 1),
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: len(items) - 1,
        }
        target = moves.get(Qt.Key(event.key()))
        if target is None:
            super().keyPressEvent(event)
            return
        items[target].setFocus(Qt.FocusReason.TabFocusReason)

    def _add_stage(self, number: int, stage: Stage, column: QVBoxLayout) -> None:
        item = _RailItem(stage.title, str(number), StageState.EMPTY)
        item.key = stage.key
        item.chosen.connect(self.stage_activated)
        self._items[stage.key] = item
        column.addWidget(item)
        if number < 10:
            shortcut = QShortcut(QKeySequence(f"Alt+{number}"), self)
            shortcut.activated.connect(item.click)


class _RailItem(QAbstractButton):
    """One line of the rail: dot, title, number."""

    chosen = Signal(str)

    def __init__(self, title: str, number: str, state: StageState | None) -> None:
        super().__init__()
        self.key = ""
        self._number = number
        self._state = state
        self.setText(title)
        self.clicked.connect(self._choose)
        # Qt would toggle a checkable button on each click; the rail's owner decides instead.
        self._is_current = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        # May shrink: large text and several messages leave little height on a small screen.
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)
        self._describe()
        theme().changed.connect(self._on_theme_changed)

    @property
    def state(self) -> StageState | None:
        return self._state

    def set_state(self, state: StageState) -> None:
        self._state = state
        self._describe()
        self.update()

    def isChecked(self) -> bool:
        return self._is_current

    def setChecked(self, is_checked: bool) -> None:
        self._is_current = is_checked
        self._describe()
        self.update()

    def sizeHint(self) -> QSize:
        look = theme()
        metrics = self.fontMetrics()
        title = metrics.horizontalAdvance(self.text()) * 11 // 10
        number = metrics.horizontalAdvance(self._number)
        width = 8 + look.px(30) + title + 16 + number + 12
        return QSize(max(_MIN_WIDTH_PX - 16, width), max(40, metrics.height() + 20))

    def minimumSizeHint(self) -> QSize:
        return QSize(self.sizeHint().width(), self.fontMetrics().height() + 4)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.click()
        elif event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            event.ignore()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        del event
        painter = smooth_painter(self)
        look = theme()
        rect = QRectF(self.rect())
        if self._is_current or self.underMouse():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(look.color("raised"))
            painter.drawRoundedRect(rect, 6, 6)
        if self._is_current:
            painter.save()
            painter.setClipRect(QRectF(0, 0, 3, rect.height()))
            painter.setBrush(look.color("accent"))
            painter.drawRoundedRect(QRectF(0, 0, 12, rect.height()), 6, 6)
            painter.restore()
        left = 12.0
        if self._state is not None:
            self._paint_dot(painter, rect)
            left = 12.0 + look.px(18)
        self._paint_texts(painter, rect, left)
        if self.hasFocus():
            draw_focus_ring(painter, rect)

    def _paint_dot(self, painter: QPainter, rect: QRectF) -> None:
        if self._state is None:
            return
        side = theme().px(10)
        center = QPointF(12 + side / 2, rect.center().y())
        draw_state_dot(painter, center, side, self._state, is_current=self._is_current)

    def _paint_texts(self, painter: QPainter, rect: QRectF, left: float) -> None:
        look = theme()
        color = look.color("text" if self._is_current else "secondary")
        if not self.isEnabled():
            color = look.color("disabled")
        small = look.font("small")
        painter.setFont(small)
        number = painter.fontMetrics().horizontalAdvance(self._number)
        right = QRectF(rect.right() - 12 - number, 0, number + 1, rect.height())
        draw_elided(painter, right, self._number, small, color)
        title = QRectF(left, 0, right.left() - 8 - left, rect.height())
        font = look.font("body", is_bold=self._is_current)
        draw_elided(painter, title, self.text(), font, color)

    def _choose(self) -> None:
        self.chosen.emit(self.key)

    def _describe(self) -> None:
        names = {
            StageState.EMPTY: _tr("nothing yet"),
            StageState.READY: _tr("ready"),
            StageState.ACTIVE: _tr("working"),
            StageState.DONE: _tr("done"),
            StageState.STALE: _tr("out of date"),
            StageState.ALERT: _tr("needs attention"),
        }
        state = names[self._state] if self._state is not None else ""
        current = _tr("current page") if self._is_current else ""
        self.setAccessibleName(self.text())
        self.setAccessibleDescription(", ".join(part for part in (state, current) if part))
        if self.isEnabled():
            self.setToolTip(state.capitalize())

    def _on_theme_changed(self) -> None:
        self.updateGeometry()
        self.update()


def _tr(text: str) -> str:
    return QCoreApplication.translate("StageRail", text)
