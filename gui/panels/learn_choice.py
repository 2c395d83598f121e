"""Which of several findings runs learn: the choice, and what it means."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication, QLocale, Qt, Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QMenu, QVBoxLayout, QWidget

from gui.itemmodels.label_states import MarkCounts
from gui.session import Snapshot
from gui.theme import theme
from gui.widgets.buttons import make_button
from gui.widgets.painting import repolish, set_role

__all__ = ["LearnChoice", "LearnMenu"]

_BUTTON_PX = 170


class LearnMenu(QMenu):
    """The findings that can be learned, each with the numbers that decide whether it can.

    Signals:
        chosen: Id of a finding.
    """

    chosen = Signal(int)

    def __init__(self, snapshot: Callable[[], Snapshot], parent: QWidget) -> None:
        super().__init__(parent)
        self._snapshot = snapshot
        self._group: QActionGroup | None = None
        self.aboutToShow.connect(self._fill)

    def _fill(self) -> None:
        self.clear()
        self._group = QActionGroup(self)
        self._group.triggered.connect(self._on_triggered)
        snapshot = self._snapshot()
        for summary in snapshot.classes_in_use:
            marks = snapshot.marks.get(summary.id, MarkCounts())
            name = summary.name.replace("&", "&&")
            # What follows a tab stands at the right.
            action = QAction(f"{name}\t{_counts_text(marks)}", self._group)
            action.setCheckable(True)
            action.setChecked(summary.is_positive)
            action.setEnabled(marks.n_present > 0 and marks.n_absent > 0)
            action.setData(summary.id)
            self.addAction(action)

    def _on_triggered(self, action: QAction) -> None:
        self.chosen.emit(int(action.data()))


class LearnChoice(QFrame):
    """Says which finding is learned, or that one must be chosen, with a button that lists them.

    Signals:
        chosen: Id of a finding.
    """

    chosen = Signal(int)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "message")
        self._snapshot = Snapshot()
        title = QLabel(self.tr("Learn"))
        set_role(title, "smallText")
        self._button = make_button("")
        menu = LearnMenu(lambda: self._snapshot, self._button)
        menu.chosen.connect(self.chosen)
        self._button.setMenu(menu)
        self._meaning = QLabel()
        self._meaning.setWordWrap(True)
        set_role(self._meaning, "small")
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(title)
        row.addWidget(self._button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(6)
        column.addLayout(row)
        column.addWidget(self._meaning)
        theme().changed.connect(self._show)

    def set_snapshot(self, snapshot: Snapshot) -> None:
        """Show the choice of a project with several findings an image."""
        self._snapshot = snapshot
        self._show()

    def _show(self) -> None:
        learned = self._snapshot.learned
        name = learned.name if learned is not None else self.tr("Choose a finding…")
        room = theme().px(_BUTTON_PX)
        shown = self.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, room)
        self._button.setText(shown.replace("&", "&&"))
        self._button.setToolTip(name if shown != name else "")
        self._button.setAccessibleName(self.tr("Finding to learn: %s") % name)
        self._meaning.setText(self._meaning_text())
        kind = "info" if not self._snapshot.is_finding_missing else "warning"
        if self.property("kind") != kind:
            self.setProperty("kind", kind)
            repolish(self)

    def _meaning_text(self) -> str:
        learned = self._snapshot.learned
        if learned is None:
            return self.tr(
                "Training learns one finding at a time: present or absent. Choose which."
            )
        marks = self._snapshot.marks[learned.id]
        if not marks.n_present:
            return self.tr("It is present in no image, so there is nothing to learn.")
        if not marks.n_absent:
            return self.tr("It is absent in no image: mark those that don't show it.")
        text = f"{_counts_text(marks)}."
        if marks.n_unknown:
            left_out = QLocale().toString(marks.n_unknown)
            text += " " + self.tr("%s unknown, left out of training.") % left_out
        return text


def _counts_text(marks: MarkCounts) -> str:
    locale = QLocale()
    counts = locale.toString(marks.n_present), locale.toString(marks.n_absent)
    return QCoreApplication.translate("LearnChoice", "%s present, %s absent") % counts
