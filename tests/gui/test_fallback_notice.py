"""That the processor takes over is said once, whichever job it happens to, and to nobody twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QSettings

from engine.contract.commands import Audit, Evaluate, Export, RefitHead, Robustness, Search, Train
from engine.contract.config import preset_config
from engine.contract.events import (
    COMPLETED,
    JobFinished,
    JobStarted,
    RunFinished,
    Warned,
)
from gui.main_window import MainWindow
from gui.preferences import Preferences
from tests.helpers.made_project import make_project
from tests.helpers.scripted_engine import ScriptedEngine, run_started

WHY = "The graphics driver is too old."
REMEDY = "Update the driver."


@pytest.fixture
def window(qtbot, engine, split_folder, tmp_path) -> Iterator[MainWindow]:
    settings = QSettings(str(tmp_path / "preferences.ini"), QSettings.Format.IniFormat)
    window = MainWindow(engine.client(), Preferences(settings))
    window.resize(1366, 768)
    window.show()
    with qtbot.waitSignal(window.session.snapshot_changed, timeout=5_000):
        assert window.open_project(split_folder)
    yield window
    window.session.jobs.cancel_all(2_000)
    window.close()
    window.deleteLater()


def falls_back(engine: ScriptedEngine, kind: str, minutes: int, why: str = WHY) -> str:
    """Let a kind of job compute on the processor; return what it says."""
    says = f"{why} The processor works instead, which takes about {minutes} minutes."
    engine.plays(
        kind,
        JobStarted(kind=kind),
        Warned(message=says, remedy=REMEDY, cause=why),
        JobFinished(kind=kind, outcome=COMPLETED),
    )
    return says


def perform(qtbot, window: MainWindow, command, *, is_quiet: bool = False) -> None:
    ends: list[JobFinished] = []
    window.session.jobs.start(command, ends.append, is_quiet=is_quiet)
    qtbot.waitUntil(lambda: bool(ends))
    qtbot.waitUntil(lambda: not window.session.background.is_busy)


def said(window: MainWindow) -> list[tuple[str, str]]:
    return [(line.what, line.remedy) for line in window.messages._lines.values()]


def commands(window: MainWindow) -> dict[str, object]:
    project = str(window.session.folder)
    return {
        "audit": Audit(project=project),
        "evaluate": Evaluate(project=project, run="r1"),
        "export": Export(project=project, run="r1", out="ward"),
        "search": Search(project=project, minutes=1.0),
        "robustness": Robustness(project=project, run="r1"),
        "refit_head": RefitHead(project=project, backbone="resnet18", described_only=True),
    }


@pytest.mark.parametrize("kind", ["audit", "evaluate", "export", "search"])
def test_any_job_says_so_once(qtbot, engine, window, kind):
    says = falls_back(engine, kind, 5)
    command = commands(window)[kind]
    perform(qtbot, window, command)
    assert said(window) == [(says, REMEDY)]
    window.messages.clear()
    falls_back(engine, kind, 6)  # another time is no news
    perform(qtbot, window, command)
    assert said(window) == []


def test_another_kind_of_job_takes_its_place_with_its_own_time(qtbot, engine, window):
    falls_back(engine, "evaluate", 5)
    says = falls_back(engine, "export", 40)
    perform(qtbot, window, commands(window)["evaluate"])
    perform(qtbot, window, commands(window)["export"])
    assert said(window) == [(says, REMEDY)]


def test_another_cause_is_news(qtbot, engine, window):
    falls_back(engine, "evaluate", 5)
    perform(qtbot, window, commands(window)["evaluate"])
    says = falls_back(engine, "evaluate", 5, "The graphics card is full.")
    perform(qtbot, window, commands(window)["evaluate"])
    assert said(window) == [(says, REMEDY)]


def test_relabelling_says_it_once(qtbot, engine, window):
    refit = commands(window)["refit_head"]
    says = falls_back(engine, "refit_head", 2)
    perform(qtbot, window, refit, is_quiet=True)
    assert said(window) == [(says, REMEDY)]
    window.messages.clear()
    falls_back(engine, "refit_head", 3)
    perform(qtbot, window, refit, is_quiet=True)
    assert said(window) == []


@pytest.mark.parametrize("before", ["evaluate", "robustness"])
def test_relabelling_says_nothing_that_another_job_has_said(qtbot, engine, window, before):
    falls_back(engine, before, 5)
    falls_back(engine, "refit_head", 2)
    perform(qtbot, window, commands(window)[before])
    window.messages.clear()
    perform(qtbot, window, commands(window)["refit_head"], is_quiet=True)
    assert said(window) == []


def test_what_the_train_page_says_is_known(qtbot, engine, window):
    def run(command, control):
        yield run_started(command)
        yield Warned(run="r1", message=f"{WHY} The processor trains.", remedy=REMEDY, cause=WHY)
        yield RunFinished(run="r1", outcome=COMPLETED, result={"run": "r1"})

    engine.runs("train", run)
    ends: list[RunFinished] = []
    window.session.runs.finished.connect(ends.append)
    window.session.runs.start(
        Train(project=str(window.session.folder), config=preset_config("standard"))
    )
    qtbot.waitUntil(lambda: bool(ends))
    assert said(window) == []
    falls_back(engine, "refit_head", 2)
    perform(qtbot, window, commands(window)["refit_head"], is_quiet=True)
    assert said(window) == []


def test_the_robustness_card_says_it_itself(qtbot, engine, window):
    falls_back(engine, "robustness", 5)
    perform(qtbot, window, commands(window)["robustness"])
    assert said(window) == []


def test_another_project_hears_it_again(qtbot, engine, window, tmp_path):
    says = falls_back(engine, "audit", 5)
    perform(qtbot, window, commands(window)["audit"])
    with qtbot.waitSignal(window.session.snapshot_changed, timeout=5_000):
        assert window.open_project(make_project(tmp_path / "other.radtune", is_split=True))
    qtbot.waitUntil(lambda: not window.session.background.is_busy)
    assert said(window) == []
    perform(qtbot, window, commands(window)["audit"])
    assert said(window) == [(says, REMEDY)]


def test_other_warnings_of_jobs_are_left_to_their_pages(qtbot, engine, window):
    engine.plays(
        "audit",
        JobStarted(kind="audit"),
        Warned(message="One image is empty."),
        JobFinished(kind="audit", outcome=COMPLETED),
    )
    perform(qtbot, window, commands(window)["audit"])
    assert said(window) == []
