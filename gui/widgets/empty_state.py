"""What a page shows while it has nothing to show: what to do."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from gui.icons import pixmap
from gui.theme import theme
from gui.widgets.buttons import make_button
from gui.widgets.painting import set_role

__all__ = ["EmptyState"]


class EmptyState(QWidget):
    """An icon, one sentence, an optional second line, and the button that leads on.

    Signals:
        action_requested: The button was pressed.
    """

    action_requested = Signal()

    def __init__(
        self,
        icon: str,
        sentence: str,
        button_text: str = "",
        detail: str = "",
        *,
        is_primary: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._icon_name = icon
        self._icon = QLabel()
        self._icon.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self._sentence = _centred(sentence, "heading")
        self._detail = _centred(detail, "secondary")
        self._button = make_button(button_text, is_primary=is_primary)
        self._button.clicked.connect(self.action_requested)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self._button)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 24, 24, 24)
        column.setSpacing(8)
        column.addStretch(1)
        column.addWidget(self._icon)
        column.addSpacing(8)
        column.addWidget(self._sentence)
        column.addWidget(self._detail)
        column.addSpacing(8)
        column.addLayout(row)
        column.addStretch(1)
        self.set_content(icon, sentence, button_text, detail)
        theme().changed.connect(self._paint_icon)

    def set_content(
        self, icon: str, sentence: str, button_text: str = "", detail: str = ""
    ) -> None:
        """Say something else; an empty button text hides the button."""
        self._icon_name = icon
        self._sentence.setText(sentence)
        self._detail.setText(detail)
        self._detail.setVisible(bool(detail))
        self._button.setText(button_text)
        self._button.setVisible(bool(button_text))
        self.setAccessibleName(sentence)
        self.setAccessibleDescription(detail)
        self._paint_icon()

    def _paint_icon(self) -> None:
        side = theme().px(40)
        self._icon.setPixmap(pixmap(self._icon_name, size_px=side, color="secondary"))


def _centred(text: str, role: str) -> QLabel:
    label = QLabel(text)
    label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
    label.setWordWrap(True)
    set_role(label, role)
    return label
