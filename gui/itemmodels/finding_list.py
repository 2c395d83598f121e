"""The list of what an audit found: worst first, each with its sign, its word and its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPointF,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QFont,
    QFontMetrics,
    QPainter,
    QPen,
    QResizeEvent,
    QTextLayout,
    QTextOption,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from engine.contract.records import AuditReport, Finding, ImageRecord
from gui.icons import pixmap
from gui.itemmodels.finding_words import (
    FindingState,
    checks_text,
    count_text,
    finding_state,
    finding_text,
    kind_title,
    ordered,
    severity_color,
    severity_icon,
    severity_word,
    state_text,
)
from gui.theme import theme
from gui.tokens import ColorToken
from gui.widgets.painting import draw_elided

__all__ = ["FindingLine", "FindingList"]

_Index = QModelIndex | QPersistentModelIndex
_NO_PARENT: Final = QModelIndex()
_LINE_ROLE: Final = Qt.ItemDataRole.UserRole
_WIDE_PX: Final = 340
_GAP_PX: Final = 8
_PAD_PX: Final = 12
_RADIUS_PX: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingLine:
    """One line of the list.

    Attributes:
        finding: What was found; None in the last line, which says what was looked for.
        text: All of it, as a screen reader says it.
        sentence: What the line says.
        said: What has become of it; empty while it is open.
    """

    finding: Finding | None
    state: FindingState = FindingState.OPEN
    text: str
    sentence: str
    said: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What tells the finding from others; empty texts in the last line."""
        return (self.finding.kind, self.finding.key) if self.finding is not None else ("", "")

    @property
    def looks(self) -> tuple[object, ...]:
        """All that is painted of it."""
        return (self.key, self.state, self.text, self.said)


