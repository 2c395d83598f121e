"""The training page: choose how long, start, watch, stop, go on."""

from __future__ import annotations

from functools import partial

from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QLabel, QPushButton, QWidget

from engine.contract.commands import Resume, Train
from engine.contract.events import COMPLETED, FAILED, STOPPED, EpochFinished, Event, RunFinished
from engine.contract.recipe import RECIPE_NAME
from engine.contract.run_states import RESUMABLE, UNDER_WAY
from engine.project.folder import RUNS_FOLDER
from engine.project.store import Project
from gui.icons import bind_icon
from gui.itemmodels.run_words import findings_text, method_name, preset_name, with_weights
from gui.itemmodels.seen_words import choice_text
from gui.messages import cut_off_text
from gui.next_run import chosen_name, with_preset
from gui.panels.device_note import DeviceNote
from gui.panels.learn_choice import LearnChoice
from gui.panels.method_facts import RunFactsCard
from gui.panels.panel import Panel
from gui.panels.preset_cards import PresetCards
from gui.panels.scroll_body import scroll_body
from gui.panels.seen_note import SeenNote
from gui.panels.shortage_note import ShortageNote
from gui.panels.train_history import TrainHistory
from gui.panels.train_live import TrainLive
from gui.panels.train_missing import Missing, missing_for_training
from gui.run_state import RunState
from gui.seen_before import seen_by_choice, told_runs
from gui.session import Session
from gui.stages import Stage
from gui.widgets.empty_state import EmptyState
from gui.widgets.message_bar import MessageAction, MessageKind
from gui.widgets.painting import set_role

__all__ = ["TrainPanel"]


