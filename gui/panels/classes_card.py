"""The classes with their numbers, and the way to change them."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtWidgets import QLabel, QMenu, QWidget

from engine.contract.records import ClassSummary
from gui.widgets.buttons import make_link
from gui.widgets.card import Card
from gui.widgets.class_bars import ClassBars, ClassCount
from gui.widgets.painting import set_role

__all__ = ["ClassesCard", "fill_class_menu"]


class ClassesCard(Card):
    """Bars of images and patients per class; a right click or "Edit…" changes a class.

    Signals:
        edit_requested: Id of the class to begin with, or 0.
        positive_requested: Id of the class to make positive.
        left_out_requested: Id of a class, and whether to leave it out.
    """

    edit_requested = Signal(int)
    positive_requested = Signal(int)
    left_out_requested = Signal(int, bool)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Classes"), self.tr("images / patients"), parent=parent)
        self._shown: tuple[ClassSummary, ...] = ()
        self._others: tuple[ClassSummary, ...] = ()
        self._bars = ClassBars()
        self._bars.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self._bars.customContextMenuRequested.connect(self._show_menu)
        self._rest = QLabel()
        self._rest.setWordWrap(True)
        set_role(self._rest, "small")
        edit = make_link(self.tr("Edit…"))
        edit.setAccessibleName(self.tr("Edit the classes"))
        edit.setToolTip(self.tr("Rename, merge or leave out classes"))
        edit.clicked.connect(self._on_edit)
        self.add_action(edit)
        self.body.addWidget(self._bars)
        self.body.addWidget(self._rest)

    def set_classes(self, classes: Sequence[ClassSummary]) -> None:
        """Show these classes; those in use have bars in the colours of their index."""
        self._shown = tuple(c for c in classes if c.index is not None)
        self._others = tuple(c for c in classes if c.index is None)
        self._bars.set_counts(
            [
                ClassCount(
                    name=self.tr("%s (positive)") % c.name if c.is_positive else c.name,
                    n_images=c.n_images,
                    n_patients=c.n_patients,
                )
                for c in self._shown
            ]
        )
        left_out = [c.name for c in self._others if c.is_left_out]
        self._rest.setText(self.tr("Left out: %s") % ", ".join(left_out) if left_out else "")
        self._rest.setVisible(bool(left_out))

    def _show_menu(self, point: QPoint) -> None:
        if not self._shown:
            return
        place = min(
            point.y() * len(self._shown) // max(1, self._bars.height()), len(self._shown) - 1
        )
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        fill_class_menu(menu, self._shown[place], n_in_use=len(self._shown), card=self)
        menu.popup(self._bars.mapToGlobal(point))

    def _on_edit(self) -> None:
        self.edit_requested.emit(0)


def fill_class_menu(
    menu: QMenu, summary: ClassSummary, *, n_in_use: int, card: ClassesCard
) -> None:
    """Put what can be done to a class into a menu."""
    edit = menu.addAction(card.tr("Rename or merge “%s”…") % summary.name)
    edit.triggered.connect(lambda: card.edit_requested.emit(summary.id))
    positive = menu.addAction(card.tr("Make it the positive class"))
    positive.setEnabled(n_in_use == 2 and not summary.is_positive)
    positive.triggered.connect(lambda: card.positive_requested.emit(summary.id))
    out = menu.addAction(card.tr("Leave it out"))
    out.triggered.connect(lambda: card.left_out_requested.emit(summary.id, True))
