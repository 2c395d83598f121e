"""The first line of every page: where am I, and what is the one thing to do next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QEvent, QSize
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QGridLayout,
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

_GAP_PX: Final = 12
_MOST_LINES: Final = 2
"""Of a subtitle beside the buttons; a longer one gets the whole width."""
_FULL_LINE: Final = 0.9
"""Share of a line that words fill on average."""
_LEAST_SHARE: Final = 0.4
"""Share of the page's width below which lines beside the buttons would be too short to read."""
_Place = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the parts stand: row, column, rows, columns."""

    title: _Place
    subtitle: _Place
    buttons: _Place


_IN_A_ROW: Final = _Places((0, 0, 1, 1), (0, 1, 1, 1), (0, 2, 1, 1))
_UNDER_TITLE: Final = _Places((0, 0, 1, 2), (1, 0, 1, 2), (0, 2, 2, 1))
_BELOW: Final = _Places((0, 0, 1, 2), (1, 0, 1, 3), (0, 2, 1, 1))
_STACKED: Final = _Places((0, 0, 1, 3), (1, 0, 1, 3), (2, 0, 1, 3))


class PageHeader(QWidget):
    """Page title, a subtitle, and buttons at the right; the primary one is last.

    Where the subtitle has no room beside the title it stands below it, in as many lines as it
    needs; where the buttons have none beside the title they stand below that.
    """

    def __init__(self, title: str, subtitle: str = "", *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = QLabel(title)
        set_role(self._title, "title")
        self._subtitle = ElidedLabel(subtitle, role="secondary")
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(_GAP_PX)
        self._primary: QPushButton | None = None
        self._buttons.addStretch(1)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(_GAP_PX)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(1, 1)
        self._grid.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        self._places: _Places | None = None
        self._arrange()
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
        self._arrange()

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
        width = max(self._buttons.minimumSize().width(), self._title.minimumSizeHint().width())
        return QSize(width, self._grid.minimumSize().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give title, subtitle and buttons other places where they don't fit."""
        super().resizeEvent(event)
        self._arrange()

    def event(self, event: QEvent) -> bool:
        """Do the same when a button appears, goes, or gets another text."""
        if event.type() is QEvent.Type.LayoutRequest:
            self._arrange()
        return super().event(event)

    def _arrange(self) -> None:
        self._subtitle.setVisible(bool(self._subtitle.text()))
        places = self._places_for(self.contentsRect().width())
        if places is self._places:
            return
        self._places = places
        for item in (self._title, self._subtitle):
            self._grid.removeWidget(item)
        self._grid.removeItem(self._buttons)
        self._buttons.setParent(None)
        self._grid.addWidget(self._title, *places.title)
        self._grid.addWidget(self._subtitle, *places.subtitle)
        self._grid.addLayout(self._buttons, *places.buttons)
        self._subtitle.setWordWrap(places is not _IN_A_ROW)
        self.updateGeometry()

    def _places_for(self, width: int) -> _Places:
        title, buttons = self._title.sizeHint().width(), self._buttons.sizeHint().width()
        text = self._subtitle.whole_width if self._subtitle.text() else 0
        if title + buttons + _GAP_PX > width:
            return _STACKED
        if title + text + buttons + 2 * _GAP_PX <= width or not text:
            return _IN_A_ROW
        left = width - buttons - _GAP_PX
        has_room = left >= _LEAST_SHARE * width and text <= _MOST_LINES * _FULL_LINE * left
        return _UNDER_TITLE if text <= left or has_room else _BELOW

    @staticmethod
    def _dress(button: QPushButton, *, is_primary: bool) -> None:
        set_primary(button, is_primary=is_primary)
        if name := button.property("iconName"):
            bind_icon(
                button, str(name), "on_accent" if is_primary else "text", size_px=16, gap_px=4
            )
