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
from engine.contract.events import (
    COMPLETED,
    Event,
    JobFinished,
    JobProgressed,
    RunResumed,
    Warned,
)
from engine.contract.searching import (
    CrossvalResult,
    EnsembleResult,
    FoldResult,
    LrRangeResult,
    SearchResult,
    TriedSettings,
)
from engine.project.searching import KeptResults, read_kept
from gui.messages import left_text
from gui.panels.panel import Panel
from gui.panels.scroll_body import scroll_body
from gui.panels.search_kept import best_fitting, older_text
from gui.panels.search_results import (
    CombinedView,
    FoldsView,
    RateView,
    ResultView,
    TrialsView,
)
from gui.panels.search_setup import Command, SearchSetup, Work, networks_text
from gui.panels.search_words import explanation, kinds
from gui.panels.seen_note import SeenNote
from gui.seen_before import told_runs
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
        self._pending = self._waits_for = ""
        self._last_rate: LrRangeResult | None = None
        self._last_fold: CrossvalResult | None = None
        self._last_combined = ""
        self._n_begun = 0
        self._kept, self._shown_search = KeptResults(), ""
        self._cards: dict[Work, ChoiceCard] = {}
        self.setup = SearchSetup(session)
        self._progress = ProgressRow()
        self._cost = QLabel()
        self._problem, self._older = QLabel(), QLabel()
        self._what = QLabel()
        self._seen = SeenNote()
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
        texts = {
            Stage.MODEL: self.tr("Back to the model"),
            Stage.EVALUATE: self.tr("Back to the results"),
        }
        self._back.setText(texts.get(self._way_back, self.tr("Back to training")))
        self._read_kept()

    @property
    def _way_back(self) -> Stage:
        """The page that led here."""
        is_known = self.opened_from in (Stage.MODEL, Stage.EVALUATE)
        return self.opened_from if is_known and self.opened_from else Stage.TRAIN

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
        self._n_begun += 1
        self._working, self._pending = work, ""
        self._progress.set_label(self.tr("Starting…"))
        self._progress.set_progress(None)
        finish = partial(self._on_finished, work)
        self._job = self.session.jobs.start(command, finish, self._on_event)
        self._refresh()

    def _build(self) -> None:
        add = self.header.add_button
        self._back = add("")
        self._cancel = add(self.tr("Cancel"))
        self._stop = add("")
        self._start = add(self.tr("Start"), icon="play", is_primary=True)
        row = AdaptiveRow()
        group = QButtonGroup(self)
        for work, (title, text, icon) in kinds().items():
            card = ChoiceCard(title, text, icon=icon)
            card.setMinimumWidth(220)
            card.clicked.connect(partial(self.choose, work))
            group.addButton(card)
            self._cards[work] = card
            row.add(card)
        self._row = row
        self._cards[Work.SEARCH].setChecked(True)
        self._form = Card(self.tr("What to do"))
        for label in (self._what, self._cost, self._problem, self._older):
            label.setWordWrap(True)
        set_role(self._cost, "secondary")
        set_role(self._older, "secondary")
        for part in (
            *(self._what, self.setup, self._seen, self._cost),
            *(self._older, self._problem, self._progress),
        ):
            self._form.body.addWidget(part)
        body = scroll_body(self)
        for widget in (self._empty, row, self._form, *self._views):
            body.column.addWidget(widget)
        body.column.setStretchFactor(self._empty, 1000)
        body.column.addStretch(1)
        self.setup.set_work(Work.SEARCH)

    def _connect(self) -> None:
        session = self.session
        self._back.clicked.connect(lambda: self.go_to(self._way_back))
        self._start.clicked.connect(self.start)
        self._stop.clicked.connect(self._on_stop)
        self._cancel.clicked.connect(lambda: self._request("cancel"))
        self._empty.action_requested.connect(lambda: self.go_to(Stage.SPLIT))
        self.setup.changed.connect(self._refresh)
        session.choices_changed.connect(self._on_choices)
        session.snapshot_changed.connect(self._on_snapshot)
        session.project_changed.connect(self._on_project)
        session.advice.changed.connect(self._refresh)
        session.device_changed.connect(self._on_device)
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
        self._what.setText(explanation(work))
        self._seen.show_text("" if is_busy else self.setup.caution())
        self._cost.setText(self.setup.cost())
        self._cost.setVisible(not is_busy and not problem)
        older = "" if is_busy else self._older_text()
        self._older.setText(older)
        self._older.setVisible(bool(older))
        self._problem.setText(problem)
        self._problem.setVisible(bool(problem))
        self._progress.setVisible(is_busy)
        self.setup.setEnabled(not is_busy)
        for card in self._cards.values():
            card.setEnabled(not is_busy)
        self._start.setVisible(not is_busy and has_split)
        self._start.setEnabled(not problem)
        self._cancel.setVisible(is_busy)
        can_stop = is_busy and work in _KEEPS_ON_STOP
        self._stop.setVisible(can_stop)
        primary = self._stop if can_stop else self._start
        if self.header.primary is not primary:
            self.header.set_primary(primary)
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

    def _on_stop(self) -> None:
        is_search = self._working is Work.SEARCH
        self._request("stop" if is_search else "interrupt")

    def _request(self, name: str) -> None:
        if self._job is not None:
            self._job.request(name)
            self._pending = "cancel" if name == "cancel" else "stop"
            self._refresh()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Warned) and not event.cause:  # FallbackNotice tells the others
            self.show_message(MessageKind.WARNING, event.message, event.remedy)
            self._waits_for = event.message if event.is_waiting else self._waits_for
        if isinstance(event, RunResumed):
            self.message_withdrawn.emit(self._waits_for)
        if not isinstance(event, JobProgressed):
            return
        fraction = event.done / event.total if event.total else None
        self._progress.set_label(event.stage)
        self._progress.set_progress(fraction, left_text(event.seconds_left))
        if "row" in event.facts:
            self.trials.add(from_plain(TriedSettings, event.facts["row"]))
            self._refresh()
        if "carried" in event.facts:
            self.trials.carry(from_plain(TriedSettings, event.facts["carried"]))
        if "fold" in event.facts:
            self.folds.add(from_plain(FoldResult, event.facts["fold"]))
            self._refresh()

    def _on_finished(self, work: Work, finished: JobFinished) -> None:
        self._job, self._working, self._pending = None, None, ""
        self.message_withdrawn.emit(self._waits_for)
        if finished.outcome == COMPLETED:
            self._take(work, finished)
        else:
            self.show_failure(finished)
            self._read_kept()
        self._refresh()

    def _take(self, work: Work, finished: JobFinished) -> None:
        plain = finished.result
        match work:
            case Work.SEARCH:
                self._show_search(from_plain(SearchResult, plain))
            case Work.CROSSVAL:
                result: CrossvalResult = from_plain(CrossvalResult, plain)
                self._last_fold = result
                self._kept = replace(self._kept, crossvals=(result, *self._kept.crossvals))
                self._show_folds(result)
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

    def _show_search(self, result: SearchResult) -> None:
        self._shown_search = result.id
        self.trials.set_result(result)

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
        self._show_crossval()
        self._refresh()

    def _on_snapshot(self) -> None:
        self.setup.refresh()
        self._offer_members()
        self._refresh()
        if self.isVisible():
            self._read_kept()  # what was found may be of other images now

    def _on_project(self) -> None:
        self._last_rate, self._last_fold, self._last_combined = None, None, ""
        self._kept, self._shown_search = KeptResults(), ""
        self.trials.clear()
        self._on_snapshot()

    def _on_device(self) -> None:
        self.setup.refresh()
        self._offer_members()  # of which weights an earlier version made is known now
        self._show_crossval()  # what its weights are called, too
        self._refresh()

    def _offer_members(self) -> None:
        runs = told_runs(self.session, self.session.snapshot.finished_runs)
        self.setup.set_members(runs, self._kept.crossvals)

    def _read_kept(self) -> None:
        """Read what the project keeps of its present images, labels and split."""
        folder = self.session.folder
        if folder is not None:
            number = self._n_begun
            self.session.background.do(lambda: (folder, number, read_kept(folder)), self._take_kept)

    def _take_kept(self, read: tuple[Path, int, KeptResults]) -> None:
        folder, number, kept = read
        if folder != self.session.folder or number != self._n_begun or self._job is not None:
            return  # of another project, or from before the work that has ended meanwhile
        self._kept = kept
        newest = kept.searches[0] if kept.searches else None
        if newest is None or newest.id != self._shown_search:  # else its plot knows more
            self.trials.clear()
            self._shown_search = ""
            if newest is not None:
                self._show_search(newest)
        self._show_crossval()
        self._offer_members()
        self._refresh()

    def _show_crossval(self) -> None:
        """Show the newest cross-validation of the present settings, or else the newest of all."""
        kept = self._kept.crossvals
        if kept and self._job is None:
            self._last_fold = best_fitting(kept, self.session.config)
            self._show_folds(self._last_fold)
        elif self._job is None:
            self._last_fold = None

    def _show_folds(self, result: CrossvalResult) -> None:
        self.folds.set_result(result, networks_text(self.session.device, result))

    def _older_text(self) -> str:
        """Say what is kept and not shown."""
        work, shown = self.setup.work, self._last_fold
        is_shown = {Work.SEARCH: bool(self.trials.chosen()), Work.CROSSVAL: shown is not None}
        return older_text(
            work,
            self._kept,
            crossval=shown,
            config=self.session.config,
            is_shown=is_shown.get(work, True),
        )
