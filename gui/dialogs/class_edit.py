"""Rename, merge, order and leave out classes, and say what the classifier looks for."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from engine.contract.records import ClassSummary
from engine.project import labels
from engine.project.store import Project
from gui.session import Session
from gui.theme import theme
from gui.widgets.buttons import IconButton, make_button
from gui.widgets.counts import images_text, patients_text
from gui.widgets.painting import set_role

__all__ = ["ClassesDialog"]


class ClassesDialog(QDialog):
    """One class at a time; every change counts at once and can be undone."""

    def __init__(
        self, session: Session, class_id: int = 0, *, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._wanted = class_id
        self._has_order = session.snapshot.is_multi or session.snapshot.is_ordinal
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(theme().px(620), theme().px(340))
        self._list = QListWidget()
        self._list.currentRowChanged.connect(self._show_class)
        self._up = self._mover("chevron-up", self.tr("One up (Alt+Up)"), "Alt+Up", self._move_up)
        self._down = self._mover(
            "chevron-down", self.tr("One down (Alt+Down)"), "Alt+Down", self._move_down
        )
        self._name = QLineEdit()
        self._name.setAccessibleName(self.tr("Name of the class"))
        self._name.returnPressed.connect(self._rename)
        self._rename_button = make_button(self.tr("Rename"))
        self._rename_button.clicked.connect(self._rename)
        self._into = QComboBox()
        self._into.setAccessibleName(self.tr("Class to merge into"))
        self._merge_button = make_button(self.tr("Merge"))
        self._merge_button.clicked.connect(self._merge)
        self._left_out = QCheckBox()
        self._left_out.clicked.connect(self._leave_out)
        self._positive = QCheckBox()
        self._positive.clicked.connect(self._make_positive)
        self._counts = QLabel()
        set_role(self._counts, "secondary")
        self._build()
        self._name_things()
        session.snapshot_changed.connect(self._refresh)
        self._refresh()

    @property
    def _class(self) -> ClassSummary | None:
        classes = self._session.snapshot.classes
        row = self._list.currentRow()
        return classes[row] if 0 <= row < len(classes) else None

    def _refresh(self) -> None:
        classes = self._session.snapshot.classes
        current = self._wanted
        if not current and (item := self._list.currentItem()) is not None:
            current = int(item.data(Qt.ItemDataRole.UserRole))
        self._wanted = 0
        self._list.blockSignals(True)
        self._list.clear()
        for summary in classes:
            text = self.tr("%s (left out)") % summary.name if summary.is_left_out else summary.name
            item = QListWidgetItem(text)
            item.setData(Qt.ItemDataRole.UserRole, summary.id)
            self._list.addItem(item)
        ids = [summary.id for summary in classes]
        self._list.setCurrentRow(ids.index(current) if current in ids else 0)
        self._list.blockSignals(False)
        self._show_class()

    def _show_class(self) -> None:
        found = self._class
        for widget in (self._name, self._rename_button, self._into, self._merge_button):
            widget.setEnabled(found is not None)
        if found is None:
            return
        classes = self._session.snapshot.classes
        self._name.setText(found.name)
        self._into.clear()
        for summary in classes:
            if summary.id != found.id:
                self._into.addItem(summary.name, summary.id)
        self._merge_button.setEnabled(self._into.count() > 0)
        self._left_out.setChecked(found.is_left_out)
        self._positive.setChecked(found.is_positive)
        n_in_use = sum(1 for c in classes if c.index is not None)
        is_multi = self._session.snapshot.is_multi
        self._positive.setEnabled(found.index is not None and (is_multi or n_in_use == 2))
        row = self._list.currentRow()
        self._up.setEnabled(row > 0)
        self._down.setEnabled(row < len(classes) - 1)
        self._counts.setText(f"{images_text(found.n_images)} · {patients_text(found.n_patients)}")

    def _rename(self) -> None:
        found = self._class
        if found is not None and self._name.text().strip() != found.name:
            self._session.change(labels.rename_class, found.id, self._name.text())

    def _merge(self) -> None:
        found, into = self._class, self._into.currentData()
        if found is not None and into is not None:
            self._wanted = int(into)
            self._session.change(labels.merge_classes, [found.id], int(into))

    def _leave_out(self) -> None:
        if (found := self._class) is not None:
            self._session.change(labels.leave_out, found.id, self._left_out.isChecked())

    def _make_positive(self) -> None:
        found = self._class
        if found is None or found.is_positive:
            self._positive.setChecked(found is not None)  # one of two always is
        elif self._session.snapshot.is_multi:
            self._session.change(Project.choose_finding, found.id)
        else:
            self._session.change(labels.set_positive, found.id)

    def _move_up(self) -> None:
        self._move(-1)

    def _move_down(self) -> None:
        self._move(1)

    def _move(self, step: int) -> None:
        """Exchange the class with its neighbour; number keys follow the order."""
        if not self._has_order:
            return
        ids = [summary.id for summary in self._session.snapshot.classes]
        row = self._list.currentRow()
        if 0 <= row < len(ids) and 0 <= row + step < len(ids):
            ids[row], ids[row + step] = ids[row + step], ids[row]
            self._session.change(labels.order_classes, ids)

    def _mover(self, icon: str, text: str, keys: str, run: Callable[[], None]) -> IconButton:
        button = IconButton(icon, text)
        button.clicked.connect(run)
        shortcut = QShortcut(QKeySequence(keys), self)
        shortcut.activated.connect(run)
        return button

    def _name_things(self) -> None:
        """Speak of classes, findings or grades; findings and grades can be put in order."""
        snapshot = self._session.snapshot
        title, left_out = self.tr("Classes"), self.tr("Leave this class out of everything")
        positive = self.tr("The positive class (what the classifier looks for)")
        if snapshot.is_multi:
            title, left_out = self.tr("Findings"), self.tr("Leave this finding out of everything")
            positive = self.tr("Learn this finding")
        elif snapshot.is_ordinal:
            title = self.tr("Grades, low to high")
            left_out = self.tr("Leave this grade out of everything")
        self.setWindowTitle(title)
        self._list.setAccessibleName(title)
        self._left_out.setText(left_out)
        self._positive.setText(positive)
        self._positive.setVisible(not snapshot.is_ordinal)
        for button in (self._up, self._down):
            button.setVisible(self._has_order)

    def _build(self) -> None:
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(8)
        name, into = QLabel(self.tr("Name")), QLabel(self.tr("Merge into"))
        for label in (name, into):
            set_role(label, "small")
        grid.addWidget(self._counts, 0, 0, 1, 2)
        grid.addWidget(name, 1, 0)
        grid.addWidget(self._name, 2, 0)
        grid.addWidget(self._rename_button, 2, 1)
        grid.addWidget(into, 3, 0)
        grid.addWidget(self._into, 4, 0)
        grid.addWidget(self._merge_button, 4, 1)
        grid.addWidget(self._left_out, 5, 0, 1, 2)
        grid.addWidget(self._positive, 6, 0, 1, 2)
        grid.setRowStretch(7, 1)
        grid.setColumnStretch(0, 1)
        arrows = QVBoxLayout()
        arrows.setSpacing(4)
        arrows.addWidget(self._up)
        arrows.addWidget(self._down)
        arrows.addStretch(1)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self._list, 2)
        row.addLayout(arrows)
        row.addSpacing(8)
        row.addLayout(grid, 3)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        column.addLayout(row, 1)
        column.addWidget(buttons)
