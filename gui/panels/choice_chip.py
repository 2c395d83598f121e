"""A chip that shows one of several choices and opens a menu of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMenu

from gui.theme import theme
from gui.widgets.chip import ChipButton

__all__ = ["Choice", "ChoiceChip"]

_ROOM_PX = 190


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the choices.

    Attributes:
        text: What the chip shows.
        value: What it stands for.
        group: Sub-menu that it is in; empty for the menu itself.
        entry: What the sub-menu says.
        spoken: What screen readers and the tooltip say; empty for ``text``.
    """

    text: str
    value: Any
    group: str = ""
    entry: str = ""
    spoken: str = ""


class ChoiceChip(ChipButton):
    """A chip "Class: all" with a menu of choices; a choice that is gone becomes the first."""

    chosen = Signal()

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        self._choices: Sequence[Choice] = ()
        self._place = 0
        self._menu = QMenu(self)
        self._group: QActionGroup | None = None
        self._menu.aboutToShow.connect(self._fill)
        self.setMenu(self._menu)
        self._show()

    @property
    def value(self) -> Any:
        """What the present choice stands for."""
        return self._choices[self._place].value if self._choices else None

    def set_choices(self, choices: Sequence[Choice], *, title: str = "") -> None:
        """Offer other choices, perhaps under another title."""
        value = self.value
        self._choices = tuple(choices)
        self._title = title or self._title
        places = [place for place, choice in enumerate(choices) if choice.value == value]
        self._place = places[0] if places else 0
        self._show()

    def choose_first(self) -> None:
        """Take the first choice, without a signal."""
        self._place = 0
        self._show()

    def _fill(self) -> None:
        self._menu.clear()
        self._group = QActionGroup(self)
        menus = {"": self._menu}
        for place, choice in enumerate(self._choices):
            if choice.group not in menus:
                menus[choice.group] = self._menu.addMenu(_plain(choice.group))
            action = QAction(_plain(choice.entry or choice.text), self._group)
            action.setCheckable(True)
            action.setChecked(place == self._place)
            action.setData(place)
            menus[choice.group].addAction(action)
        self._group.triggered.connect(self._on_triggered)

    def _on_triggered(self, action: QAction) -> None:
        self._place = int(action.data())
        self._show()
        self.chosen.emit()

    def _show(self) -> None:
        choice = self._choices[self._place] if self._choices else Choice("", None)
        whole = f"{self._title}: {choice.text}"
        room = theme().px(_ROOM_PX)
        shown = self.fontMetrics().elidedText(whole, Qt.TextElideMode.ElideRight, room)
        spoken = f"{self._title}: {choice.spoken or choice.text}"
        self.setText(_plain(shown))
        self.setToolTip(spoken if shown != spoken else "")
        self.setAccessibleName(spoken)


def _plain(text: str) -> str:
    """Return text in which an ampersand marks no key."""
    return text.replace("&", "&&")
