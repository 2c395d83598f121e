"""Finding better settings: search, cross-validation, learning rate, and combining runs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from PySide6.QtWidgets import QButtonGroup, QLabel, QWidget

from engine.contract.commands import Combine
from engine.contract.config import ExperimentConfig
from engine.contract.config_io import from_plain
from engine.contract.errors import ConfigError
from engine.contract.events import COMPLETED, Event, JobFinished, JobProgressed, Warned
from engine.contract.searching import (
    CrossvalResult,
    EnsembleResult,
    FoldResult,
    LrRangeResult,
    SearchResult,
    TriedSettings,
)
from gui.messages import left_text
from gui.panels.panel import Panel
from gui.panels.scroll_body import scroll_body
from gui.panels.search_results import (
    CombinedView,
    FoldsView,
    RateView,
    ResultView,
    TrialsView,
)
from gui.panels.search_setup import Command, SearchSetup, Work
from gui.session import Session
from gui.stages import Stage
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.card import Card
from gui.widgets.choice_card import ChoiceCard
from gui.widgets.empty_state import EmptyState
from gui.widgets.message_bar import MessageKind
from gui.widgets.painting import set_role
from gui.widgets.progress_row import ProgressRow
from gui.worker.engine_thread import EngineThread

__all__ = ["SearchPanel"]

_KEEPS_ON_STOP: Final = (Work.SEARCH, Work.CROSSVAL)


class SearchPanel(Panel):
    """Chooses one of four kinds of work, starts it, and shows what it found."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent=parent)
        self.header.set_title(self.tr("Find better settings"))
        self._job: EngineThread | None = None
        self._working: Work | None = None
        self._pending = ""
        self._last_rate: LrRangeResult | None = None
        self._last_fold: CrossvalResult | None = None
        self._last_combined = ""
        self._has_read = False
        self._cards: dict[Work, ChoiceCard] = {}
        self.setup = SearchSetup(session)
        self._progress = ProgressRow()
        self._cost = QLabel()
        self._problem = QLabel()
        self._what = QLabel()
        self.trials, self.folds = TrialsView(), FoldsView()
        self.rate, self.combined = RateView(), CombinedView()
        self._empty = EmptyState(
            "split",
            self.tr("The images are not divided into training, validation and test yet."),
            self.tr("Go to the split"),
            is_primary=False,
        )
        self._build()
        self._connect()
        self._on_snapshot()

    def on_shown(self) -> None:
        """Show what was found in earlier sessions, too."""
        if not self.session.device and not self.session.jobs.is_busy_with("doctor"):
            self.session.find_device()
        if not self._has_read:
            self._read_kept()

    def choose(self, work: Work) -> None:
        """Show another kind of work; while one goes on, the choice stays."""
        if self._job is None:
            self._cards[work].setChecked(True)
            self.setup.set_work(work)
            self._refresh()

    def start(self) -> None:
        """Start what the form asks for."""
        if self._job is not None or self.session.folder is None or self.setup.problem():
            return
        self._begin(self.setup.work, self.setup.command())

    def _begin(self, work: Work, command: Command) -> None:
        self._view_of(work).clear()
        self._working, self._pending = work, ""
        self._progress.set_label(self.tr("Starting…"))
        self._progress.set_progress(None)
        finish = partial(self._on_finished, work)
        self._job = self.session.jobs.start(command, finish, self._on_event)
        self._refresh()

    def _build(self) -> None:
        add = self.header.add_button
        self._back = add(self.tr("Back to training"))
        self._cancel = add(self.tr("Cancel"))
        self._stop = add("")
        self._start = add(self.tr("Start"), icon="play", is_primary=True)
        row = AdaptiveRow()
        group = QButtonGroup(self)
        for work, (title, text, icon) in self._kinds().items():
            card = ChoiceCard(title, text, icon=icon)
            card.setMinimumWidth(220)
            card.clicked.connect(partial(self.choose, work))
            group.addButton(card)
            self._cards[work] = card
            row.add(card)
        self._row = row
        self._cards[Work.SEARCH].setChecked(True)
        self._form = Card(self.tr("What to do"))
        for label in (self._what, self._cost, self._problem):
            label.setWordWrap(True)
        set_role(self._cost, "secondary")
        for part in (self._what, self.setup, self._cost, self._problem, self._progress):
            self._form.body.addWidget(part)
        body = scroll_body(self)
        for widget in (self._empty, row, self._form, *self._views):
            body.column.addWidget(widget)
        body.column.setStretchFactor(self._empty, 1000)
        body.column.addStretch(1)
        self.setup.set_work(Work.SEARCH)

    def _kinds(self) -> dict[Work, tuple[str, str, str]]:
        return {
            Work.SEARCH: (
                self.tr("Search"),
                self.tr("Tries many settings in the time that you give it, and ranks them."),
                "search",
            ),
            Work.CROSSVAL: (
                self.tr("Cross-validate"),
                self.tr("Measures the chosen settings without touching the test images."),
                "split",
            ),
            Work.RATE: (
                self.tr("Find a learning rate"),
                self.tr("Raises the rate until training breaks, to see what suits."),
                "train",
            ),
            Work.COMBINE: (
                self.tr("Combine runs"),
                self.tr("Lets several networks answer together: often better than the best."),
                "model",
            ),
        }

    def _connect(self) -> None:
        session = self.session
        self._back.clicked.connect(lambda: self.go_to(Stage.TRAIN))
        self._start.clicked.connect(self.start)
        self._stop.clicked.connect(self._on_stop)
        self._cancel.clicked.connect(lambda: self._request("cancel"))
        self._empty.action_requested.connect(lambda: self.go_to(Stage.SPLIT))
        self.setup.changed.connect(self._refresh)
        session.choices_changed.connect(self._on_choices)
        session.snapshot_changed.connect(self._on_snapshot)
        session.project_changed.connect(self._on_project)
        session.device_changed.connect(self._refresh)
        session.runs.state_changed.connect(self._refresh)
        self.trials.use_requested.connect(self._use_settings)
        self.folds.use_requested.connect(self._combine_folds)
        self.rate.use_requested.connect(self._use_rate)
        self.combined.use_requested.connect(self._look)
        for view in self._views:
            view.figure_failed.connect(partial(self.show_message, MessageKind.ERROR))

    @property
    def _views(self) -> tuple[ResultView, ...]:
        """The results, in the order of the kinds of work."""
        return self.trials, self.folds, self.rate, self.combined

    def _view_of(self, work: Work) -> ResultView:
        return dict(zip(Work, self._views, strict=True))[work]

    def _refresh(self, _: object = None) -> None:
        snapshot, is_busy = self.session.snapshot, self._job is not None
        has_split = snapshot.split is not None and not snapshot.is_split_stale
        is_training = self.session.runs.state.is_busy
        work = self._working or self.setup.work
        problem = "" if is_busy else self.setup.problem()
        if not problem and is_training and not is_busy:
            problem = self.tr("A training is under way. Wait for it, or stop it first.")
        self._empty.setVisible(not has_split)
        for part in (self._row, self._form):
            part.setVisible(has_split)
        self._what.setText(self._explanation(work))
        self._cost.setText(self.setup.cost())
        self._cost.setVisible(not is_busy and not problem)
        self._problem.setText(problem)
        self._problem.setVisible(bool(problem))
        self._progress.setVisible(is_busy)
        self.setup.setEnabled(not is_busy)
        for card in self._cards.values():
            card.setEnabled(not is_busy)
        self._start.setVisible(not is_busy and has_split)
        self._start.setEnabled(not problem)
        self._cancel.setVisible(is_busy)
        self._stop.setVisible(is_busy and work in _KEEPS_ON_STOP)
        self._show_requests(work)
        for kind in Work:
            has_something = {
                Work.SEARCH: bool(self.trials.chosen()),
                Work.CROSSVAL: bool(self._last_fold or (is_busy and work is Work.CROSSVAL)),
                Work.RATE: self._last_rate is not None,
                Work.COMBINE: bool(self._last_combined),
            }[kind]
            self._view_of(kind).setVisible(has_split and kind is work and has_something)
        can_use = not is_busy and not is_training
        for view in self._views:
            view.use.setEnabled(can_use)

    def _show_requests(self, work: Work) -> None:
        stop = self.tr("Stop and show the best") if work is Work.SEARCH else self.tr("Stop")
        self._stop.setText(self.tr("Stopping…") if self._pending == "stop" else stop)
        self._stop.setToolTip(
            self.tr("Finished parts are kept; Start goes on with the rest.")
            if work is Work.CROSSVAL
            else self.tr("Ends now and ranks what was tried so far.")
        )
        canceling = self._pending == "cancel"
        self._cancel.setText(self.tr("Canceling…") if canceling else self.tr("Cancel"))
        self._cancel.setToolTip(self.tr("Ends now; nothing of it is kept."))
        for button in (self._stop, self._cancel):
            button.setEnabled(not self._pending)

    def _explanation(self, work: Work) -> str:
        return {
            Work.SEARCH: self.tr(
                "Settings are compared on the validation images alone. The first round trains many "
                "of them briefly, and each later round trains the best of those longer."
            ),
            Work.CROSSVAL: self.tr(
                "The training and validation images are divided into parts, patients kept whole. "
                "Each part is held out once and predicted by a network that learned from the "
                "others, so every image counts, and you see how much a result varies by chance."
            ),
            Work.RATE: self.tr(
                "The learning rate says how far the weights move at each step: too small and "
                "nothing is learned, too large and everything is forgotten."
            ),
            Work.COMBINE: self.tr(
                "The probabilities of several networks are averaged. They make different mistakes, "
                "so together they make fewer. Mark finished runs, or one cross-validation."
            ),
        }[work]

    def _on_stop(self) -> None:
        is_search = self._working is Work.SEARCH
        self._request("stop" if is_search else "interrupt")

    def _request(self, name: str) -> None:
        if self._job is not None:
            self._job.request(name)
            self._pending = "cancel" if name == "cancel" else "stop"
            self._refresh()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Warned):
            self.show_message(MessageKind.WARNING, event.message, event.remedy)
        if not isinstance(event, JobProgressed):
            return
        fraction = event.done / event.total if event.total else None
        self._progress.set_label(event.stage)
        self._progress.set_progress(fraction, left_text(event.seconds_left))
        if "row" in event.facts:
            self.trials.add(from_plain(TriedSettings, event.facts["row"]))
            self._refresh()
        if "fold" in event.facts:
            self.folds.add(from_plain(FoldResult, event.facts["fold"]))
            self._refresh()

    def _on_finished(self, work: Work, finished: JobFinished) -> None:
        self._job, self._working, self._pending = None, None, ""
        if finished.outcome == COMPLETED:
            self._take(work, finished)
        else:
            self.show_failure(finished)
            self._read_kept()  # what is kept of earlier ones
        self._refresh()

    def _take(self, work: Work, finished: JobFinished) -> None:
        plain = finished.result
        match work:
            case Work.SEARCH:
                self.trials.set_result(from_plain(SearchResult, plain))
            case Work.CROSSVAL:
                result: CrossvalResult = from_plain(CrossvalResult, plain)
                self._last_fold = result
                self.folds.set_result(result)
                self._offer_members()
            case Work.RATE:
                self._last_rate = from_plain(LrRangeResult, plain)
                assert self._last_rate is not None
                self.rate.set_result(self._last_rate)
            case Work.COMBINE:
                combined: EnsembleResult = from_plain(EnsembleResult, plain)
                self._last_combined = combined.run
                self.combined.set_result(combined)
                self.session.reload()  # there is a new run

    def _use_settings(self) -> None:
        row = self.trials.chosen()
        if row is None:
            return
        try:
            config: ExperimentConfig = from_plain(ExperimentConfig, row.config)
        except ConfigError as error:
            self.show_error(error)
            return
        self.session.choose(config)
        self._say_used(self.tr("The next training uses these settings."))

    def _use_rate(self) -> None:
        if self._last_rate is None:
            return
        config = self.session.config
        optimizer = replace(config.optimizer, learning_rate=self._last_rate.suggested)
        self.session.choose(replace(config, optimizer=optimizer))
        self._say_used(self.tr("The next training uses this learning rate."))

    def _say_used(self, text: str) -> None:
        self.show_message(MessageKind.SUCCESS, text)
        self.go_to(Stage.TRAIN)

    def _combine_folds(self) -> None:
        if self._last_fold is None or self._job is not None or self.session.folder is None:
            return
        self.choose(Work.COMBINE)
        command = Combine(project=str(self.session.folder), crossval=self._last_fold.id)
        self._begin(Work.COMBINE, command)

    def _look(self) -> None:
        self.session.shown_run = self._last_combined
        self.go_to(Stage.EVALUATE)

    def _on_choices(self) -> None:
        self.setup.refresh()
        self._refresh()

    def _on_snapshot(self) -> None:
        self.setup.refresh()
        self._offer_members()
        self._refresh()

    def _on_project(self) -> None:
        self._last_rate, self._last_fold, self._last_combined = None, None, ""
        self._has_read = False
        self.trials.clear()
        self._on_snapshot()

    def _offer_members(self) -> None:
        from engine.project.searching import read_crossvals

        folder = self.session.folder
        crossvals = read_crossvals(Path(folder)) if folder is not None else []
        self.setup.set_members(self.session.snapshot.finished_runs, crossvals)

    def _read_kept(self) -> None:
        """Show the newest results that the project keeps."""
        from engine.project.searching import read_crossvals, read_searches

        folder = self.session.folder
        self._has_read = folder is not None
        if folder is None:
            return
        note = self.tr("Kept from earlier; images or split may have changed since.")
        if searches := read_searches(Path(folder)):
            self.trials.clear()
            self.trials.set_result(searches[0], note=note)
        if crossvals := read_crossvals(Path(folder)):
            self._last_fold = crossvals[0]
            self.folds.set_result(crossvals[0], note=note)
        self._offer_members()
        self._refresh()
