"""Which of several findings runs learn, or all at once: the choice, and what it means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from PySide6.QtCore import QCoreApplication, QLocale, Qt, Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QMenu, QVBoxLayout, QWidget

from gui.itemmodels.label_states import MarkCounts
from gui.snapshot import Snapshot
from gui.theme import theme
from gui.widgets.buttons import make_button
from gui.widgets.painting import repolish, set_role

__all__ = ["ALL_FINDINGS", "LearnChoice", "LearnMenu"]

ALL_FINDINGS: Final = 0
"""Takes the place of a finding's id where all are learned at once."""
_BUTTON_PX: Final = 170
_MOST_REASONS: Final = 2


class LearnMenu(QMenu):
    """All findings at once or one of them, each with the numbers that decide whether it can.

    Signals:
        chosen: Id of a finding, or :data:`ALL_FINDINGS`.
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
        in_use = snapshot.classes_in_use
        count = QCoreApplication.translate("LearnChoice", "%s findings")
        self._add(
            QCoreApplication.translate("LearnChoice", "All findings"),
            count % QLocale().toString(len(in_use)),
            ALL_FINDINGS,
            is_chosen=snapshot.learned is None,
        )
        self.addSeparator()
        for summary in in_use:
            marks = snapshot.marks.get(summary.id, MarkCounts())
            action = self._add(
                summary.name.replace("&", "&&"),
                _counts_text(marks),
                summary.id,
                is_chosen=summary.is_positive,
            )
            action.setEnabled(marks.n_present > 0 and marks.n_absent > 0)

    def _add(self, name: str, counts: str, data: int, *, is_chosen: bool) -> QAction:
        # What follows a tab stands at the right.
        action = QAction(f"{name}\t{counts}", self._group)
        action.setCheckable(True)
        action.setChecked(is_chosen)
        action.setData(data)
        self.addAction(action)
        return action

    def _on_triggered(self, action: QAction) -> None:
        self.chosen.emit(int(action.data()))


class LearnChoice(QFrame):
    """Says what of several findings is learned, with a button that lists them.

    Signals:
        chosen: Id of a finding, or :data:`ALL_FINDINGS`.
    """

    chosen = Signal(int)

    def __init__(self, *, is_wide: bool = False, parent: QWidget | None = None) -> None:
        """Prepare.

        Args:
            is_wide: Whether there is room for the meaning beside the button.
            parent: As of any widget.
        """
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
        row.addWidget(self._button, 0 if is_wide else 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(6)
        column.addLayout(row)
        if is_wide:
            row.setSpacing(12)
            row.addWidget(self._meaning, 1)
        else:
            column.addWidget(self._meaning)
        theme().changed.connect(self._show)

    def set_snapshot(self, snapshot: Snapshot) -> None:
        """Show the choice of a project with several findings an image."""
        self._snapshot = snapshot
        self._show()

    def _show(self) -> None:
        learned = self._snapshot.learned
        name = learned.name if learned is not None else self.tr("All findings")
        room = theme().px(_BUTTON_PX)
        shown = self.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, room)
        self._button.setText(shown.replace("&", "&&"))
        self._button.setToolTip(name if shown != name else "")
        self._button.setAccessibleName(self.tr("To learn: %s") % name)
        self._meaning.setText(self._meaning_text())
        reasons = self._snapshot.findings_left_out.items()
        self._meaning.setToolTip("\n".join(f"{finding}: {why}" for finding, why in reasons))
        kind = "info" if not self._snapshot.is_finding_missing else "warning"
        if self.property("kind") != kind:
            self.setProperty("kind", kind)
            repolish(self)

    def _meaning_text(self) -> str:
        learned = self._snapshot.learned
        if learned is None:
            return self._meaning_of_all()
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

    def _meaning_of_all(self) -> str:
        n = len(self._snapshot.trained_names)
        parts = []
        if n:
            one = self.tr("1 finding: present or absent, left out where unknown.")
            many = self.tr(
                "%s at once, each present or absent. An image of which one is unknown still "
                "teaches the others."
            )
            parts.append(one if n == 1 else many % QLocale().toString(n))
        left_out = self._snapshot.findings_left_out
        for finding, why in list(left_out.items())[:_MOST_REASONS]:
            parts.append(self.tr("Not {0}: {1}").format(finding, why))
        if len(left_out) > _MOST_REASONS:
            rest = QLocale().toString(len(left_out) - _MOST_REASONS)
            parts.append(self.tr("%s more can't be learned.") % rest)
        return " ".join(parts) or self.tr("No image shows a finding yet.")


def _counts_text(marks: MarkCounts) -> str:
    locale = QLocale()
    counts = locale.toString(marks.n_present), locale.toString(marks.n_absent)
    return QCoreApplication.translate("LearnChoice", "%s present, %s absent") % counts
