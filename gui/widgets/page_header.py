"""The first line of every page: where am I, and what is the one thing to do next."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from gui.icons import bind_icon
from gui.widgets.buttons import make_button, set_primary
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.painting import set_role

__all__ = ["PageHeader"]


class PageHeader(QWidget):
    """Page title, a subtitle that elides, and buttons at the right; the primary one is last."""

    def __init__(self, title: str, subtitle: str = "", *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = QLabel(title)
        set_role(self._title, "title")
        self._subtitle = ElidedLabel(subtitle, role="secondary")
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(12)
        self._primary: QPushButton | None = None
        self._texts = QHBoxLayout()
        self._texts.setSpacing(12)
        self._texts.addWidget(self._title)
        self._texts.addWidget(self._subtitle, 1, Qt.AlignmentFlag.AlignVCenter)
        self._rows = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(12)
        self._rows.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        self._rows.addLayout(self._texts, 1)
        self._rows.addLayout(self._buttons)
        self._buttons.addStretch(1)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(title)
        self.setAccessibleDescription(subtitle)

    @property
    def primary(self) -> QPushButton | None:
        """The one button that is painted in the accent colour."""
        return self._primary

    def set_title(self, title: str) -> None:
        """Replace the title."""
        self._title.setText(title)
        self.setAccessibleName(title)

    def set_subtitle(self, subtitle: str) -> None:
        """Replace the grey line beside the title."""
        self._subtitle.setText(subtitle)
        self.setAccessibleDescription(subtitle)

    def add_button(self, text: str, *, icon: str = "", is_primary: bool = False) -> QPushButton:
        """Add a button at the right and return it; a primary one stays the last of the row."""
        button = make_button(text, icon=icon)
        if icon:
            button.setProperty("iconName", icon)
        place = self._buttons.count()
        if self._primary is not None and not is_primary:
            place -= 1
        self._buttons.insertWidget(place, button)
        if is_primary:
            self.set_primary(button)
        return button

    def set_primary(self, button: QPushButton) -> None:
        """Make ``button`` the only primary one; the former becomes an ordinary button.

        Raises:
            ValueError: If the button isn't one of this header.
        """
        if self._buttons.indexOf(button) < 0:
            raise ValueError("The primary button must belong to the page header.")
        if self._primary is not None and self._primary is not button:
            self._dress(self._primary, is_primary=False)
        self._primary = button
        self._dress(button, is_primary=True)
        self._buttons.removeWidget(button)
        self._buttons.addWidget(button)

    def minimumSizeHint(self) -> QSize:
        """Return the width of the buttons or of the title, as they can stand in two rows."""
        hint = self._rows.minimumSize()
        width = max(self._buttons.minimumSize().width(), self._texts.minimumSize().width())
        return QSize(width, hint.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the buttons below the title where both don't fit."""
        super().resizeEvent(event)
        texts, buttons = self._texts.minimumSize().width(), self._buttons.sizeHint().width()
        is_narrow = texts + buttons + self._rows.spacing() > event.size().width()
        side_by_side, below = QBoxLayout.Direction.LeftToRight, QBoxLayout.Direction.TopToBottom
        self._rows.setDirection(below if is_narrow else side_by_side)

    @staticmethod
    def _dress(button: QPushButton, *, is_primary: bool) -> None:
        set_primary(button, is_primary=is_primary)
        if name := button.property("iconName"):
            bind_icon(
                button, str(name), "on_accent" if is_primary else "text", size_px=16, gap_px=4
            )