class FindingList(QListView):
    """Findings to choose from; the last line is about the checks themselves.

    Signals:
        line_chosen: The current :class:`FindingLine` is another one.
    """

    line_chosen = Signal(object)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines = _LineModel(self)
        self._delegate = _LineDelegate(self)
        self.setModel(self._lines)
        self.setItemDelegate(self._delegate)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setStyleSheet("QListView { border: none; background: transparent; }")
        self.setMouseTracking(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName(self.tr("Findings, the worst first"))
        self.selectionModel().currentChanged.connect(self._on_current_changed)
        theme().changed.connect(self._fit_width)

    @property
    def lines(self) -> Sequence[FindingLine]:
        """What is listed."""
        return self._lines.lines

    def set_report(self, report: AuditReport, by_id: Mapping[int, ImageRecord]) -> None:
        """Show a report.

        The same finding stays selected. One that was accepted makes way for the next, which stands
        in its place now; where none is open any more, it stays.
        """
        before, place = self.current_line(), self.currentIndex().row()
        lines = _lines_of(report, by_id)
        if not self._lines.set_lines(lines):
            return
        self._fit_width()
        place = min(max(place, 0), len(lines) - 1)
        if before is not None:
            place = _place_of(before, lines, place)
        self.setCurrentIndex(self._lines.index(place))
        if place == 0:
            self.scrollToTop()

    def current_line(self) -> FindingLine | None:
        """Return the line with the focus."""
        line = self.currentIndex().data(_LINE_ROLE)
        return line if isinstance(line, FindingLine) else None

    def choose(self, place: int) -> None:
        """Make a line the current one."""
        self.setCurrentIndex(self._lines.index(place))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrap the sentences at the new width."""
        super().resizeEvent(event)
        self._fit_width()

    def sizeHint(self) -> QSize:
        """Return room for a few findings."""
        return QSize(theme().px(400), theme().px(360))

    def minimumSizeHint(self) -> QSize:
        """Return room for one."""
        return QSize(theme().px(220), theme().px(90))

    def _fit_width(self) -> None:
        # As if the scroll bar were always there: its coming must not wrap the sentences anew.
        room = self.width() - self.verticalScrollBar().sizeHint().width()
        self._delegate.set_width(max(120, room))
        self.scheduleDelayedItemsLayout()
        self.viewport().update()

    def _on_current_changed(self, current: QModelIndex, _before: QModelIndex) -> None:
        line = current.data(_LINE_ROLE)
        if isinstance(line, FindingLine):
            self.line_chosen.emit(line)


def _lines_of(report: AuditReport, by_id: Mapping[int, ImageRecord]) -> list[FindingLine]:
    lines = []
    for finding in ordered(report.findings):
        state = finding_state(finding, by_id)
        lines.append(
            FindingLine(
                finding=finding,
                state=state,
                text=finding_text(finding, state),
                sentence=finding.sentence,
                said=state_text(finding, state),
            )
        )
    checks = checks_text(report)
    lines.append(FindingLine(finding=None, text=checks, sentence=checks))
    return lines


def _place_of(before: FindingLine, lines: Sequence[FindingLine], place: int) -> int:
    """Return where to go on after the lines have changed."""
    for now, line in enumerate(lines):
        if line.key != before.key:
            continue
        was_accepted = (
            before.state is not FindingState.ACCEPTED and line.state is FindingState.ACCEPTED
        )
        is_next_open = lines[place].state is FindingState.OPEN and lines[place].finding is not None
        return place if was_accepted and is_next_open else now
    return 0


class _LineModel(QAbstractListModel):
    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.lines: tuple[FindingLine, ...] = ()

    def set_lines(self, lines: Sequence[FindingLine]) -> bool:
        """Return whether the lines read differently now."""
        # Not the findings themselves: each may name a hundred thousand images.
        if [line.looks for line in lines] == [line.looks for line in self.lines]:
            self.lines = tuple(lines)
            return False
        self.beginResetModel()
        self.lines = tuple(lines)
        self.endResetModel()
        return True

    def rowCount(self, parent: _Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(self.lines)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self.lines):
            return None
        line = self.lines[index.row()]
        if role == _LINE_ROLE:
            return line
        if role == Qt.ItemDataRole.DisplayRole:
            return line.sentence
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join(part for part in (line.sentence, line.said) if part)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return line.text
        return None


class _LineDelegate(QStyledItemDelegate):
    """Cards: sign, word and kind; two or three lines of the sentence; what has become of it."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._width = 320

    def set_width(self, width: int) -> None:
        self._width = width

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        del option
        line = index.data(_LINE_ROLE)
        if not isinstance(line, FindingLine):
            return QSize()
        body = QFontMetrics(theme().font("body"))
        n_lines = len(self._wrapped(line.sentence))
        height = 2 * _PAD_PX - 2 + n_lines * body.lineSpacing()
        if line.finding is not None:
            height += self._head_height() + 4
        if line.said:
            height += self._head_height() + 4
        return QSize(self._width, height + _GAP_PX)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        line = index.data(_LINE_ROLE)
        if not isinstance(line, FindingLine):
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        card = QRectF(option.rect).adjusted(0, 0, 0, -_GAP_PX)
        self._paint_card(painter, card, option.state)
        rect = card.adjusted(_PAD_PX, _PAD_PX - 2, -_PAD_PX, -_PAD_PX)
        if line.finding is not None:
            self._paint_head(painter, rect, line)
            rect.setTop(rect.top() + self._head_height() + 4)
        else:
            self._paint_checks_sign(painter, rect)
            rect.setLeft(rect.left() + theme().px(16) + 6)
        top = self._paint_sentence(painter, rect, line)
        if line.said:
            place = QRectF(rect.left(), top + 4, rect.width(), self._head_height())
            self._paint_said(painter, place, line)
        painter.restore()

    @staticmethod
    def _paint_card(painter: QPainter, card: QRectF, state: QStyle.StateFlag) -> None:
        look = theme()
        is_selected = bool(state & QStyle.StateFlag.State_Selected)
        is_lit = is_selected or bool(state & QStyle.StateFlag.State_MouseOver)
        painter.setBrush(look.color("raised" if is_lit else "panel"))
        painter.setPen(QPen(look.color("accent"), 2) if is_selected else look.color("line"))
        inset = 1.0 if is_selected else 0.5
        painter.drawRoundedRect(card.adjusted(inset, inset, -inset, -inset), _RADIUS_PX, _RADIUS_PX)
        if state & QStyle.StateFlag.State_HasFocus:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(look.color("text"), 1, Qt.PenStyle.DotLine))
            painter.drawRoundedRect(card.adjusted(3.5, 3.5, -3.5, -3.5), 4, 4)

    @staticmethod
    def _paint_checks_sign(painter: QPainter, rect: QRectF) -> None:
        look, side = theme(), theme().px(16)
        height = QFontMetrics(look.font("body")).lineSpacing()
        sign = pixmap("audit", size_px=side, color="secondary")
        painter.drawPixmap(QPointF(rect.left(), rect.top() + (height - side) / 2), sign)

    def _paint_head(self, painter: QPainter, rect: QRectF, line: FindingLine) -> None:
        finding, look = line.finding, theme()
        if finding is None:
            return
        is_open = line.state is FindingState.OPEN
        color: ColorToken = severity_color(finding.severity) if is_open else "secondary"
        height, side = self._head_height(), look.px(16)
        sign = pixmap(severity_icon(finding.severity), size_px=side, color=color)
        painter.drawPixmap(QPointF(rect.left(), rect.top() + (height - side) / 2), sign)
        right = self._paint_count(painter, rect, finding)
        font = look.font("secondary", is_bold=True)
        word = severity_word(finding.severity)
        left = rect.left() + side + 6
        room = QRectF(left, rect.top(), right - left, height)
        draw_elided(painter, room, word, font, look.color(color))
        left += QFontMetrics(font).horizontalAdvance(word) + 8
        if left < right - 24:
            room = QRectF(left, rect.top(), right - left, height)
            kind, plain = kind_title(finding.kind), look.font("secondary")
            draw_elided(painter, room, kind, plain, look.color("secondary"))

    def _paint_count(self, painter: QPainter, rect: QRectF, finding: Finding) -> float:
        """Write the number of images at the right; return where there is room up to."""
        text = count_text(finding)
        if not text:
            return rect.right()
        look = theme()
        font = look.font("secondary")
        width = QFontMetrics(font).horizontalAdvance(text) + 1
        place = QRectF(rect.right() - width, rect.top(), width, self._head_height())
        draw_elided(painter, place, text, font, look.color("secondary"))
        return place.left() - 8

    def _paint_sentence(self, painter: QPainter, rect: QRectF, line: FindingLine) -> float:
        look = theme()
        font = look.font("body")
        is_quiet = line.finding is None or line.state is not FindingState.OPEN
        painter.setFont(font)
        painter.setPen(look.color("secondary" if is_quiet else "text"))
        spacing, top = QFontMetrics(font).lineSpacing(), rect.top()
        for text in self._wrapped(line.sentence):
            painter.drawText(QRectF(rect.left(), top, rect.width(), spacing), text)
            top += spacing
        return top

    def _paint_said(self, painter: QPainter, rect: QRectF, line: FindingLine) -> None:
        look, side = theme(), theme().px(14)
        is_done = line.state is FindingState.DONE
        color: ColorToken = "good" if is_done else "secondary"
        sign = pixmap("success" if is_done else "check", size_px=side, color=color)
        painter.drawPixmap(QPointF(rect.left(), rect.top() + (rect.height() - side) / 2), sign)
        room = rect.adjusted(side + 6, 0, 0, 0)
        draw_elided(painter, room, line.said, look.font("secondary"), look.color("secondary"))

    def _wrapped(self, text: str) -> list[str]:
        look = theme()
        # The detail says all of it; the list is there to be looked through.
        n_lines = 2 if self._width >= look.px(_WIDE_PX) else 3
        return wrapped(text, look.font("body"), self._width - 2 * _PAD_PX, n_lines)

    @staticmethod
    def _head_height() -> int:
        look = theme()
        return max(QFontMetrics(look.font("secondary", is_bold=True)).height(), look.px(16))


def wrapped(text: str, font: QFont, width: int, max_lines: int) -> list[str]:
    """Break a text into lines of this width; the last one elides what there is no room for."""
    layout = QTextLayout(text, font)
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    layout.setTextOption(option)
    lines: list[str] = []
    layout.beginLayout()
    while (line := layout.createLine()).isValid():
        line.setLineWidth(width)
        start = line.textStart()
        if len(lines) == max_lines - 1:
            rest = text[start:]
            lines.append(QFontMetrics(font).elidedText(rest, Qt.TextElideMode.ElideRight, width))
            break
        lines.append(text[start : start + line.textLength()].rstrip())
    layout.endLayout()
    return lines or [""]
