"""What the user decides about the selected images and the classes, asked of the session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QWidget

from engine.contract.records import ImageRecord
from engine.project import labels
from engine.project.store import Project
from gui.dialogs.class_edit import ClassesDialog
from gui.dialogs.exclude_reason import ExcludeDialog
from gui.itemmodels.label_states import Mark, mark_of
from gui.panels.classes_card import ClassesCard
from gui.panels.label_card import MAX_KEYS, LabelCard
from gui.session import Session

__all__ = ["LabelEdits"]

_VALUES = {Mark.PRESENT: 1, Mark.ABSENT: 0, Mark.UNKNOWN: None}


class LabelEdits(QObject):
    """Takes what cards and keys ask for; what wouldn't change anything is no step of the history.

    Args:
        selected: Returns the selected images.
        page: Where keys count and dialogs belong.
    """

    def __init__(
        self, session: Session, selected: Callable[[], Sequence[ImageRecord]], page: QWidget
    ) -> None:
        super().__init__(page)
        self._session = session
        self._selected = selected
        self._page = page

    def connect_cards(self, card: LabelCard, classes: ClassesCard) -> None:
        """Do what the cards ask for, and have the number keys of the first."""
        card.class_chosen.connect(self.give_label)
        card.mark_chosen.connect(self.give_mark)
        card.none_chosen.connect(self.give_no_finding)
        card.exclude_requested.connect(self.ask_exclude)
        card.include_requested.connect(self.include)
        card.undo_requested.connect(self.undo)
        card.redo_requested.connect(self.redo)
        classes.edit_requested.connect(self.edit_classes)
        classes.positive_requested.connect(self.make_positive)
        classes.learn_requested.connect(self.learn)
        classes.left_out_requested.connect(self.leave_out)
        for number in range(1, MAX_KEYS + 1):
            self._shortcut(str(number), partial(self._on_number, card, number))
            self._shortcut(f"Ctrl+{number}", partial(self._on_ctrl, card, number))
        self._shortcut("0", self.give_no_finding)
        self._shortcut("X", self.ask_exclude)

    def give_label(self, class_id: int) -> None:
        """Give the selected images a class."""
        ids = [record.id for record in self._selected() if record.class_id != class_id]
        if ids:
            self._session.change(labels.set_labels, ids, class_id)

    def give_mark(self, class_id: int, mark: Mark) -> None:
        """Say how a finding stands in the selected images."""
        ids = [r.id for r in self._selected() if mark_of(r.findings, class_id) is not mark]
        if ids:
            self._session.change(labels.set_finding, ids, class_id, _VALUES[mark])

    def toggle_finding(self, class_id: int) -> None:
        """Make a finding present in the selected images, or absent if all of them have it."""
        has_all = all(r.findings.get(class_id) == 1 for r in self._selected())
        self.give_mark(class_id, Mark.ABSENT if has_all else Mark.PRESENT)

    def give_no_finding(self) -> None:
        """Say that the selected images show none of the findings."""
        snapshot = self._session.snapshot
        if not snapshot.is_multi:
            return
        ids = [
            record.id
            for record in self._selected()
            if any(record.findings.get(c.id) != 0 for c in snapshot.classes)
        ]
        if ids:
            self._session.change(labels.set_no_finding, ids)

    def ask_exclude(self) -> None:
        """Ask why the selected images are left out."""
        ids = [record.id for record in self._selected() if record.excluded is None]
        if not ids:
            return
        dialog = ExcludeDialog(len(ids), parent=self._page)
        dialog.reason_given.connect(
            lambda reason: self._session.change(labels.exclude, ids, reason)
        )
        dialog.show()

    def include(self) -> None:
        """Take the selected images in again."""
        ids = [record.id for record in self._selected() if record.excluded is not None]
        if ids:
            self._session.change(labels.include, ids)

    def undo(self) -> None:
        """Take the last change back."""
        self._session.change(labels.undo)

    def redo(self) -> None:
        """Make the last change again that was taken back."""
        self._session.change(labels.redo)

    def edit_classes(self, class_id: int) -> None:
        """Open the list of classes at one of them."""
        ClassesDialog(self._session, class_id, parent=self._page).show()

    def make_positive(self, class_id: int) -> None:
        """Make one of two classes the positive one."""
        self._session.change(labels.set_positive, class_id)

    def learn(self, class_id: int) -> None:
        """Choose the finding that runs learn; 0 stands for all at once."""
        self._session.change(Project.choose_finding, class_id or None)

    def leave_out(self, class_id: int, is_left_out: bool) -> None:
        """Leave a class out of every use, or take it in again."""
        self._session.change(labels.leave_out, class_id, is_left_out)

    def _on_number(self, card: LabelCard, number: int) -> None:
        if self._session.snapshot.is_multi:
            finding = card.findings.finding_of_key(number)
            if finding is not None:
                self.toggle_finding(finding)
        elif (class_id := card.class_of_key(number)) is not None:
            self.give_label(class_id)

    def _on_ctrl(self, card: LabelCard, number: int) -> None:
        finding = card.findings.finding_of_key(number)
        if self._session.snapshot.is_multi and finding is not None:
            self.give_mark(finding, Mark.UNKNOWN)

    def _shortcut(self, keys: str, run: Callable[[], None]) -> None:
        shortcut = QShortcut(QKeySequence(keys), self._page)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(run)
