"""The data page: images as thumbnails, filters, and what can be done to images and classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from engine.contract.records import SPLITS, ImageRecord
from gui.dialogs.skipped_files import SkippedFilesDialog
from gui.itemmodels.image_grid import ImageGrid
from gui.itemmodels.image_query import ImageQuery, ImageSelector
from gui.messages import split_name
from gui.panels.data_filters import FilterBar
from gui.panels.data_side import DataSide
from gui.panels.data_tasks import DataTasks
from gui.panels.label_edits import LabelEdits
from gui.panels.learn_choice import LearnMenu
from gui.panels.live_head import LiveHead
from gui.panels.panel import Panel
from gui.relink import RelinkGuide
from gui.session import Session
from gui.snapshot import Snapshot
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
        self._is_side_outdated = False
        self._skipped_button = self.header.add_button(self.tr("Left out…"))
        self._skipped_button.clicked.connect(self._show_skipped)
        self._more = self.header.add_button(self.tr("More"))
        self._add = self.header.add_button(self.tr("Add images…"), icon="add")
        self._add.clicked.connect(self._on_add)
        self._next = self.header.add_button(self.tr("Train…"), is_primary=True)
        self._next.clicked.connect(self._on_next)
        self._learn_menu = LearnMenu(lambda: session.snapshot, self)
        self.filters = FilterBar()
        self.filters.query_changed.connect(self._on_query_changed)
        self.grid = ImageGrid()
        self.grid.selection_moved.connect(self._show_selection)
        self.side = DataSide(session)
        self.live_head = LiveHead(session, self.isVisible)
        self.live_head.images_requested.connect(self._show_some)
        self.edits = LabelEdits(session, self.selected_records, self)
        self._learn_menu.chosen.connect(self.edits.learn)
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

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what happened while another page was shown."""
        super().showEvent(event)
        if self._is_side_outdated:
            self._show_selection()

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
        self.filters.set_snapshot(snapshot)
        self._select_records(self.filters.query)
        self._show_state()

    def _on_query_changed(self, query: ImageQuery) -> None:
        self._select_records(query)

    def _select_records(self, query: ImageQuery) -> None:
        snapshot = self.session.snapshot
        selector = ImageSelector(
            records=snapshot.by_name,
            classes=snapshot.classes,
            texts=snapshot.texts,
            split_names={part: split_name(part) for part in SPLITS},
            suspects=snapshot.suspects,
            is_multi=snapshot.is_multi,
        )
        records = selector.select(query)
        self.grid.set_images(records, snapshot.classes, is_multi=snapshot.is_multi)
        self._stack.setCurrentWidget(self.grid if records else self._no_match)
        self._show_counts(len(records), query)

    def _show_counts(self, n_shown: int, query: ImageQuery) -> None:
        snapshot = self.session.snapshot
        parts = [images_text(len(snapshot.records)), patients_text(snapshot.n_patients)]
        parts.append(self._classes_text(snapshot))
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
        self._next.setEnabled(snapshot.can_split and not is_importing)
        self._next.setToolTip("" if snapshot.can_split else self._missing_text(snapshot))
        if self._wants_check():
            self._next.setText(self.tr("Check the data"))
        elif snapshot.split is None:
            self._next.setText(self.tr("Split the patients"))
        elif snapshot.is_split_stale:
            self._next.setText(self.tr("Make a new split"))
        elif snapshot.is_finding_missing:
            self._next.setText(self.tr("Choose what to learn…"))
        else:
            self._next.setText(self.tr("Train…"))

    def _classes_text(self, snapshot: Snapshot) -> str:
        n_classes = len(snapshot.classes_in_use)
        if snapshot.is_multi:
            one, many = self.tr("1 finding"), self.tr("%d findings")
        elif snapshot.is_ordinal:
            one, many = self.tr("1 grade"), self.tr("%d grades")
        else:
            one, many = self.tr("1 class"), self.tr("%d classes")
        text = one if n_classes == 1 else many % n_classes
        if not snapshot.is_multi:
            return text
        learned = snapshot.learned.name if snapshot.learned is not None else self.tr("all")
        return self.tr("%s, to learn: %s") % (text, learned)

    def _missing_text(self, snapshot: Snapshot) -> str:
        if snapshot.is_multi:
            return self.tr("Say first which findings the images show")
        return self.tr("A classifier needs images of at least two classes")

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
        # A page behind another catches up when it is shown: this takes up to 40 ms.
        self._is_side_outdated = not self.isVisible() and self.window().isVisible()
        if self._is_side_outdated:
            return
        self.side.show_images(self.selected_records(), self.grid.current_record())

    def _on_add(self) -> None:
        self.add_requested.emit()

    def _wants_check(self) -> bool:
        """Whether an audit should come next: before the patients are divided for the first time."""
        snapshot = self.session.snapshot
        return snapshot.split is None and snapshot.audit is None

    def _on_next(self) -> None:
        snapshot = self.session.snapshot
        if self._wants_check():
            self.go_to(Stage.AUDIT)
        elif snapshot.split is None or snapshot.is_split_stale:
            self.go_to(Stage.SPLIT)
        elif snapshot.is_finding_missing:
            self._learn_menu.popup(self._next.mapToGlobal(self._next.rect().bottomLeft()))
        else:
            self.go_to(Stage.TRAIN)

    def _show_skipped(self) -> None:
        SkippedFilesDialog(self.session.snapshot.skipped, parent=self).show()

    def _show_some(self, ids: list[int], title: str) -> None:
        current = self.grid.current_record()
        self.filters.show_only(ids, title)
        if current is not None:
            self.grid.setCurrentIndex(self.grid.images.index_of(current.id))

    def _connect_side(self) -> None:
        self.edits.connect_cards(self.side.labels, self.side.classes)
        self.side.facts.images_requested.connect(self._show_some)
        find = QShortcut(QKeySequence("Ctrl+F"), self)
        find.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        find.activated.connect(self.filters.focus_text)

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
        browser.addWidget(self.live_head)
        browser.addLayout(columns, 1)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._browser)
        self._pages.addWidget(self._empty)
        self.body.addWidget(self._pages, 1)