class TrainPanel(Panel):
    """Start, watch and stop a run; each request shows as pending until the engine confirms it."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent=parent)
        self.header.set_title(self.tr("Train"))
        self._last: RunFinished | None = None
        self._failed: RunFinished | None = None
        self._has_epoch = False
        self._said: list[str] = []
        self._begun_with = session.config
        self._begun_findings: tuple[str, ...] = ()
        self._live = TrainLive(session)
        self._learn = LearnChoice(is_wide=True)
        self._device_note = DeviceNote(session)
        self._seen = SeenNote(has_button=True)
        self._seen.pressed.connect(partial(self.go_to, Stage.MODEL))
        self._shortage = ShortageNote(session, has_button=True)
        self._shortage.pressed.connect(partial(self.go_to, Stage.MODEL))
        self._presets = PresetCards(session)
        self._history = TrainHistory()
        self._kept_facts = RunFactsCard(session)
        self._advice = QLabel()
        self._empty = EmptyState("train", "", is_primary=False)
        self._missing: Missing | None = None
        self._add_buttons()
        self._build()
        self._connect()
        if session.runs.state.is_busy:  # the page was opened while a run goes on
            self._live.prepare()
        self._on_snapshot()

    def _add_buttons(self) -> None:
        add = self.header.add_button
        self._search = add(self.tr("Find better settings"), icon="search")
        self._search.clicked.connect(lambda: self.go_to(Stage.SEARCH))
        self._again = add(self.tr("Train again"), icon="refresh")
        self._pause = add(self.tr("Pause"), icon="pause")
        self._cancel = add(self.tr("Cancel"))
        self._start = add(self.tr("Start"), icon="play", is_primary=True)
        self._stop = add(self.tr("Stop and keep best"))
        self._look = add(self.tr("Look at the results"))
        self._again.clicked.connect(self._forget_last)
        self._pause.clicked.connect(self._on_pause)
        self._cancel.clicked.connect(self._on_cancel)
        self._start.clicked.connect(self.start)
        self._stop.clicked.connect(self.session.runs.stop)
        self._look.clicked.connect(self._on_look)

    def _build(self) -> None:
        body = scroll_body(self)
        set_role(self._advice, "secondary")
        self._advice.setWordWrap(True)
        column = body.column
        notes = (self._device_note, self._seen, self._shortage)
        choices = (*notes, self._learn, self._advice, self._presets)
        parts = (self._empty, *choices, self._live, self._history, self._kept_facts)
        for part in parts:
            column.addWidget(part)
        column.setStretchFactor(self._empty, 1000)
        column.addStretch(1)

    def _connect(self) -> None:
        session = self.session
        session.runs.state_changed.connect(self._on_state)
        session.runs.event_received.connect(self._on_event)
        session.runs.finished.connect(self._on_finished)
        session.snapshot_changed.connect(self._on_snapshot)
        session.project_changed.connect(self._on_project)
        session.choices_changed.connect(self._on_choices)
        session.failed.connect(self._tell_failure)  # then no history will come to wait for
        session.device_changed.connect(self._on_device)
        session.advice.changed.connect(self._refresh)
        session.jobs.started.connect(self._on_job)
        session.jobs.ended.connect(self._on_job)
        self._learn.chosen.connect(self._on_learn)
        self._presets.preset_chosen.connect(self._on_preset)
        self._history.chosen_changed.connect(self._show_kept_facts)
        self._history.resume_requested.connect(self.resume)
        self._history.evaluate_requested.connect(self._evaluate)
        self._history.repeat_requested.connect(self.repeat)
        self._empty.action_requested.connect(self._on_empty_action)
        self._live.figure_failed.connect(partial(self.show_message, MessageKind.ERROR))

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what happened while another page was shown."""
        super().showEvent(event)
        self._refresh()

    def start(self) -> None:
        """Start a run with the present choices."""
        if self.session.folder is None or self.session.runs.state.is_busy:
            return
        self.session.choose(self.session.config)
        self._begin(self.session.next_run())

    def resume(self, run: str) -> None:
        """Go on with an interrupted run; ask first if something has changed since."""
        if self.session.folder is None or self.session.runs.state.is_busy:
            return
        found = (each for each in self.session.snapshot.runs if each.id == run)
        if changes := next((each.changes for each in found), ()):
            self._ask_to_go_on(run, changes)
        else:
            self._begin(Resume(project=str(self.session.folder), run=run))

    def _ask_to_go_on(self, run: str, changes: tuple[str, ...]) -> None:
        self._withdraw()
        for state in RESUMABLE:  # the question takes the offer's place
            self.message_withdrawn.emit(cut_off_text(state))
        question = self.tr("Continue this run, although something has changed since?")
        self._said.append(question)
        go_on = MessageAction(self.tr("Continue anyway"), partial(self._resume_anyway, run))
        self.show_message(MessageKind.WARNING, question, " ".join(changes), (go_on,))

    def _resume_anyway(self, run: str) -> None:
        if self.session.folder is not None and not self.session.runs.state.is_busy:
            self._begin(Resume(project=str(self.session.folder), run=run, anyway=True))

    def repeat(self, run: str) -> None:
        """Train once more with everything as it was in a run."""
        folder = self.session.folder
        if folder is None or self.session.runs.state.is_busy:
            return
        recipe = folder / RUNS_FOLDER / run / RECIPE_NAME
        self._begin(Train(project=str(folder), recipe=str(recipe)))

    def _begin(self, command: Train | Resume) -> None:
        self._withdraw()
        self._begun_with = self.session.config
        self._begun_findings = self._findings_of(command.run if isinstance(command, Resume) else "")
        self._last = self._failed = None
        self._has_epoch = False
        self._live.prepare()
        self.session.runs.start(command)
        self._refresh()

    def _on_choices(self) -> None:
        """Make room for the next run as soon as something else is chosen for it."""
        if self.session.config != self._begun_with and not self.session.runs.state.is_busy:
            self._last = None
        self._refresh()

    def _on_preset(self, preset: str) -> None:
        self.session.choose(with_preset(self.session.config, preset))

    def _on_learn(self, finding: int) -> None:
        self.session.change(Project.choose_finding, finding or None)

    def _on_pause(self) -> None:
        if self.session.runs.state is RunState.PAUSED:
            self.session.runs.proceed()
        else:
            self.session.runs.pause()

    def _on_cancel(self) -> None:
        if not self._has_epoch:
            self.session.runs.cancel()  # nothing is lost yet
            return
        question = self.tr("Cancel this run? Nothing of it will be kept.")
        self._said.append(question)
        self.show_message(
            MessageKind.WARNING,
            question,
            self.tr("'Stop and keep best' ends it as well and keeps the best epoch."),
            (MessageAction(self.tr("Cancel the run"), self.session.runs.cancel),),
        )

    def _findings_of(self, run: str) -> tuple[str, ...]:
        """Return which of several findings a run learned, or the next one will without an id."""
        snapshot = self.session.snapshot
        if run:
            return next((each.findings for each in snapshot.runs if each.id == run), ())
        if not snapshot.is_multi:
            return ()
        learned = snapshot.learned
        return snapshot.trained_names if learned is None else (learned.name,)

    def _weights_of(self, run: str) -> str:
        runs = self.session.snapshot.runs
        return next((each.weights_name for each in runs if each.id == run), "")

    def _withdraw(self) -> None:
        """Take back what was said of a run that has ended or goes on now."""
        while self._said:
            self.message_withdrawn.emit(self._said.pop())

    def _on_look(self) -> None:
        if self._last is not None:
            self._evaluate(self._last.run)

    def _evaluate(self, run: str) -> None:
        self.session.shown_run = run
        self.go_to(Stage.EVALUATE)

    def _forget_last(self) -> None:
        self._last = None
        self._refresh()

    def _on_event(self, event: Event) -> None:
        self._has_epoch = self._has_epoch or isinstance(event, EpochFinished)
        if isinstance(event, RunFinished):
            self._last = event  # before the state changes, or the choices would flash by
        self._live.take(event)

    def _on_state(self, state: RunState) -> None:
        del state
        self._live.refresh()
        self._refresh()

    def _on_finished(self, finished: RunFinished) -> None:
        self._withdraw()
        self._last = finished
        if finished.outcome == FAILED:
            self._failed = finished  # told when the history says whether it can be continued
            if self.session.folder is None:
                self._tell_failure()
        self._refresh()

    def _on_snapshot(self) -> None:
        snapshot = self.session.snapshot
        self._show_runs()
        self._learn.set_snapshot(snapshot)
        if self._failed is not None and not self._is_marked_running(self._failed.run):
            self._tell_failure()
        self._refresh()

    def _on_device(self) -> None:
        self._show_runs()  # of which weights an earlier version made is known now
        self._refresh()

    def _show_runs(self) -> None:
        snapshot = self.session.snapshot
        runs = told_runs(self.session, snapshot.runs)
        self._history.set_runs(runs, has_findings=snapshot.is_multi)

    def _is_marked_running(self, run: str) -> bool:
        """Return whether the history was read before the run had ended."""
        return any(r.id == run and r.state in UNDER_WAY for r in self.session.snapshot.runs)

    def _tell_failure(self) -> None:
        failed, self._failed = self._failed, None
        if failed is None:
            return
        runs = self.session.snapshot.runs
        can_go_on = any(run.id == failed.run and run.is_resumable for run in runs)
        go_on = MessageAction(self.tr("Continue"), partial(self.resume, failed.run))
        what = failed.error or self.tr("The run failed.")
        self._said.append(what)
        self.show_message(
            MessageKind.ERROR,
            what,
            failed.remedy or "",
            (go_on,) if can_go_on else (),
        )
        if can_go_on:
            self._history.choose(failed.run)

    def _on_project(self) -> None:
        self._last = self._failed = None
        self._refresh()

    def _on_job(self, _: object) -> None:
        if self.isVisible():
            self._refresh()

    def _on_empty_action(self) -> None:
        if self._missing is not None:
            self.go_to(self._missing.stage)

    def _refresh(self) -> None:
        state = self.session.runs.state
        is_busy = state.is_busy
        has_end = self._last is not None and not is_busy
        can_train = self._say_what_is_missing() or is_busy
        is_kept = has_end and self._last is not None and self._last.outcome in (COMPLETED, STOPPED)
        self._live.setVisible(is_busy or has_end)
        is_choosing = can_train and not is_busy and not is_kept
        self._learn.setVisible(is_choosing and self.session.snapshot.is_multi)
        self._presets.setVisible(is_choosing and self._presets.has_choice)
        self._device_note.refresh(is_wanted=is_choosing)
        self._seen.show_text(choice_text(seen_by_choice(self.session)) if is_choosing else "")
        self._advice.setVisible(is_choosing)
        if is_choosing and self.isVisible():
            self._presets.refresh()
        self._shortage.refresh(is_wanted=is_choosing)
        self._history.setVisible(can_train or bool(self.session.snapshot.runs))
        is_preparing = self.session.jobs.is_busy_with("prepare_images")
        self._history.set_can_start(not is_busy and not is_preparing)
        self._show_kept_facts()
        self._again.setVisible(is_kept)
        self._search.setVisible(is_choosing)
        self._set_primary(self._stop if is_busy else self._look if is_kept else self._start)
        self._start.setEnabled(can_train and not is_preparing)
        wait = self.tr("The images are being prepared; wait for them, or cancel it.")
        self._start.setToolTip(wait if is_preparing else "")
        self._show_requests(state)
        self._describe()
        self._advice.setText(wait if is_preparing else self._presets.advice_text())

    def _show_kept_facts(self) -> None:
        """Show what the method of the chosen run says, unless that stands above already."""
        run = self._history.chosen()
        is_above = run is not None and self._last is not None and run.id == self._last.run
        is_quiet = not self.session.runs.state.is_busy and not is_above
        self._kept_facts.show_run(run if is_quiet else None)

    def _set_primary(self, button: QPushButton) -> None:
        if self.header.primary is not button:
            self.header.set_primary(button)
        for each in (self._start, self._stop, self._look):
            each.setVisible(each is button)

    def _show_requests(self, state: RunState) -> None:
        """Say what was asked for and isn't confirmed yet."""
        is_paused = state in (RunState.PAUSED, RunState.PROCEEDING)
        pause = self.tr("Continue") if is_paused else self.tr("Pause")
        if state is RunState.PAUSING:
            pause = self.tr("Pausing…")
        elif state is RunState.PROCEEDING:
            pause = self.tr("Going on…")
        self._pause.setText(pause)
        bind_icon(self._pause, "play" if is_paused else "pause", size_px=16, gap_px=4)
        self._pause.setVisible(state.is_busy)
        self._pause.setEnabled(state in (RunState.RUNNING, RunState.PAUSED))
        is_canceling = state is RunState.CANCELING
        self._cancel.setText(self.tr("Canceling…") if is_canceling else self.tr("Cancel"))
        self._cancel.setVisible(state.is_busy)
        self._cancel.setEnabled(state.is_busy and not is_canceling)
        is_stopping = state is RunState.STOPPING
        stop = self.tr("Stopping…") if is_stopping else self.tr("Stop and keep best")
        self._stop.setText(stop)
        can_stop = (RunState.RUNNING, RunState.PAUSING, RunState.PAUSED, RunState.PROCEEDING)
        self._stop.setEnabled(state in can_stop)

    def _say_what_is_missing(self) -> bool:
        """Return whether a run could start; say what to do if it couldn't."""
        self._missing = missing_for_training(self.session)
        if self._missing is None:
            self._empty.hide()
            return True
        missing = self._missing
        self._empty.set_content("train", missing.what, missing.action, missing.remedy)
        self._empty.setVisible(not self.session.runs.state.is_busy)
        return False

    def _describe(self) -> None:
        config, run = self.session.config, self._live.started
        names, findings = (self.session.next_backbone, config.method.key, config.preset), ""
        device, backbone = self.session.device, config.backbone
        weights = "" if self.session.answering else chosen_name(device, backbone)
        if run is not None and (self.session.runs.state.is_busy or self._last is not None):
            names = (run.backbone, run.method, run.preset)  # a continued run has its own
            weights = self._weights_of(run.run)
            findings = findings_text(self._begun_findings)
        elif self.session.snapshot.is_multi:
            findings = findings_text(self._findings_of(""))
        parts = (with_weights(names[0], weights), method_name(names[1]), preset_name(names[2]))
        self.header.set_subtitle(" · ".join(filter(None, (*parts, findings))))
