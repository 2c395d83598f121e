"""The window: rail, top bar, messages, one page per stage, and the strip of what runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QMainWindow,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from engine.contract.errors import EngineError
from gui.actions import Actions
from gui.closing import Closing
from gui.fallback_notice import FallbackNotice
from gui.folder_questions import ask_for_images, ask_for_project
from gui.hang_notice import HangNotice
from gui.import_flow import ImportFlow
from gui.messages import device_text, device_tool_tip
from gui.pages import RAIL_TITLES, make_page
from gui.panels.panel import Panel
from gui.panels.start import StartPanel
from gui.preferences import Preferences
from gui.preload import Preloader
from gui.session import Session
from gui.stages import STAGES, Stage
from gui.status import StatusPresenter
from gui.theme import theme
from gui.unfinished import UnfinishedRuns
from gui.widgets.drop_area import DropTarget
from gui.widgets.message_bar import MessageAction, MessageBar, MessageKind
from gui.widgets.stage_rail import Stage as RailStage
from gui.widgets.stage_rail import StageRail
from gui.widgets.status_strip import StatusStrip
from gui.widgets.top_bar import TopBar
from gui.worker.engine_client import EngineClient

if TYPE_CHECKING:
    from gui.panels.importing import ImportPanel

__all__ = ["MainWindow"]

_RUN_WARM_UP_MS = 1500


class MainWindow(QMainWindow):
    """Everything the user sees; pages are made when they are first shown."""

    def __init__(self, client: EngineClient, preferences: Preferences) -> None:
        super().__init__()
        self.setWindowTitle("RadTune")
        self.setMinimumSize(880, 560)
        self._client = client
        self._preferences = preferences
        self._preloader = Preloader(
            partial(client.warm_up, "data"),
            [self._import_panel, *(partial(self.page, s) for s in STAGES), self._build_results],
            self,
        )
        self.session = Session(client, self)
        self.closing = Closing(self, self.session)
        self.imports = ImportFlow(self.session, self)
        self._pages: dict[Stage, Panel] = {}
        self._import_page: ImportPanel | None = None
        self.top_bar = TopBar()
        self.messages = MessageBar()
        self.rail = StageRail([RailStage(s.value, RAIL_TITLES[s]()) for s in STAGES])
        self.stack = QStackedWidget()
        self.strip = StatusStrip()
        self.start_page = StartPanel(preferences)
        self.stack.addWidget(self.start_page)
        self.status = StatusPresenter(self.session, self.strip, self)
        self.hang_notice = HangNotice(self.session, self.messages, self)
        self.fallback_notice = FallbackNotice(self.session, self.messages, self)
        self.unfinished = UnfinishedRuns(self.session, preferences, self.messages, self)
        self.actions_ = Actions(
            self,
            {
                "new": self.choose_images,
                "open": self.choose_project,
                "start_page": self.show_start,
                "undo": self._undo,
                "redo": self._redo,
                "search": lambda: self.show_stage(Stage.SEARCH),
                "device": self._show_device,
                "help": self._show_help,
                "about": self._show_about,
                "quit": self.close,
            },
        )
        self._build()
        self._connect()
        self._restore()
        self.show_start()

    @property
    def current_page(self) -> QWidget | None:
        """The page that is shown."""
        return self.stack.currentWidget()

    def warm_up(self) -> None:
        """After the first paint: make later pages and start the workers, torch a moment later."""
        self._preloader.start()
        QTimer.singleShot(_RUN_WARM_UP_MS, self.session.find_device)
        self.unfinished.offer_last()

    def page(self, stage: Stage) -> Panel:
        """Return the page of a stage, made on the first call."""
        if stage not in self._pages:
            page = make_page(stage, self.session)
            page.stage_requested.connect(self.show_stage)
            page.message_requested.connect(self.show_message)
            page.message_withdrawn.connect(self.messages.withdraw)
            if stage is Stage.DATA:
                page.add_requested.connect(self._add_images)  # type: ignore[attr-defined]
            self._pages[stage] = page
            self.stack.addWidget(page)
        return self._pages[stage]

    def show_stage(self, stage: Stage) -> None:
        """Show the page of a stage; without a project, the first page."""
        if stage is Stage.DATA and self.imports.is_running:
            self._show_page(self._import_panel(), stage)
            return
        if self.session.folder is None:
            self.show_start()
            return
        page = self.page(stage)
        if page is not self.current_page:
            shown = (s for s, other in self._pages.items() if other is self.current_page)
            page.opened_from = next(shown, None)
        self._show_page(page, stage)
        page.on_shown()

    def show_start(self) -> None:
        """Show the first page."""
        self.start_page.refresh()
        self._show_page(self.start_page, None)

    def show_message(
        self,
        kind: MessageKind,
        what: str,
        remedy: str = "",
        actions: list[MessageAction] | None = None,
    ) -> None:
        """Show a message under the top bar; good news goes by itself."""
        is_passing = kind in (MessageKind.INFO, MessageKind.SUCCESS) and not actions
        self.messages.show_message(
            kind, what, remedy, actions or (), timeout_s=8.0 if is_passing else 0.0
        )

    def show_error(self, error: EngineError) -> None:
        """Say what happened and what to do next."""
        self.show_message(MessageKind.ERROR, error.message, error.remedy)

    def show_unexpected(self) -> None:
        """Say that the window itself has a bug."""
        self.show_message(
            MessageKind.ERROR,
            self.tr("Something unexpected happened."),
            self.tr("Your project is saved. If RadTune behaves oddly, close it and start again."),
        )

    def open_project(self, folder: Path) -> bool:
        """Open a project; False, with a message, if that isn't possible."""
        if self._is_busy():
            return False
        try:
            self.session.open_project(folder)
        except EngineError as error:
            self.show_error(error)
            return False
        self.messages.clear()
        self.show_stage(Stage.DATA)
        return True

    def continue_run(self, project: Path, run: str) -> None:
        """Open a project and go on with a run of it."""
        if project != self.session.folder and not self.open_project(project):
            return
        from gui.panels.train import TrainPanel

        self.show_stage(Stage.TRAIN)
        page = self.page(Stage.TRAIN)
        assert isinstance(page, TrainPanel)
        page.resume(run)

    def open_paths(self, paths: list[Path]) -> None:
        """Open what was dropped or given: a project, a folder of images, a label sheet."""
        from engine.project.store import has_project

        path = paths[0]
        if path.name == "project.db":
            path = path.parent
        if has_project(path):
            self.open_project(path)
        else:
            project = self.session.folder if self.current_page is not self.start_page else None
            self._look_at(path, project)

    def choose_images(self) -> None:
        """Ask for a folder of images and look at it."""
        if (chosen := ask_for_images(self)) is not None:
            self._look_at(chosen, None)

    def choose_project(self) -> None:
        """Ask for a project and open it."""
        if (chosen := ask_for_project(self)) is not None:
            self.open_project(chosen)

    def try_sample(self) -> None:
        """Make the simulated study and open it, ready to be trained on."""
        from gui.sample_study import sample_plan

        if self._is_busy():
            return
        self._show_page(self._import_panel(), Stage.DATA)
        self.imports.start(sample_plan())

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask once if something runs; then end everything in order."""
        if not self.closing.is_allowed():
            event.ignore()
            return
        self._preferences.geometry = self.saveGeometry()
        self.hide()
        self._preloader.stop()
        self.closing.end_work()
        event.accept()

    def _look_at(self, source: Path, project: Path | None) -> None:
        if self._is_busy():
            return
        page = self._import_panel()
        self._show_page(page, Stage.DATA)
        page.look_at(source, project)

    def _add_images(self) -> None:
        if (chosen := ask_for_images(self)) is not None:
            self._look_at(chosen, self.session.folder)

    def _choose_again(self) -> None:
        page = self._import_panel()
        if (chosen := ask_for_images(self)) is not None:
            self._look_at(chosen, page.project)

    def _is_busy(self) -> bool:
        """Refuse, with a message, what would disturb a run or an import."""
        if self.session.runs.state.is_busy:
            what = self.tr("A training run is under way.")
            remedy = self.tr("Stop it first, or wait until it has finished.")
        elif self.imports.is_running:
            what = self.tr("An import is under way.")
            remedy = self.tr("Cancel it first, or wait until it has finished.")
        else:
            return False
        self.show_message(MessageKind.WARNING, what, remedy)
        return True

    def _build_results(self) -> None:
        """Build the part of the Evaluate page that takes longest."""
        from gui.panels.evaluate import EvaluatePanel

        page = self.page(Stage.EVALUATE)
        if isinstance(page, EvaluatePanel):
            page.result.hide()

    def _import_panel(self) -> ImportPanel:
        if self._import_page is None:
            from gui.panels.importing import ImportPanel

            page = ImportPanel(self.session, self.imports)
            page.stage_requested.connect(self.show_stage)
            page.message_requested.connect(self.show_message)
            page.closed.connect(self._on_import_closed)
            page.source_wanted.connect(self._choose_again)
            self._import_page = page
            self.stack.addWidget(page)
        return self._import_page

    def _on_import_closed(self) -> None:
        if self.session.folder is None:
            self.show_start()
        else:
            self.show_stage(Stage.DATA)

    def _on_imported(self) -> None:
        if self.session.folder is not None:
            self._preferences.add_recent(self.session.folder)
        if self.imports.is_sample:
            self.show_stage(Stage.DATA)

    def _on_project_changed(self) -> None:
        self.top_bar.set_project(self.session.name)
        folder = self.session.folder
        if folder is not None:
            self._preferences.add_recent(folder)
        self._refresh()

    def _on_device_changed(self) -> None:
        device = self.session.device
        self.top_bar.set_device(device_text(device), device_tool_tip(device))

    def _on_rail(self, key: str) -> None:
        self.show_stage(Stage(key))

    def _refresh(self, _changed: Any = None) -> None:
        """Bring rail and actions in step with the session."""
        is_importing = self._import_page is not None and self.current_page is self._import_page
        is_importing = is_importing or self.imports.is_running
        for stage in STAGES:
            self.rail.set_state(stage.value, self.session.stage_state(stage))
            self.rail.set_stage_enabled(
                stage.value,
                self.session.folder is not None or (stage is Stage.DATA and is_importing),
                self.tr("Open a folder of images or a project first"),
            )
        snapshot = self.session.snapshot
        self.actions_.set_history(can_undo=snapshot.can_undo, can_redo=snapshot.can_redo)
        self.actions_.search.setEnabled(self.session.folder is not None)

    def _show_page(self, page: QWidget, stage: Stage | None) -> None:
        self.stack.setCurrentWidget(page)
        shown = Stage.TRAIN if stage is Stage.SEARCH else stage
        self.rail.set_current(shown.value if shown is not None else "")
        self._refresh()

    def _undo(self) -> None:
        from engine.project.labels import undo

        self.session.change(undo)

    def _redo(self) -> None:
        from engine.project.labels import redo

        self.session.change(redo)

    def _show_help(self) -> None:
        from gui.dialogs.about import HelpDialog

        HelpDialog(parent=self).show()

    def _show_device(self) -> None:
        from gui.dialogs.this_computer import show_this_computer

        show_this_computer(self.session, self)

    def _show_about(self) -> None:
        from gui.dialogs.about import AboutDialog

        AboutDialog(parent=self).show()

    def _on_theme_choice(self, choice: str) -> None:
        self._preferences.theme_choice = choice

    def _on_theme_changed(self) -> None:
        self._preferences.text_scale = theme().text_scale

    def _build(self) -> None:
        self.top_bar.add_menu(self.actions_.menu())
        middle = QHBoxLayout()
        middle.setSpacing(0)
        middle.addWidget(self.rail)
        middle.addWidget(self.stack, 1)
        center = QWidget()
        column = QVBoxLayout(center)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.top_bar)
        column.addWidget(self.messages)
        column.addLayout(middle, 1)
        column.addWidget(self.strip)
        self.setCentralWidget(center)
        drop = DropTarget(self)
        drop.paths_dropped.connect(self.open_paths)

    def _connect(self) -> None:
        session = self.session
        session.project_changed.connect(self._on_project_changed)
        session.snapshot_changed.connect(self._refresh)
        session.choices_changed.connect(self._refresh)
        session.device_changed.connect(self._on_device_changed)
        session.failed.connect(self.show_error)
        session.runs.state_changed.connect(self._refresh)
        session.jobs.started.connect(self._refresh)
        session.jobs.ended.connect(self._refresh)
        self.imports.finished.connect(self._on_imported)
        self.rail.stage_activated.connect(self._on_rail)
        self.rail.help_requested.connect(self._show_help)
        self.top_bar.device_activated.connect(self._show_device)
        self.status.stage_requested.connect(self.show_stage)
        self.unfinished.chosen.connect(self.continue_run)
        start = self.start_page
        start.images_requested.connect(self.choose_images)
        start.project_requested.connect(self.choose_project)
        start.sample_requested.connect(self.try_sample)
        start.recent_chosen.connect(self.open_project)
        start.paths_dropped.connect(self.open_paths)
        theme().choice_changed.connect(self._on_theme_choice)
        theme().changed.connect(self._on_theme_changed)

    def _restore(self) -> None:
        geometry = self._preferences.geometry
        if geometry is None or not self.restoreGeometry(geometry):
            self.resize(1366, 768)
            screen = self.screen()
            if screen is not None:
                room = screen.availableGeometry()
                self.resize(min(1366, room.width()), min(768, room.height()))
        self.setWindowState(self.windowState() & ~Qt.WindowState.WindowMinimized)
