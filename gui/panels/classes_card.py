"""The classes with their numbers, and the way to change them."""

from __future__ import annotations

from PySide6.QtCore import QLocale, QPoint, Qt, Signal
from PySide6.QtWidgets import QLabel, QMenu, QWidget

from engine.contract.records import ClassSummary
from gui.itemmodels.label_states import MarkCounts
from gui.panels.learn_choice import ALL_FINDINGS, LearnChoice
from gui.snapshot import Snapshot
from gui.widgets.buttons import make_link
from gui.widgets.card import Card
from gui.widgets.class_bars import ClassBars, ClassCount
from gui.widgets.painting import set_role

__all__ = ["ClassesCard"]


class ClassesCard(Card):
    """Bars of images and patients per class; a right click or "Edit…" changes a class.

    Of several findings an image, the bars count the images that show them, and all or one of them
    are chosen to be learned.

    Signals:
        edit_requested: Id of the class to begin with, or 0.
        positive_requested: Id of the class to make positive.
        learn_requested: Id of the finding to learn; 0 for all.
        left_out_requested: Id of a class, and whether to leave it out.
    """

    edit_requested = Signal(int)
    positive_requested = Signal(int)
    learn_requested = Signal(int)
    left_out_requested = Signal(int, bool)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Classes"), self.tr("images / patients"), parent=parent)
        self._shown: tuple[ClassSummary, ...] = ()
        self._is_multi = False
        self._learns_all = False
        self._not_learned: frozenset[str] = frozenset()
        self.learn = LearnChoice()
        self.learn.chosen.connect(self.learn_requested)
        self._bars = ClassBars()
        self._bars.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self._bars.customContextMenuRequested.connect(self._show_menu)
        self._rest = QLabel()
        self._rest.setWordWrap(True)
        set_role(self._rest, "small")
        edit = make_link(self.tr("Edit…"))
        edit.clicked.connect(self._on_edit)
        self.add_action(edit)
        self._edit = edit
        self.body.addWidget(self.learn)
        self.body.addWidget(self._bars)
        self.body.addWidget(self._rest)

    def set_snapshot(self, snapshot: Snapshot) -> None:
        """Show the classes of a project; those in use have bars in the colours of their index."""
        self._shown = tuple(c for c in snapshot.classes if c.index is not None)
        self._is_multi = snapshot.is_multi
        self._learns_all = snapshot.is_multi and snapshot.learned is None
        self._not_learned = frozenset(snapshot.findings_left_out)
        self._set_words(snapshot)
        self.learn.setVisible(snapshot.is_multi)
        self.learn.set_snapshot(snapshot)
        self._bars.set_counts([self._count(c, snapshot.marks.get(c.id)) for c in self._shown])
        left_out = [c.name for c in snapshot.classes if c.is_left_out]
        unused = [c.name for c in snapshot.classes if c.index is None and not c.is_left_out]
        lines = [self.tr("Left out: %s") % ", ".join(left_out)] if left_out else []
        if unused:
            text = self.tr("In no image: %s") if snapshot.is_multi else self.tr("Empty: %s")
            lines.append(text % ", ".join(unused))
        self._rest.setText("\n".join(lines))
        self._rest.setVisible(bool(lines))

    def _set_words(self, snapshot: Snapshot) -> None:
        if snapshot.is_multi:
            title, edit = self.tr("Findings"), self.tr("Edit the findings")
            tip = self.tr("Rename, merge, order or leave out findings")
        elif snapshot.is_ordinal:
            title, edit = self.tr("Grades"), self.tr("Edit the grades")
            tip = self.tr("Rename, merge, order or leave out grades")
        else:
            title, edit = self.tr("Classes"), self.tr("Edit the classes")
            tip = self.tr("Rename, merge or leave out classes")
        self.set_title(title)
        self._edit.setAccessibleName(edit)
        self._edit.setToolTip(tip)

    def _count(self, summary: ClassSummary, marks: MarkCounts | None) -> ClassCount:
        name, detail = summary.name, ""
        if marks is not None:
            locale = QLocale()
            counts = locale.toString(marks.n_absent), locale.toString(marks.n_unknown)
            detail = self.tr("absent in %s, unknown in %s") % counts
            if summary.is_positive:
                name = self.tr("%s (learned)") % name
            elif summary.name in self._not_learned:
                name = self.tr("%s (not learned)") % name
        elif summary.is_positive:
            name = self.tr("%s (positive)") % name
        return ClassCount(
            name=name,
            n_images=summary.n_images,
            n_patients=summary.n_patients,
            detail=detail,
        )

    def _show_menu(self, point: QPoint) -> None:
        if not self._shown:
            return
        place = min(
            point.y() * len(self._shown) // max(1, self._bars.height()), len(self._shown) - 1
        )
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._fill_menu(menu, self._shown[place])
        menu.popup(self._bars.mapToGlobal(point))

    def _on_edit(self) -> None:
        self.edit_requested.emit(0)

    def _fill_menu(self, menu: QMenu, summary: ClassSummary) -> None:
        """Offer what can be done to a class."""
        edit = menu.addAction(self.tr("Rename or merge “%s”…") % summary.name)
        edit.triggered.connect(lambda: self.edit_requested.emit(summary.id))
        if self._is_multi:
            learn = menu.addAction(self.tr("Learn this finding alone"))
            learn.setEnabled(not summary.is_positive)
            learn.triggered.connect(lambda: self.learn_requested.emit(summary.id))
            every = menu.addAction(self.tr("Learn all findings"))
            every.setEnabled(not self._learns_all)
            every.triggered.connect(lambda: self.learn_requested.emit(ALL_FINDINGS))
        else:
            positive = menu.addAction(self.tr("Make it the positive class"))
            positive.setEnabled(len(self._shown) == 2 and not summary.is_positive)
            positive.triggered.connect(lambda: self.positive_requested.emit(summary.id))
        out = menu.addAction(self.tr("Leave it out"))
        out.triggered.connect(lambda: self.left_out_requested.emit(summary.id, True))
