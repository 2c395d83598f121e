"""The data page: images as thumbnails, filters, and what can be done to images and classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from engine.contract.records import ImageRecord
from engine.project import labels
from gui.dialogs.class_edit import ClassesDialog
from gui.dialogs.exclude_reason import ExcludeDialog
from gui.dialogs.skipped_files import SkippedFilesDialog
from gui.itemmodels.image_grid import ImageGrid
from gui.itemmodels.image_query import ImageQuery, search_texts, select_records
from gui.messages import split_name
from gui.panels.data_filters import FilterBar
from gui.panels.data_side import DataSide
from gui.panels.data_tasks import DataTasks
from gui.panels.label_card import MAX_KEYS
from gui.panels.panel import Panel
from gui.relink import RelinkGuide
from gui.session import Session
from gui.stages import Stage
from gui.widgets.counts import images_text, patients_text
from gui.widgets.empty_state import EmptyState

__all__ = ["DataPanel"]


class DataPanel(Panel):
    """The dataset browser.

    Signals:
        add_requested: Choose a folder of images to add to the project.
    """

    add_requested = Signal()

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(session, self.tr("Data"), parent=parent)
        self._folder: Path | None = None
        self._texts: dict[int, str] = {}
        self._skipped_button = self.header.add_button(self.tr("Left out…"))
        self._skipped_button.clicked.connect(self._show_skipped)
        self._more = self.header.add_button(self.tr("More"))
        self._add = self.header.add_button(self.tr("Add images…"), icon="add")
        self._add.clicked.connect(self._on_add)
        self._next = self.header.add_button(self.tr("Train…"), is_primary=True)
        self._next.clicked.connect(self._on_next)
        self.filters = FilterBar()
        self.filters.query_changed.connect(self._on_query_changed)
        self.grid = ImageGrid()
        self.grid.selection_moved.connect(self._show_selection)
        self.side = DataSide(session)
        self._tasks = DataTasks(session, self.grid.selected_ids, self)
        self._tasks.told.connect(self.message_requested)
        self._more.setMenu(self._tasks.menu)
        self._relink = RelinkGuide(session, self)
        self._no_match = EmptyState(
            "search",
            self.tr("No image matches the filter."),
            self.tr("Clear the filter"),
            is_primary=False,
        )
        self._no_match.action_requested.connect(self.filters.clear)
        self._empty = EmptyState("data", "")
        self._empty.action_requested.connect(self.add_requested)
        self._build()
        self._connect_side()
        self._add_shortcuts()
        session.snapshot_changed.connect(self._on_snapshot_changed)
        session.project_changed.connect(self._on_project_changed)
        session.jobs.started.connect(self._show_state)
        session.jobs.ended.connect(self._show_state)
        self._relink.needed.connect(self.message_requested)
        self._on_project_changed()
        self._on_snapshot_changed()

    def on_shown(self) -> None:
        """Show what another page asked for, and put the keyboard into the grid."""
        if (wanted := self.session.shown_images) is not None:
            self.session.shown_images = None
            self.filters.show_only(wanted.ids, wanted.title)
            if wanted.current is not None:
                self.grid.setCurrentIndex(self.grid.images.index_of(wanted.current))
        if self._pages.currentWidget() is self._browser:
            self.grid.setFocus()

    def selected_records(self) -> list[ImageRecord]:
        """Return the selected images."""
        return self.session.records(self.grid.selected_ids())

    def _on_project_changed(self) -> None:
        self.side.forget()
        self.grid.set_thumbnails(self.session.thumbnails)
        self.filters.clear()

    def _on_snapshot_changed(self) -> None:
        snapshot = self.session.snapshot
        if snapshot.folder != self._folder:
            self._folder = snapshot.folder
            if snapshot.folder is not None:
                self._relink.check()
        self._texts = {}
        self.filters.set_snapshot(snapshot)
        self._select_records(self.filters.query)
        self._show_state()

    def _on_query_changed(self, query: ImageQuery) -> None:
        self._select_records(query)

    def _select_records(self, query: ImageQuery) -> None:
        snapshot = self.session.snapshot
        records = select_records(snapshot.records, query, snapshot.classes, self._search_texts)
        self.grid.set_images(records, snapshot.classes)
        self._stack.setCurrentWidget(self.grid if records else self._no_match)
        self._show_counts(len(records), query)

    def _search_texts(self) -> dict[int, str]:
        if not self._texts:
            snapshot = self.session.snapshot
            names = {part: split_name(part) for part in ("train", "val", "test")}
            self._texts = search_texts(snapshot.records, snapshot.classes, names)
        return self._texts

    def _show_counts(self, n_shown: int, query: ImageQuery) -> None:
        snapshot = self.session.snapshot
        n_classes = len(snapshot.classes_in_use)
        classes = self.tr("1 class") if n_classes == 1 else self.tr("%d classes") % n_classes
        parts = [images_text(len(snapshot.records)), patients_text(snapshot.n_patients), classes]
        if not query.is_everything:
            parts[0] = self.tr("%s of %s") % (QLocale().toString(n_shown), parts[0])
        self.header.set_subtitle(" · ".join(parts) if snapshot.records else "")
        n_skipped = len(snapshot.skipped)
        self._skipped_button.setVisible(n_skipped > 0)
        number = QLocale().toString(n_skipped)
        self._skipped_button.setText(self.tr("%s left out…") % number)

    def _show_state(self, _job: Any = None) -> None:
        """Say what the one next step is."""
        snapshot = self.session.snapshot
        has_images = bool(snapshot.records)
        is_importing = self.session.jobs.is_busy_with("scan")
        self._pages.setCurrentWidget(self._browser if has_images else self._empty)
        self._add.setVisible(has_images)
        self._more.setVisible(has_images)
        self._add.setEnabled(not is_importing)
        self._next.setVisible(has_images)
        if not has_images:
            self._say_empty(is_importing=is_importing)
        n_classes = sum(1 for c in snapshot.classes_in_use if c.n_images)
        self._next.setEnabled(n_classes >= 2 and not is_importing)
        self._next.setToolTip(
            "" if n_classes >= 2 else self.tr("A classifier needs images of at least two classes")
        )
        if snapshot.split is None:
            self._next.setText(self.tr("Split the patients"))
        elif snapshot.is_split_stale:
            self._next.setText(self.tr("Make a new split"))
        else:
            self._next.setText(self.tr("Train…"))

    def _say_empty(self, *, is_importing: bool) -> None:
        if is_importing:
            self._empty.set_content(
                "data",
                self.tr("Images are being imported."),
                "",
                self.tr("They appear here when they have been read."),
            )
        else:
            self._empty.set_content(
                "data",
                self.tr("There are no images in this project yet."),
                self.tr("Choose a folder of images…"),
                self.tr("You can also drop a folder or a label sheet here."),
            )

    def _show_selection(self) -> None:
        self.side.show_images(self.selected_records(), self.grid.current_record())

    def _on_add(self) -> None:
        self.add_requested.emit()

    def _on_next(self) -> None:
        snapshot = self.session.snapshot
        is_ready = snapshot.split is not None and not snapshot.is_split_stale
        self.go_to(Stage.TRAIN if is_ready else Stage.SPLIT)

    def _show_skipped(self) -> None:
        SkippedFilesDialog(self.session.snapshot.skipped, parent=self).show()

    def _give_label(self, class_id: int) -> None:
        ids = [r.id for r in self.selected_records() if r.class_id != class_id]
        if ids:
            self.session.change(labels.set_labels, ids, class_id)

    def _on_number_key(self, number: int) -> None:
        class_id = self.side.labels.class_of_key(number)
        if class_id is not None:
            self._give_label(class_id)

    def _ask_exclude(self) -> None:
        ids = [record.id for record in self.selected_records() if record.excluded is None]
        if not ids:
            return
        dialog = ExcludeDialog(len(ids), parent=self)
        dialog.reason_given.connect(lambda reason: self.session.change(labels.exclude, ids, reason))
        dialog.show()

    def _include(self) -> None:
        ids = [record.id for record in self.selected_records() if record.excluded is not None]
        if ids:
            self.session.change(labels.include, ids)

    def _undo(self) -> None:
        self.session.change(labels.undo)

    def _redo(self) -> None:
        self.session.change(labels.redo)

    def _edit_classes(self, class_id: int) -> None:
        ClassesDialog(self.session, class_id, parent=self).show()

    def _make_positive(self, class_id: int) -> None:
        self.session.change(labels.set_positive, class_id)

    def _leave_out(self, class_id: int, is_left_out: bool) -> None:
        self.session.change(labels.leave_out, class_id, is_left_out)

    def _connect_side(self) -> None:
        card = self.side.labels
        card.class_chosen.connect(self._give_label)
        card.exclude_requested.connect(self._ask_exclude)
        card.include_requested.connect(self._include)
        card.undo_requested.connect(self._undo)
        card.redo_requested.connect(self._redo)
        classes = self.side.classes
        classes.edit_requested.connect(self._edit_classes)
        classes.positive_requested.connect(self._make_positive)
        classes.left_out_requested.connect(self._leave_out)

    def _add_shortcuts(self) -> None:
        for number in range(1, MAX_KEYS + 1):
            self._shortcut(str(number), lambda number=number: self._on_number_key(number))
        self._shortcut("X", self._ask_exclude)
        self._shortcut("Ctrl+F", self.filters.focus_text)

    def _shortcut(self, keys: str, run: Any) -> None:
        shortcut = QShortcut(QKeySequence(keys), self)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(run)

    def _build(self) -> None:
        self._stack = QStackedWidget()
        self._stack.addWidget(self.grid)
        self._stack.addWidget(self._no_match)
        columns = QHBoxLayout()
        columns.setSpacing(12)
        columns.addWidget(self._stack, 1)
        columns.addWidget(self.side)
        self._browser = QWidget()
        browser = QVBoxLayout(self._browser)
        browser.setContentsMargins(0, 0, 0, 0)
        browser.setSpacing(12)
        browser.addWidget(self.filters)
        browser.addLayout(columns, 1)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._browser)
        self._pages.addWidget(self._empty)
        self.body.addWidget(self._pages, 1)
