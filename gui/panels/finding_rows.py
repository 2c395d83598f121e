"""The findings of the selected images: each present, absent or unknown, with a key and a click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QFocusEvent,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QAbstractButton, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from engine.contract.records import ClassSummary
from gui.itemmodels.label_states import SIGNS, Mark, MarkCounts, mark_text
from gui.theme import theme
from gui.widgets.painting import draw_elided, draw_focus_ring, smooth_painter

__all__ = ["MAX_KEYS", "FindingRows"]

MAX_KEYS: Final = 9
_MARKS: Final = (Mark.PRESENT, Mark.ABSENT, Mark.UNKNOWN)
_KEYS: Final = {
    Qt.Key.Key_Plus: Mark.PRESENT,
    Qt.Key.Key_Minus: Mark.ABSENT,
    Qt.Key.Key_Question: Mark.UNKNOWN,
}
_TOGGLES: Final = (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter)
_NOTHING: Final = MarkCounts()
_LARGE_TEXT: Final = 1.5


class FindingRows(QWidget):
    """One row per finding; Tab reaches the list, the arrow keys go from row to row.

    Signals:
        mark_chosen: Id of a finding, and the :class:`Mark` that the images shall have.
    """

    mark_chosen = Signal(int, object)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: dict[int, _FindingRow] = {}
        self._names: list[tuple[int, str]] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        self.setAccessibleName(self.tr("Findings"))

    def set_findings(
        self, classes: Sequence[ClassSummary], marks: Mapping[int, MarkCounts], *, n_images: int
    ) -> None:
        """Show how findings stand in the selected images.

        Args:
            classes: The findings.
            marks: In how many of the images each is present, absent and unknown, by id.
            n_images: How many images are selected.
        """
        names = [(c.id, c.name) for c in classes]
        if names != self._names:
            self._names = names
            self._set_rows(classes)
        for class_id, row in self._rows.items():
            row.show_marks(marks.get(class_id, _NOTHING), is_enabled=n_images > 0)

    def finding_of_key(self, number: int) -> int | None:
        """Return the id of the finding with a number key, from 1."""
        ids = list(self._rows)
        return ids[number - 1] if 0 < number <= min(len(ids), MAX_KEYS) else None

    def row(self, class_id: int) -> _FindingRow:
        """Return the row of a finding."""
        return self._rows[class_id]

    def _set_rows(self, classes: Sequence[ClassSummary]) -> None:
        for row in self._rows.values():
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
        self._rows = {}
        for number, summary in enumerate(classes, start=1):
            row = _FindingRow(summary, number if number <= MAX_KEYS else None)
            row.mark_chosen.connect(self.mark_chosen)
            row.neighbour_wanted.connect(self._go)
            self._column.addWidget(row)
            self._rows[summary.id] = row
        if self._rows:
            self._keep_tab_stop(next(iter(self._rows)))

    def _go(self, class_id: int, step: int) -> None:
        ids = list(self._rows)
        place = ids.index(class_id) + step
        if 0 <= place < len(ids):
            self._keep_tab_stop(ids[place])
            self._rows[ids[place]].setFocus(Qt.FocusReason.TabFocusReason)

    def _keep_tab_stop(self, class_id: int) -> None:
        """Let Tab come back to the row that had the focus last, and to no other."""
        for other, row in self._rows.items():
            is_stop = other == class_id
            row.setFocusPolicy(Qt.FocusPolicy.TabFocus if is_stop else Qt.FocusPolicy.NoFocus)


class _FindingRow(QWidget):
    """Key, name, how the finding stands in a word, and three buttons: +, − and ?."""

    mark_chosen = Signal(int, object)
    neighbour_wanted = Signal(int, int)

    def __init__(self, summary: ClassSummary, number: int | None) -> None:
        super().__init__()
        self._summary = summary
        self._key = str(number) if number is not None else ""
        self._counts = _NOTHING
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setAccessibleName(summary.name)
        self._buttons = {mark: _MarkButton(mark, summary.name) for mark in _MARKS}
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addStretch(1)
        for mark, button in self._buttons.items():
            button.setToolTip(self._advice(mark))
            button.chosen.connect(self._choose)
            row.addWidget(button)
        theme().changed.connect(self.updateGeometry)

    @property
    def mark(self) -> Mark:
        """How the finding stands in the selected images."""
        return self._counts.common

    def button(self, mark: Mark) -> _MarkButton:
        """Return the button that sets a mark."""
        return self._buttons[mark]

    def show_marks(self, counts: MarkCounts, *, is_enabled: bool) -> None:
        self._counts = counts
        self.setEnabled(is_enabled)
        found = (counts.n_present, counts.n_absent, counts.n_unknown)
        for (mark, button), n in zip(self._buttons.items(), found, strict=True):
            button.set_state(is_all=n > 0 and mark is self.mark, is_some=n > 0)
        self.setAccessibleDescription(self._description())
        self.setToolTip(self._description() if self.mark is Mark.MIXED else "")
        self.update()

    def toggle(self) -> None:
        """Make the finding present, or absent where all images have it."""
        self._choose(Mark.ABSENT if self.mark is Mark.PRESENT else Mark.PRESENT)

    def sizeHint(self) -> QSize:
        line = self.fontMetrics().height()
        return QSize(theme().px(200), 2 * line + 6 if _has_two_lines() else max(26, line + 9))

    def minimumSizeHint(self) -> QSize:
        buttons = sum(button.sizeHint().width() for button in self._buttons.values())
        return QSize(buttons + theme().px(80), self.sizeHint().height())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(
            event.position().toPoint()
        ):
            self.toggle()

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = Qt.Key(event.key())
        if key in _TOGGLES:
            self.toggle()
        elif key in _KEYS:
            self._choose(_KEYS[key])
        elif key in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self.neighbour_wanted.emit(self._summary.id, 1 if key == Qt.Key.Key_Down else -1)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        del event
        painter = smooth_painter(self)
        look = theme()
        height = float(self.height())
        if self.isEnabled() and self.underMouse():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(look.color("raised"))
            painter.drawRoundedRect(QRectF(self.rect()), 4, 4)
        key_width = look.px(10)
        color = look.color("secondary" if self.isEnabled() else "disabled")
        key = QRectF(2, 0, key_width, height)
        draw_elided(painter, key, self._key, look.font("secondary"), color)
        left = 2 + key_width + 6.0
        room = QRectF(left, 0, self._buttons[Mark.PRESENT].x() - 8 - left, height)
        self._paint_words(painter, room)
        if self.hasFocus():
            draw_focus_ring(painter, QRectF(self.rect()), 4)

    def _paint_words(self, painter: QPainter, room: QRectF) -> None:
        """Write the name, and at its right, or below it at large text, how the finding stands."""
        look = theme()
        is_plain = self.mark in (Mark.ABSENT, Mark.UNKNOWN)
        color = look.color("secondary" if is_plain else "text")
        if not self.isEnabled():
            color = look.color("disabled")
        word, font = mark_text(self.mark) if self.isEnabled() else "", look.font("secondary")
        if _has_two_lines():
            half = room.height() / 2
            name = QRectF(room.left(), 2, room.width(), half)
            below = QRectF(room.left(), half, room.width(), half - 2)
        else:
            width = QFontMetrics(font).horizontalAdvance(word) + 1.0
            below = QRectF(room.right() - width, 0, width, room.height())
            name = room.adjusted(0, 0, -width - 8, 0)
        draw_elided(painter, below, word, font, color)
        if draw_elided(painter, name, self._summary.name, look.font("body"), color):
            self.setToolTip(self.toolTip() or self._summary.name)

    def _choose(self, mark: Mark) -> None:
        self.mark_chosen.emit(self._summary.id, mark)

    def _description(self) -> str:
        parts = [mark_text(self.mark)]
        if self.mark is Mark.MIXED:
            counts = self._counts
            for n, mark in (
                (counts.n_present, Mark.PRESENT),
                (counts.n_absent, Mark.ABSENT),
                (counts.n_unknown, Mark.UNKNOWN),
            ):
                parts += [f"{n} {mark_text(mark)}"] if n else []
        if self._key:
            parts.append(self.tr("key %s") % self._key)
        return ", ".join(parts)

    def _advice(self, mark: Mark) -> str:
        word = mark_text(mark)
        if not self._key:
            return word
        if mark is Mark.UNKNOWN:
            return self.tr("%s (Ctrl+%s)") % (word, self._key)
        return self.tr("%s (%s)") % (word, self._key)


def _has_two_lines() -> bool:
    return theme().text_scale >= _LARGE_TEXT


class _MarkButton(QAbstractButton):
    """Sets a mark; filled where all selected images have it, outlined where some have it."""

    chosen = Signal(object)

    def __init__(self, mark: Mark, finding: str) -> None:
        super().__init__()
        self._mark = mark
        self._is_all = self._is_some = False
        self.setText(SIGNS[mark])
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the row has the keyboard
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(f"{finding}: {mark_text(mark)}")
        self.clicked.connect(self._on_clicked)

    def set_state(self, *, is_all: bool, is_some: bool) -> None:
        self._is_all, self._is_some = is_all, is_some
        self.setAccessibleDescription(
            self.tr("so in all") if is_all else self.tr("so in some") if is_some else ""
        )
        self.update()

    def sizeHint(self) -> QSize:
        side = max(24, theme().px(22))
        return QSize(side + 2, side)

    def paintEvent(self, event: QPaintEvent) -> None:
        del event
        painter = smooth_painter(self)
        look = theme()
        is_lit = self.isEnabled() and (self.underMouse() or self.isDown())
        side = min(self.width() - 2.0, self.height() - 2.0)
        box = QRectF(0, 0, side, side)
        box.moveCenter(QRectF(self.rect()).center())
        is_on = self._is_all and self.isEnabled()
        color = look.color("text" if self._is_some or is_lit else "control")
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if is_on and self._mark is Mark.PRESENT:
            painter.setBrush(look.color("accent"))
            color = look.color("on_accent")
        elif is_on:
            painter.setBrush(look.color("chip"))
            painter.setPen(QPen(look.color("control"), 1))
        elif self._is_some and self.isEnabled():
            painter.setPen(QPen(look.color("control"), 1, Qt.PenStyle.DashLine))
        elif is_lit:
            painter.setBrush(look.color("hover"))
        painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        if not self.isEnabled():
            color = look.color("disabled")
        font = look.font("body", is_bold=True)
        align = Qt.AlignmentFlag.AlignHCenter
        draw_elided(painter, box, self.text(), font, color, align)

    def _on_clicked(self) -> None:
        self.chosen.emit(self._mark)
