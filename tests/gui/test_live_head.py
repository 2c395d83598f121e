"""The line on the Data page that says how good the labels are now."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.contract.commands import RefitHead
from engine.contract.config import preset_config
from engine.contract.control import Control
from engine.contract.events import (
    COMPLETED,
    FAILED,
    Event,
    JobFinished,
    JobProgressed,
    JobStarted,
)
from engine.project import labels
from engine.project.store import Project
from gui.panels import live_head
from gui.panels.data import DataPanel
from gui.run_state import RunState
from gui.session import Session
from tests.helpers.made_project import make_project
from tests.helpers.scripted_engine import ScriptedEngine, endless_run

WEIGHTS = "file:0123456789abcdef"  # some that the user added
Opened = Callable[[Path], Session]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_head, "_SETTLED_MS", 20)
    monkeypatch.setattr(live_head, "_BUSY_MS", 20)


def add_run(folder: Path) -> None:
    """Leave a finished run, so that the images have been described."""
    with Project.open(folder) as project:
        config = preset_config("quick")
        config = replace(config, backbone=replace(config.backbone, weights=WEIGHTS))
        project.add_run("r1", config)
        project.update_run("r1", outcome=COMPLETED, val_auroc=0.9)


@pytest.fixture
def page(qtbot, open_session: Opened, split_folder: Path) -> DataPanel:
    add_run(split_folder)
    return shown(qtbot, open_session(split_folder))


def shown(qtbot, session: Session) -> DataPanel:
    page = DataPanel(session)
    qtbot.addWidget(page)
    page.resize(1182, 656)
    page.show()
    return page


def relabel(session: Session, place: int = 0) -> None:
    record = session.snapshot.records[place]
    other = next(c.id for c in session.snapshot.classes if c.id != record.class_id)
    session.change(labels.set_labels, [record.id], other)


def refit(auroc: float, doubted: tuple[int, ...] = ()) -> dict[str, Any]:
    return {"val_auroc": auroc, "n_train": 16, "n_val": 4, "seconds": 0.5, "doubted": doubted}


def test_relabelling_updates_the_decision_layer_and_offers_what_it_doubts(
    qtbot, engine: ScriptedEngine, page: DataPanel
) -> None:
    session = page.session
    ids = [record.id for record in session.snapshot.records[3:5]]
    engine.completes("refit_head", **refit(0.9, tuple(ids)))
    assert not page.live_head.isVisible()
    relabel(session)
    qtbot.waitUntil(page.live_head.isVisible)
    assert engine.asked("refit_head") == [
        RefitHead(
            project=str(session.folder),
            backbone="efficientnet_lite0",
            weights=WEIGHTS,
            described_only=True,
        )
    ]
    assert page.live_head.text == "Decision layer updated: validation AUROC 0.900."
    assert page.live_head.link == "Look again at 2 labels"
    page.live_head._show.click()
    assert page.grid.images.rowCount() == 2
    assert all(page.grid.images.index_of(record).isValid() for record in ids)

    engine.completes("refit_head", **refit(0.95))
    session.change(labels.undo)
    qtbot.waitUntil(lambda: "before" in page.live_head.text)
    assert "0.950" in page.live_head.text
    assert "0.900 before" in page.live_head.text
    assert page.live_head.link == ""


def test_how_good_the_labels_are_is_said_before_those_in_doubt_are_known(
    qtbot, engine: ScriptedEngine, page: DataPanel
) -> None:
    session = page.session
    goes_on = threading.Event()
    doubted = session.snapshot.records[3].id

    def fit(command: Any, control: Control) -> Iterator[Event]:
        del command, control
        yield JobStarted(kind="refit_head")
        facts = {"val_auroc": 0.9}
        yield JobProgressed(kind="refit_head", stage="Looking", done=0, total=0, facts=facts)
        goes_on.wait(10)
        result = refit(0.9, (doubted,))
        yield JobFinished(kind="refit_head", outcome=COMPLETED, result=result)

    engine.runs("refit_head", fit)
    relabel(session)
    try:
        qtbot.waitUntil(page.live_head.isVisible)
        assert page.live_head.text == "Decision layer updated: validation AUROC 0.900."
        assert page.live_head.link == ""
        assert session.jobs.is_busy
    finally:
        goes_on.set()
    qtbot.waitUntil(lambda: page.live_head.link == "Look again at 1 label")
    assert page.live_head.text == "Decision layer updated: validation AUROC 0.900."


def test_many_labels_in_a_row_make_one_fit(
    qtbot, engine: ScriptedEngine, page: DataPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_head, "_SETTLED_MS", 300)
    engine.completes("refit_head", **refit(0.9))
    for place in range(4):
        relabel(page.session, place)
    qtbot.waitUntil(page.live_head.isVisible)
    assert len(engine.asked("refit_head")) == 1


def test_nothing_is_fitted_before_there_is_a_run_or_while_one_goes_on(
    qtbot, engine: ScriptedEngine, open_session: Opened, split_folder: Path
) -> None:
    session = open_session(split_folder)
    page = shown(qtbot, session)
    engine.completes("refit_head", **refit(0.9))
    relabel(session)
    with qtbot.waitSignal(session.snapshot_changed):
        pass
    qtbot.wait(100)
    assert engine.asked("refit_head") == []
    add_run(split_folder)
    with qtbot.waitSignal(session.snapshot_changed):
        session.reload()
    engine.runs("train", endless_run)
    session.runs.start(session.next_run())
    qtbot.waitUntil(lambda: session.runs.state is RunState.RUNNING)
    relabel(session, 1)
    qtbot.wait(150)
    assert engine.asked("refit_head") == []
    session.runs.stop()
    qtbot.waitUntil(page.live_head.isVisible)  # as soon as the run has ended


def test_a_newer_training_of_another_kind_does_not_silence_the_probe(
    qtbot, engine: ScriptedEngine, open_session: Opened, split_folder: Path
) -> None:
    add_run(split_folder)
    with Project.open(split_folder) as project:
        project.add_run("r2", preset_config("standard", backbone="resnet18"))
        project.update_run("r2", outcome=COMPLETED, val_auroc=0.95)
    page = shown(qtbot, open_session(split_folder))
    engine.completes("refit_head", **refit(0.9))
    relabel(page.session)
    qtbot.waitUntil(page.live_head.isVisible)
    [command] = engine.asked("refit_head")
    assert (command.backbone, command.weights) == ("efficientnet_lite0", WEIGHTS)


def test_what_was_fitted_for_one_project_is_not_said_of_another(
    qtbot, engine: ScriptedEngine, page: DataPanel, tmp_path: Path
) -> None:
    goes_on = threading.Event()

    def fit(command: Any, control: Control) -> Iterator[Event]:
        del command, control
        yield JobStarted(kind="refit_head")
        goes_on.wait(10)
        facts = {"val_auroc": 0.9}
        yield JobProgressed(kind="refit_head", stage="Looking", done=0, total=0, facts=facts)
        yield JobFinished(kind="refit_head", outcome=COMPLETED, result=refit(0.9))

    engine.runs("refit_head", fit)
    session = page.session
    relabel(session)
    try:
        qtbot.waitUntil(lambda: bool(engine.asked("refit_head")))
        session.open_project(make_project(tmp_path / "another.radtune", is_split=True))
    finally:
        goes_on.set()
    qtbot.waitUntil(lambda: not session.jobs.is_busy)
    assert not page.live_head.isVisible()
    assert page.live_head.text == ""


def test_images_that_are_not_described_yet_say_nothing(
    qtbot, engine: ScriptedEngine, page: DataPanel
) -> None:
    failed = JobFinished(kind="refit_head", outcome=FAILED, error="Not described.", remedy="Train.")
    engine.plays("refit_head", JobStarted(kind="refit_head"), failed)
    heard: list[Any] = []
    page.message_requested.connect(lambda *parts: heard.append(parts))
    relabel(page.session)
    qtbot.waitUntil(lambda: bool(engine.asked("refit_head")))
    qtbot.waitUntil(lambda: not page.session.jobs.is_busy)
    assert not page.live_head.isVisible()
    assert heard == []
