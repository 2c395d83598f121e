"""Everything that has a shortcut, and the menu that lists it."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu, QWidget

from gui.theme import theme

__all__ = ["Actions"]

_TEXT_STEP = 0.1


class Actions:
    """The window's actions; each works by its shortcut wherever the focus is.

    Args:
        window: What they belong to.
        run: What to call, by the name of the action.
    """

    def __init__(self, window: QWidget, run: dict[str, Callable[[], object]]) -> None:
        self._window = window
        keys = QKeySequence.StandardKey
        tr = window.tr
        self.new = self._add(tr("Open a folder of images…"), run["new"], keys.New)
        self.open = self._add(tr("Open a project…"), run["open"], keys.Open)
        self.start_page = self._add(tr("Start page"), run["start_page"], "Ctrl+Home")
        self.undo = self._add(tr("Undo"), run["undo"], keys.Undo)
        self.redo = self._add(tr("Redo"), run["redo"], keys.Redo)
        self.search = self._add(tr("Find better settings"), run["search"], "Ctrl+Shift+F")
        self.theme = self._add(tr("Light or dark"), theme().toggle, "Ctrl+Shift+L")
        self.larger = self._add(tr("Larger text"), self._larger, keys.ZoomIn)
        self.smaller = self._add(tr("Smaller text"), self._smaller, keys.ZoomOut)
        self.device = self._add(tr("This computer…"), run["device"])
        self.help = self._add(tr("Help"), run["help"])  # the rail has F1
        self.about = self._add(tr("About RadTune"), run["about"])
        self.quit = self._add(tr("Quit"), run["quit"], "Ctrl+Q")
        self.larger.setShortcuts([QKeySequence(keys.ZoomIn), QKeySequence("Ctrl+=")])
        self.quit.setMenuRole(QAction.MenuRole.QuitRole)
        self.about.setMenuRole(QAction.MenuRole.AboutRole)
        self.set_history(can_undo=False, can_redo=False)
        self.search.setEnabled(False)

    def menu(self) -> QMenu:
        """Return the menu with every action."""
        menu = QMenu(self._window)
        for group in (
            (self.new, self.open, self.start_page),
            (self.undo, self.redo),
            (self.search,),
            (self.theme, self.larger, self.smaller),
            (self.device, self.help, self.about),
            (self.quit,),
        ):
            for action in group:
                menu.addAction(action)
            menu.addSeparator()
        return menu

    def set_history(self, *, can_undo: bool, can_redo: bool) -> None:
        """Offer undo and redo where there is something to undo or redo."""
        self.undo.setEnabled(can_undo)
        self.redo.setEnabled(can_redo)

    def _add(
        self,
        text: str,
        run: Callable[[], object],
        shortcut: QKeySequence.StandardKey | str | None = None,
    ) -> QAction:
        action = QAction(text, self._window)
        if shortcut is not None:
            action.setShortcut(QKeySequence(shortcut))
        action.setShortcutVisibleInContextMenu(True)

        def trigger(_is_checked: bool = False) -> None:
            run()

        action.triggered.connect(trigger)
        self._window.addAction(action)
        return action

    @staticmethod
    def _larger() -> None:
        theme().set_text_scale(theme().text_scale + _TEXT_STEP)

    @staticmethod
    def _smaller() -> None:
        theme().set_text_scale(theme().text_scale - _TEXT_STEP)
