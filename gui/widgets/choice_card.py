"""A large card to choose: first-start choices, presets, backbones, methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import (
    QHelpEvent,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QAbstractButton,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from gui.icons import pixmap
from gui.theme import theme
from gui.widgets.chip import Chip
from gui.widgets.flow_layout import FlowLayout
from gui.widgets.painting import set_role, smooth_painter

__all__ = ["ChoiceCard"]

_SIDE_PX: Final = 16


class ChoiceCard(QAbstractButton):
    """A button with an icon, a title, a description that wraps, and chips with facts.

    A checkable card shows its choice by an accent border and a check mark; put several into a
    `QButtonGroup` for one choice out of many (arrow keys then move between them). One that isn't
    checkable is a large push button. Space and Enter press it.
    """

    def __init__(
        self,
        title: str,
        description: str = "",
        *,
        icon: str = "",
        chips: Sequence[str] = (),
        badge: str = "",
        is_checkable: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._icon_name = icon
        self._icon = QLabel()
        self._title = QLabel(title)
        self._badge = Chip(badge, is_strong=True)
        self._low_badge = Chip(badge, is_strong=True)
        self._badge_why = ""
        self._description = QLabel(description)
        self._chips = QWidget()
        self._chip_row = FlowLayout(self._chips, spacing_px=6)
        self._build()
        self.setCheckable(is_checkable)
        self.setText(title)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.set_description(description)
        self.set_badge(badge)
        self.set_chips(chips)
        theme().changed.connect(self._paint_icon)
        self._paint_icon()

    def set_description(self, description: str) -> None:
        """Replace the sentence under the title."""
        self._description.setText(description)
        self._description.setVisible(bool(description))
        self._describe()

    def set_badge(self, badge: str, why: str = "") -> None:
        """Show a word beside the title, such as "Recommended", with its reason; empty hides it."""
        for chip in (self._badge, self._low_badge):
            chip.setText(badge)
        self._badge_why = why
        self._place_badge()
        self._describe()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Move the badge to where there is room for it."""
        super().resizeEvent(event)
        self._place_badge()

    def _place_badge(self) -> None:
        """Show the badge beside the title, or below one that would have to break for it."""
        title = self._title.fontMetrics().horizontalAdvance(self._title.text())
        gap, margins = self._head.spacing(), self._head.contentsMargins()
        taken = title + gap + self._badge.sizeHint().width() + margins.right()
        if not self._icon.isHidden():
            taken += gap + self._icon.sizeHint().width()
        has_badge, is_beside = bool(self._badge.text()), taken <= self.width() - 2 * _SIDE_PX
        self._badge.setVisible(has_badge and is_beside)
        self._low_badge.setVisible(has_badge and not is_beside)

    def event(self, event: QEvent) -> bool:
        """Say the reason of the badge before what the tool tip says."""
        if isinstance(event, QHelpEvent) and self._badge_why:
            text = "\n".join(part for part in (self._badge_why, self.toolTip()) if part)
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)

    def set_chips(self, chips: Sequence[str]) -> None:
        """Replace the facts at the bottom."""
        while (item := self._chip_row.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.setParent(None)
                widget.deleteLater()
        for text in chips:
            self._chip_row.addWidget(Chip(text))
        self._chips.setVisible(bool(chips))
        self._chip_texts = tuple(chips)
        self._describe()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Press with Enter too, not only with Space."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.click()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint frame, focus and check mark; the texts are labels."""
        del event
        painter = smooth_painter(self)
        look = theme()
        is_lit = self.isEnabled() and (self.underMouse() or self.isDown())
        border = QPen(look.color("line"), 1)
        if self.isChecked():
            border = QPen(look.color("accent" if self.isEnabled() else "control"), 2)
        elif is_lit:
            border = QPen(look.color("control"), 1)
        half = border.widthF() / 2
        rect = QRectF(self.rect()).adjusted(half, half, -half, -half)
        painter.setPen(border)
        painter.setBrush(look.color("raised" if is_lit or self.isDown() else "panel"))
        painter.drawRoundedRect(rect, 8, 8)
        if self.hasFocus():
            self._paint_focus(painter)
        if self.isCheckable():
            self._paint_mark(painter)

    def _paint_focus(self, painter: QPainter) -> None:
        # Inside the border, so that focus and choice can be told apart.
        painter.setPen(QPen(theme().color("text"), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(3.5, 3.5, -3.5, -3.5), 5, 5)

    def _paint_mark(self, painter: QPainter) -> None:
        look = theme()
        side = look.px(18)
        rect = QRectF(self.width() - 16 - side, 14 + (look.px(24) - side) / 2, side, side)
        if not self.isChecked():
            painter.setPen(QPen(look.color("control" if self.isEnabled() else "line"), 1.2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(rect.adjusted(1, 1, -1, -1))
            return
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.color("accent" if self.isEnabled() else "control"))
        painter.drawEllipse(rect)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        pen = QPen(look.color("on_accent"), side / 9)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        painter.setPen(pen)
        center = rect.center()
        corners = (QPointF(-0.23, 0.02), QPointF(-0.06, 0.19), QPointF(0.24, -0.17))
        painter.drawPolyline(QPolygonF([center + corner * side for corner in corners]))

    def _build(self) -> None:
        set_role(self._title, "heading")
        set_role(self._description, "secondary")
        self._description.setWordWrap(True)
        self._title.setWordWrap(True)
        badges = (self._badge, self._low_badge)
        for part in (self._icon, self._title, *badges, self._description, self._chips):
            part.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        head = QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(self._icon)
        head.addWidget(self._title, 1)
        head.addWidget(self._badge)
        self._head = head
        column = QVBoxLayout(self)
        column.setContentsMargins(_SIDE_PX, 14, _SIDE_PX, 16)
        column.setSpacing(8)
        column.addLayout(head)
        column.addWidget(self._low_badge, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self._description)
        column.addStretch(1)
        column.addWidget(self._chips)

    def _describe(self) -> None:
        badge = (self._badge.text(), self._badge_why)
        parts = (*badge, self._description.text(), *getattr(self, "_chip_texts", ()))
        self.setAccessibleName(self._title.text())
        self.setAccessibleDescription(". ".join(part.rstrip(".") for part in parts if part))

    def _paint_icon(self) -> None:
        look = theme()
        self._icon.setVisible(bool(self._icon_name))
        if self._icon_name:
            side = look.px(24)
            self._icon.setPixmap(pixmap(self._icon_name, size_px=side, color="accent"))
        self._title.setMinimumHeight(look.px(24))
        # Room at the right of the title for the painted check mark.
        room = look.px(18) + 8 if self.isCheckable() else 0
        self._head.setContentsMargins(0, 0, room, 0)
        self.update()
