"""The page that finds better settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QLabel

from engine.contract.config import ImageContract, preset_config
from engine.contract.config_io import to_plain
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    JobFinished,
    JobProgressed,
    JobStarted,
    RunResumed,
    Warned,
)
from engine.contract.results import Estimate
from engine.contract.searching import (
    CrossvalResult,
    EnsembleMember,
    EnsembleResult,
    FoldResult,
    LrRangeResult,
    SearchResult,
    TriedSettings,
)
from engine.files import write_json
from engine.project.searching import read_kept, save_result, state_of
from engine.project.store import Project
from gui.main_window import MainWindow
from gui.panels.model import ModelPanel
from gui.panels.search import SearchPanel
from gui.panels.search_setup import Work
from gui.panels.train import TrainPanel
from gui.preferences import Preferences
from gui.session import Session
from gui.stages import Stage
from gui.widgets.message_bar import MessageKind
from tests.helpers.scripted_engine import ScriptedEngine

Opened = Callable[[Path], Session]


def tried(number: int, *, auroc: float, round_: int = 1, method: str = "full_finetune") -> Any:
    config = preset_config("standard", method=method)
    return TriedSettings(
        number=number,
        backbone="efficientnet_lite0",
        method=method,
        changes=("learning rate 0.0015",) if number else (),
        round=round_,
        n_rounds=3,
        epochs=3,
        n_train=100,
        auroc=auroc,
        loss=0.4,
        seconds=12.0,
        is_complete=True,
        config=to_plain(config),
        is_as_good=number < 2,
    )


def found_search() -> SearchResult:
    rows = (tried(1, auroc=0.95, round_=3), tried(0, auroc=0.94, round_=3), tried(2, auroc=0.9))
    return SearchResult(
        id="search-20260101-000000",
        minutes=30,
        seconds=1500,
        rows=rows,
        n_trials=6,
        best=preset_config("standard"),
        sentences=("Best of 3 settings.",),
    )


def fold(number: int) -> FoldResult:
    return FoldResult(
        fold=number, n_train=60, n_held_out=20, auroc=0.9 + number / 100, epochs=3, seconds=20
    )


def found_crossval() -> CrossvalResult:
    return CrossvalResult(
        id="crossval-20260101-000000",
        n_folds=3,
        auroc=Estimate(value=0.92, low=0.88, high=0.95),
        mean=0.92,
        sd=0.01,
        folds=tuple(fold(n) for n in (1, 2, 3)),
        n_images=60,
        n_patients=30,
        classes=("Normal", "Pneumonia"),
        positive="Pneumonia",
        backbone="efficientnet_lite0",
        method="linear_probe",
        seconds=60,
        config=to_plain(preset_config("quick")),
        sentence="On 30 patients the AUROC is 0.920.",
    )


def found_combination() -> EnsembleResult:
    return EnsembleResult(
        run="r9",
        members=tuple(
            EnsembleMember(
                name=f"crossval-20260101-000000/fold-{n}",
                backbone="efficientnet_lite0",
                method="linear_probe",
                val_auroc=0.9,
            )
            for n in (1, 2, 3)
        ),
        val_auroc=0.92,
        sentence="The 3 networks now answer together.",
    )


@pytest.fixture
def panel(qtbot, open_session: Opened, split_folder: Path) -> SearchPanel:
    page = SearchPanel(open_session(split_folder))
    qtbot.addWidget(page)
    page.resize(1100, 700)
    page.show()
    page.on_shown()
    return page


def progressed(kind: str, **facts: Any) -> JobProgressed:
    return JobProgressed(kind=kind, stage="Round 1", done=10, total=100, facts=facts)


def test_without_a_split_the_page_leads_there(
    qtbot, open_session: Opened, project_folder: Path
) -> None:
    page = SearchPanel(open_session(project_folder))
    qtbot.addWidget(page)
    page.show()
    assert page._empty.isVisible()
    assert not page._start.isVisible()
    with qtbot.waitSignal(page.stage_requested) as asked:
        page._empty.action_requested.emit()
    assert asked.args == [Stage.SPLIT]


def test_a_search_shows_each_trial_and_then_offers_the_best(
    qtbot, engine: ScriptedEngine, panel: SearchPanel
) -> None:
    rows = [tried(0, auroc=0.8), tried(1, auroc=0.9)]
    engine.plays(
        "search",
        JobStarted(kind="search"),
        *(progressed("search", row=to_plain(row)) for row in rows),
        JobFinished(kind="search", outcome=COMPLETED, result=to_plain(found_search())),
    )
    panel.setup.minutes.setValue(12)
    panel.start()
    qtbot.waitUntil(lambda: panel.trials.words.text() != "")
    assert engine.asked("search")[0].minutes == 12
    # A probe has nothing to vary, so the search begins at what trains.
    assert engine.asked("search")[0].config.method.key == "full_finetune"
    assert len(panel.trials._trials) == 2  # told one right after the other, and none was lost
    assert [row[0] for row in panel.trials.table.texts()] == ["0.950", "≈ 0.940", "0.900"]
    assert "Best of 3 settings." in panel.trials.words.text()
    with qtbot.waitSignal(panel.stage_requested) as asked:
        panel.trials.use.click()
    assert asked.args == [Stage.TRAIN]
    assert panel.session.config.method.key == "full_finetune"
    assert panel.session.is_model_chosen


def test_what_goes_along_into_a_later_round_is_ranked_there_and_is_no_further_training(
    qtbot, engine: ScriptedEngine, panel: SearchPanel
) -> None:
    probe = tried(0, auroc=0.9, method="linear_probe")

    def search(command: Any, control: Any) -> Any:
        yield progressed("search", row=to_plain(probe))
        yield progressed("search", row=to_plain(tried(1, auroc=0.8)))
        yield progressed("search", carried=to_plain(replace(probe, round=2)))
        yield progressed("search", row=to_plain(tried(1, auroc=0.85, round_=2)))
        yield from until_asked(command, control)

    engine.runs("search", search)
    panel.start()
    qtbot.waitUntil(lambda: len(panel.trials._trials) == 3)
    assert [(row[0], row[4]) for row in panel.trials.table.texts()] == [
        ("0.900", "2"),
        ("0.850", "2"),
    ]
    panel._cancel.click()
    qtbot.waitUntil(panel._start.isVisible)


def test_what_the_project_kept_before_a_search_does_not_replace_what_it_found(
    qtbot, engine: ScriptedEngine, panel: SearchPanel
) -> None:
    qtbot.waitUntil(lambda: not panel.session.background.is_busy)
    folder = panel.session.folder
    assert folder is not None
    before = (folder, panel._n_begun, read_kept(folder))
    engine.completes("search", **to_plain(found_search()))
    panel.start()
    qtbot.waitUntil(lambda: panel.trials.words.text() != "")
    panel._take_kept(before)
    assert [row[0] for row in panel.trials.table.texts()] == ["0.950", "≈ 0.940", "0.900"]
    assert panel.trials.isVisible()


def until_asked(command: Any, control: Any) -> Any:
    yield JobStarted(kind="search")
    while not (control.stop_requested or control.cancel_requested):
        control.wait_for_request(0.02)
    yield JobFinished(kind="search", outcome=CANCELED)


def test_the_primary_button_of_a_search_that_goes_on_ends_it(
    qtbot, engine: ScriptedEngine, panel: SearchPanel
) -> None:
    assert panel.header.primary is panel._start
    engine.runs("search", until_asked)
    panel.start()
    assert panel.header.primary is panel._stop
    assert panel._stop.isVisible()
    qtbot.waitUntil(lambda: bool(engine.asked("search")))
    panel._cancel.click()
    qtbot.waitUntil(panel._start.isVisible)
    assert panel.header.primary is panel._start


def test_the_marked_row_is_what_is_used(panel: SearchPanel) -> None:
    panel.trials.set_result(found_search())
    panel.trials.table.view.selectRow(2)
    chosen = panel.trials.chosen()
    assert chosen is not None
    assert chosen.number == 2


def test_a_cross_validation_shows_its_parts_and_combines_them(
    qtbot, engine: ScriptedEngine, panel: SearchPanel
) -> None:
    engine.plays(
        "crossval",
        JobStarted(kind="crossval"),
        *(progressed("crossval", fold=to_plain(fold(n))) for n in (1, 2, 3)),
        JobFinished(kind="crossval", outcome=COMPLETED, result=to_plain(found_crossval())),
    )
    engine.completes("ensemble", **to_plain(found_combination()))
    panel.choose(Work.CROSSVAL)
    panel.setup.folds.setValue(3)
    panel.start()
    qtbot.waitUntil(lambda: panel.folds.words.text() != "")
    assert engine.asked("crossval")[0].folds == 3
    assert [row[3] for row in panel.folds.table.texts()] == ["0.910", "0.920", "0.930"]
    assert "0.88" in panel.folds.words.text()
    panel.folds.use.click()
    qtbot.waitUntil(lambda: panel.combined.words.text() != "")
    assert engine.asked("ensemble")[0].crossval == "crossval-20260101-000000"
    with qtbot.waitSignal(panel.stage_requested) as asked:
        panel.combined.use.click()
    assert asked.args == [Stage.EVALUATE]
    assert panel.session.shown_run == "r9"


def test_a_found_rate_goes_into_the_next_run(
    qtbot, engine: ScriptedEngine, panel: SearchPanel
) -> None:
    result = LrRangeResult(
        rates=(1e-6, 1e-4, 1e-2, 1.0),
        losses=(0.7, 0.6, 0.4, 2.0),
        smoothed=(0.7, 0.6, 0.4, 1.5),
        suggested=0.001,
        steepest=0.002,
        lowest=0.01,
        current=0.0005,
        seconds=9,
        sentence="The network learns fastest at about 0.001.",
    )
    engine.completes("lr_range", **to_plain(result))
    panel.choose(Work.RATE)
    assert "Linear probe makes no passes" in panel._problem.text()
    assert not panel._start.isEnabled()
    panel.session.choose(preset_config("standard", method="direct_transfer"))
    assert "Direct transfer makes no passes" in panel._problem.text()
    assert not panel._start.isEnabled()
    panel.session.choose(preset_config("standard"))
    panel.start()
    qtbot.waitUntil(lambda: panel.rate.words.text() != "")
    assert panel.rate.use.text() == "Use 0.001"
    panel.rate.use.click()
    assert panel.session.config.optimizer.learning_rate == 0.001


def test_runs_are_combined_when_two_are_marked(
    qtbot, engine: ScriptedEngine, open_session: Opened, split_folder: Path
) -> None:
    with Project.open(split_folder) as project:
        for run in ("r1", "r2"):
            project.add_run(run, preset_config("standard"))
            project.update_run(run, outcome=COMPLETED, val_auroc=0.9)
    page = SearchPanel(open_session(split_folder))
    qtbot.addWidget(page)
    page.show()
    engine.completes("ensemble", **to_plain(found_combination()))
    page.choose(Work.COMBINE)
    assert "Mark at least two" in page._problem.text()
    marked = page.setup.members.item(0).checkState().Checked
    page.setup.members.item(0).setCheckState(marked)
    assert "Mark at least two" in page._problem.text()
    page.setup.views.setValue(4)
    assert not page._problem.isVisible()
    page.setup.members.item(1).setCheckState(marked)
    page.setup.views.setValue(1)
    assert not page._problem.isVisible()
    page.setup.views.setValue(4)
    page.start()
    qtbot.waitUntil(page.combined.isVisible)
    assert set(engine.asked("ensemble")[0].runs) == {"r1", "r2"}
    assert engine.asked("ensemble")[0].test_time_views == 4


@pytest.mark.parametrize(
    ("work", "button", "request_name"),
    [
        (Work.SEARCH, "_stop", "stop"),
        (Work.CROSSVAL, "_stop", "interrupt"),
        (Work.CROSSVAL, "_cancel", "cancel"),
    ],
)
def test_a_request_shows_as_pending_until_the_engine_has_ended(
    qtbot, engine: ScriptedEngine, panel: SearchPanel, work: Work, button: str, request_name: str
) -> None:
    def wait(command: Any, control: Any) -> Any:
        yield JobStarted(kind=work.value)
        while not (control.stop_requested or control.cancel_requested):
            control.wait_for_request(0.02)
        yield JobFinished(kind=work.value, outcome=CANCELED)

    engine.runs(work.value, wait)
    panel.choose(work)
    panel.start()
    qtbot.waitUntil(lambda: bool(engine.asked(work.value)))
    assert getattr(panel, button).isVisible()
    assert not panel._start.isVisible()
    getattr(panel, button).click()
    assert not getattr(panel, button).isEnabled()
    qtbot.waitUntil(panel._start.isVisible)
    assert engine.requests == [request_name]


@pytest.mark.parametrize("goes_on", [True, False])
def test_what_a_job_waits_for_is_withdrawn_when_it_goes_on_or_ends(
    qtbot, engine: ScriptedEngine, panel: SearchPanel, goes_on: bool
) -> None:
    ended = JobFinished(kind="search", outcome=CANCELED)
    waiting = Warned(message="The disk is full.", is_waiting=True)
    engine.plays("search", waiting, *([RunResumed(run="")] if goes_on else []), ended)
    told: list[str] = []
    panel.message_requested.connect(lambda *parts: told.append(parts[1]))
    with qtbot.waitSignal(panel.message_withdrawn, check_params_cb=lambda t: t == waiting.message):
        panel.start()
    assert told[0] == "The disk is full."


def test_a_failure_is_told_with_what_to_do(
    qtbot, engine: ScriptedEngine, panel: SearchPanel
) -> None:
    failed = JobFinished(kind="search", outcome="failed", error="It broke.", remedy="Mend it.")
    engine.plays("search", JobStarted(kind="search"), failed)
    with qtbot.waitSignal(panel.message_requested) as told:
        panel.start()
    assert told.args[:3] == [MessageKind.ERROR, "It broke.", "Mend it."]


def test_the_training_page_leads_to_it(qtbot, open_session: Opened, split_folder: Path) -> None:
    page = TrainPanel(open_session(split_folder))
    qtbot.addWidget(page)
    page.show()
    with qtbot.waitSignal(page.stage_requested) as asked:
        page._search.click()
    assert asked.args == [Stage.SEARCH]


def keep(folder: Path, result: Any, *, is_finished: bool = True) -> None:
    """Leave a search or cross-validation of the present images in a project."""
    kind = result.id.partition("-")[0]
    with Project.open(folder) as project:
        (folder / "runs" / result.id).mkdir(parents=True)
        facts = state_of(project, {"minutes": 30.0})
        write_json(folder / "runs" / result.id / f"{kind}.json", facts)
        if is_finished:
            save_result(project, {"minutes": 30.0}, result)


def test_results_of_earlier_sessions_show_while_the_data_are_the_same(
    qtbot, open_session: Opened, split_folder: Path
) -> None:
    keep(split_folder, found_search())
    keep(split_folder, found_crossval())
    session = open_session(split_folder)
    page = SearchPanel(session)
    qtbot.addWidget(page)
    page.show()
    page.on_shown()
    qtbot.waitUntil(page.trials.isVisible)
    assert "Best of 3 settings." in page.trials.words.text()
    page.choose(Work.CROSSVAL)
    assert page.folds.isVisible()
    page.choose(Work.SEARCH)
    with Project.open(split_folder) as project:
        project.image_contract = ImageContract(size_px=112)  # the split stays as it is
    session.reload()
    qtbot.waitUntil(lambda: not page.trials.isVisible())
    assert "changed since" in page._older.text()
    page.choose(Work.CROSSVAL)
    assert not page.folds.isVisible()
    assert page.setup.members.count() == 0  # nor are its networks offered


def test_the_cross_validation_of_the_present_settings_shows(
    qtbot, open_session: Opened, split_folder: Path
) -> None:
    keep(split_folder, found_crossval())
    other = preset_config("standard")
    newer = replace(
        found_crossval(), id="crossval-20260102-000000", mean=0.81, config=to_plain(other)
    )
    keep(split_folder, newer)
    session = open_session(split_folder)
    image = session.config.image
    session.choose(preset_config("quick", image=image))
    page = SearchPanel(session)
    qtbot.addWidget(page)
    page.show()
    page.on_shown()
    page.choose(Work.CROSSVAL)
    qtbot.waitUntil(lambda: "parts 0.920" in page.folds.words.text())
    assert not page._older.isVisible()
    session.choose(preset_config("standard", image=image))
    assert "parts 0.810" in page.folds.words.text()
    assert not page._older.isVisible()
    session.choose(preset_config("thorough", image=image))  # nothing of these: the newest
    assert "parts 0.810" in page.folds.words.text()
    assert "other settings" in page._older.text()


def test_the_legend_names_the_rounds_that_there_are(panel: SearchPanel) -> None:
    card = panel.trials._plot_card
    panel.trials.add(tried(0, auroc=0.9, round_=2))
    panel.trials.add(tried(1, auroc=0.9, round_=3))
    labels = [label.text() for label in card.findChildren(QLabel) if "round" in label.text()]
    assert labels == ["round 2", "round 3"]


def test_an_interrupted_search_says_how_it_goes_on(
    qtbot, open_session: Opened, split_folder: Path
) -> None:
    keep(split_folder, found_search(), is_finished=False)
    page = SearchPanel(open_session(split_folder))
    qtbot.addWidget(page)
    page.show()
    page.on_shown()
    qtbot.waitUntil(page._older.isVisible)
    assert "30 min was interrupted" in page._older.text()


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        (Stage.MODEL, "Back to the model"),
        (Stage.EVALUATE, "Back to the results"),
        (Stage.TRAIN, "Back to training"),
        (None, "Back to training"),
    ],
)
def test_the_way_back_leads_where_one_came_from(
    qtbot, panel: SearchPanel, stage: Stage | None, text: str
) -> None:
    panel.opened_from = stage
    panel.on_shown()
    assert panel._back.text() == text
    with qtbot.waitSignal(panel.stage_requested) as asked:
        panel._back.click()
    assert asked.args == [stage or Stage.TRAIN]


def test_the_model_page_and_the_menu_lead_to_it(
    qtbot, engine: ScriptedEngine, split_folder: Path, tmp_path: Path
) -> None:
    settings = QSettings(str(tmp_path / "preferences.ini"), QSettings.Format.IniFormat)
    window = MainWindow(engine.client(), Preferences(settings))
    qtbot.addWidget(window)
    window.show()
    assert not window.actions_.search.isEnabled()
    window.open_project(split_folder)
    qtbot.waitUntil(lambda: window.session.snapshot.folder == split_folder)
    window.show_stage(Stage.MODEL)
    model, page = window.page(Stage.MODEL), window.page(Stage.SEARCH)
    assert isinstance(model, ModelPanel)
    assert isinstance(page, SearchPanel)
    model._search.click()
    assert window.current_page is page
    page._back.click()
    assert window.current_page is window.page(Stage.MODEL)
    window.show_stage(Stage.EVALUATE)
    window.actions_.search.trigger()
    assert window.current_page is page
    assert page._back.text() == "Back to the results"
    window.actions_.search.trigger()  # once more from there: the way back stays
    assert page._back.text() == "Back to the results"
    window.close()
