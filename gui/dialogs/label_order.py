"""Grades in their order, from the lowest to the highest."""

from __future__ import annotations

import re
from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from gui.dialogs.label_fields import note_label
from gui.theme import theme
from gui.widgets.buttons import IconButton

__all__ = ["GradeOrder", "natural_key"]

_MAX_LINES = 6


class GradeOrder(QWidget):
    """A list to put in order: by the arrow buttons, Alt with the arrow keys, or by dragging.

    Signals:
        changed: The order is another one.
    """

    changed = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_touched = False
        self._list = _DragList()
        self._list.setAccessibleName(self.tr("Grades, the lowest first"))
        self._list.currentRowChanged.connect(self._show_state)
        self._list.moved.connect(self._on_moved)
        self._list.asked.connect(self.move_current)
        self._up = IconButton("chevron-up", self.tr("Lower grade: one up (Alt+Up)"))
        self._up.clicked.connect(self._on_up)
        self._down = IconButton("chevron-down", self.tr("Higher grade: one down (Alt+Down)"))
        self._down.clicked.connect(self._on_down)
        self._build()
        theme().changed.connect(self._fit)

    @property
    def order(self) -> tuple[str, ...]:
        """The grades, the lowest first."""
        return tuple(self._list.item(row).text() for row in range(self._list.count()))

    @property
    def is_touched(self) -> bool:
        """Whether the user changed the order."""
        return self._is_touched

    def set_grades(self, grades: Sequence[str], *, keeps_order: bool) -> None:
        """Show grades: as they were put in order, or in their natural one."""
        self._is_touched = self._is_touched and keeps_order
        known = self.order if self._is_touched else ()
        kept = [grade for grade in known if grade in grades]
        new = sorted((grade for grade in grades if grade not in kept), key=natural_key)
        self._list.clear()
        for grade in (*kept, *new):
            item = QListWidgetItem(grade)
            item.setToolTip(grade)
            self._list.addItem(item)
        self._list.setCurrentRow(0)
        self._fit()
        self._show_state()

    def move_current(self, step: int) -> None:
        """Move the current grade by so many places."""
        row = self._list.currentRow()
        target = row + step
        if row < 0 or not 0 <= target < self._list.count():
            return
        self._list.insertItem(target, self._list.takeItem(row))
        self._list.setCurrentRow(target)
        self._on_moved()

    def _on_up(self) -> None:
        self.move_current(-1)

    def _on_down(self) -> None:
        self.move_current(1)

    def _on_moved(self) -> None:
        self._is_touched = True
        self._show_state()
        self.changed.emit()

    def _show_state(self) -> None:
        row = self._list.currentRow()
        self._up.setEnabled(row > 0)
        self._down.setEnabled(0 <= row < self._list.count() - 1)

    def _fit(self) -> None:
        line = max(self._list.sizeHintForRow(0), theme().px(26))
        self._list.setFixedHeight(line * min(max(self._list.count(), 2), _MAX_LINES) + 4)

    def _build(self) -> None:
        buttons = QVBoxLayout()
        buttons.setSpacing(4)
        buttons.addWidget(self._up)
        buttons.addWidget(self._down)
        buttons.addStretch(1)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self._list, 1)
        row.addLayout(buttons)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(note_label(self.tr("From the lowest grade to the highest:")))
        column.addLayout(row)


class _DragList(QListWidget):
    moved = Signal()
    asked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.model().rowsMoved.connect(self.moved)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}
        if event.modifiers() & Qt.KeyboardModifier.AltModifier and event.key() in steps:
            self.asked.emit(steps[Qt.Key(event.key())])
        else:
            super().keyPressEvent(event)


def natural_key(text: str) -> tuple[tuple[int, float, str], ...]:
    """Return a key that sorts "Grade 2" before "Grade 10", without regard to case."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text.casefold())
    return tuple((0, float(p), "") if n % 2 else (1, 0.0, p) for n, p in enumerate(parts) if p)
