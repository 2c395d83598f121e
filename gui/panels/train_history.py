"""The run history with what can be done about each run."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, Signal
from PySide6.QtWidgets import QLabel, QTableView, QWidget

from engine.contract.events import COMPLETED, STOPPED
from engine.contract.records import RunSummary
from engine.contract.run_states import RUNNING
from engine.contract.searching import ENSEMBLE
from gui.itemmodels.run_table import RunTableModel
from gui.itemmodels.seen_words import run_text
from gui.messages import goes_on_text
from gui.panels.low_table import LowTable
from gui.panels.seen_note import SeenNote
from gui.widgets.buttons import make_button
from gui.widgets.card import Card
from gui.widgets.painting import set_role

__all__ = ["TrainHistory"]


class TrainHistory(Card):
    """Runs, newest first; the buttons at the top act on the chosen one.

    Signals:
        chosen_changed: Another run may be chosen, or the chosen one may have ended.
        resume_requested: The id of an interrupted run.
        evaluate_requested: The id of a finished run.
        repeat_requested: The id of a run to train once more.
    """

    chosen_changed = Signal()
    resume_requested = Signal(str)
    evaluate_requested = Signal(str)
    repeat_requested = Signal(str)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.set_title(self.tr("Runs"))
        self._can_start = True
        self._runs = RunTableModel(self)
        self._table = LowTable()
        self._table.setModel(self._runs)
        self._table.setAccessibleName(self.tr("Runs"))
        self._table.selectionModel().currentRowChanged.connect(self._update_buttons)
        self._table.activated.connect(self._open)
        self._empty = QLabel(self.tr("No run yet. Press Start to train one."))
        set_role(self._empty, "secondary")
        self._empty.setWordWrap(True)
        self._resume = make_button(self.tr("Continue"), icon="play")
        self._resume.clicked.connect(self._ask_resume)
        self._evaluate = make_button(self.tr("Evaluate"), icon="evaluate")
        self._evaluate.setToolTip(self.tr("Open the results of the chosen run"))
        self._evaluate.clicked.connect(self._ask_evaluate)
        self._repeat = make_button(self.tr("Repeat"), icon="refresh")
        self._repeat.setToolTip(
            self.tr(
                "Train once more with the settings, seed and precision of the chosen run. On the "
                "same data and computer the result is the same."
            )
        )
        self._repeat.clicked.connect(self._ask_repeat)
        self.add_action(self._resume)
        self.add_action(self._repeat)
        self.add_action(self._evaluate)
        self.body.addWidget(self._empty)
        self.body.addWidget(self._table)
        self._seen = SeenNote()
        self.body.addWidget(self._seen)
        self.set_runs(())

    @property
    def table(self) -> QTableView:
        """The table itself."""
        return self._table

    def set_runs(self, runs: tuple[RunSummary, ...], *, has_findings: bool = False) -> None:
        """Show the history; the newest run is chosen if none was.

        Args:
            runs: Newest first.
            has_findings: Whether images have several findings, of which runs learn one or all.
        """
        chosen = self.chosen()
        self._runs.set_runs(runs, has_findings=has_findings)
        self._empty.setVisible(not runs)
        self._table.setVisible(bool(runs))
        ids = [run.id for run in runs]
        place = ids.index(chosen.id) if chosen is not None and chosen.id in ids else 0
        if runs and self._table.currentIndex().row() != place:
            self._table.selectRow(place)
        self._table.fit_height()
        self._update_buttons()

    @property
    def seen_text(self) -> str:
        """What is said of patients that the networks of the chosen run knew before."""
        return self._seen.text

    def set_can_start(self, can_start: bool) -> None:
        """Say whether a run may be continued now; only one runs at a time."""
        self._can_start = can_start
        self._update_buttons()

    def chosen(self) -> RunSummary | None:
        """Return the chosen run."""
        return self._runs.run_at(self._table.currentIndex().row())

    def choose(self, run: str) -> None:
        """Choose a run by its id."""
        for row in range(self._runs.rowCount()):
            found = self._runs.run_at(row)
            if found is not None and found.id == run:
                self._table.selectRow(row)

    def _update_buttons(self) -> None:
        run = self.chosen()
        is_finished = run is not None and run.state in (COMPLETED, STOPPED)
        can_go_on = run is not None and run.is_resumable
        self._resume.setEnabled(can_go_on and self._can_start)
        self._resume.setToolTip(goes_on_text(run) if run is not None and can_go_on else "")
        self._evaluate.setEnabled(is_finished)
        can_repeat = run is not None and run.state != RUNNING and run.method != ENSEMBLE
        self._repeat.setEnabled(can_repeat and self._can_start)
        self._seen.show_text(run_text(run) if run is not None else "")
        self.chosen_changed.emit()
        for button in (self._resume, self._repeat, self._evaluate):
            button.setVisible(self._runs.rowCount() > 0)

    def _open(self, index: QModelIndex) -> None:
        del index
        if self._evaluate.isEnabled():
            self._ask_evaluate()
        elif self._resume.isEnabled():
            self._ask_resume()

    def _ask_resume(self) -> None:
        if (run := self.chosen()) is not None:
            self.resume_requested.emit(run.id)

    def _ask_repeat(self) -> None:
        if (run := self.chosen()) is not None:
            self.repeat_requested.emit(run.id)

    def _ask_evaluate(self) -> None:
        if (run := self.chosen()) is not None:
            self.evaluate_requested.emit(run.id)
