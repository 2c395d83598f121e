"""A pre-training that was cut off: offered where it is kept, and asked about before it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QLabel, QMessageBox, QPushButton

from engine.contract.commands import Crossval, Pretrain
from engine.contract.config import preset_config
from engine.contract.events import CANCELED, COMPLETED, JobFinished, JobProgressed, JobStarted
from engine.project.pretrainings import begin_or_go_on
from engine.project.store import Project
from gui.main_window import MainWindow
from gui.panels.pretrain import PretrainDialog
from gui.preferences import Preferences
from gui.stages import Stage
from tests.helpers.made_project import make_project

RESULT = {"name": "Both", "backbone": "efficientnet_lite0", "weights": "file:abc", "projects": []}


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [make_project(tmp_path / f"{name}.radtune", is_split=True) for name in ("one", "two")]


@pytest.fixture
def cut_off(folders: list[Path]) -> Pretrain:
    """Return what asks again for a pre-training that the first of the projects keeps."""
    command = Pretrain(projects=tuple(map(str, folders)), name="Both", epochs=9, seed=5)
    with Project.open(folders[0]) as one, Project.open(folders[1]) as two:
        begin_or_go_on([one, two], {}, command)
    return command


@pytest.fixture
def preferences(tmp_path):
    return Preferences(QSettings(str(tmp_path / "preferences.ini"), QSettings.Format.IniFormat))


@pytest.fixture
def window(qtbot, engine, preferences) -> Iterator[MainWindow]:
    shown = MainWindow(engine.client(), preferences)
    shown.resize(1366, 768)
    shown.show()
    yield shown
    shown.session.jobs.cancel_all(2_000)
    shown.close()
    shown.deleteLater()


def until_asked_to_end(command, control):
    yield JobStarted(kind="pretrain")
    yield JobProgressed(kind="pretrain", stage="Training, pass 2", done=3, total=10)
    while not control.cancel_requested:
        control.wait_for_request(0.05)
    yield JobFinished(kind="pretrain", outcome=CANCELED)


def words(widget) -> str:
    return "\n".join(label.text() for label in widget.findChildren(QLabel) if label.isVisible())


def press(widget, text: str) -> None:
    (button,) = (b for b in widget.findChildren(QPushButton) if b.text() == text and b.isVisible())
    button.click()


def shown_dialog(qtbot, session, folders) -> PretrainDialog:
    dialog = PretrainDialog(session, folders)
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.waitUntil(lambda: len(dialog.candidates) == len(folders) and not dialog._readers)
    return dialog


def test_the_dialog_offers_it_and_asks_for_the_same_again(qtbot, session, engine, folders, cut_off):
    engine.completes("pretrain", **RESULT)
    dialog = shown_dialog(qtbot, session, folders)
    assert "“Both” on one, two was interrupted" in words(dialog)
    with qtbot.waitSignal(dialog.trained):
        press(dialog, "Go on")
    assert engine.asked("pretrain") == [cut_off]
    assert [candidate.folder for candidate in dialog.chosen] == folders
    assert (dialog._name.text(), dialog._passes.value()) == ("Both", 9)


def test_nothing_is_offered_where_nothing_was_cut_off(qtbot, session, folders):
    dialog = shown_dialog(qtbot, session, folders)
    assert "interrupted" not in words(dialog)


def test_one_that_is_stopped_for_now_is_offered_again(qtbot, session, engine, folders, cut_off):
    engine.runs("pretrain", until_asked_to_end)
    dialog = shown_dialog(qtbot, session, folders)
    press(dialog, "Go on")
    qtbot.waitUntil(lambda: "3 of 10" in words(dialog))
    assert "interrupted" not in words(dialog)
    press(dialog, "Stop for now")
    assert "Stopping" in words(dialog)
    qtbot.waitUntil(lambda: "was interrupted" in words(dialog))
    assert "can go on from here" in words(dialog)
    assert engine.requests == ["interrupt"]


def test_the_model_page_offers_what_its_project_keeps(qtbot, window, engine, folders, cut_off):
    engine.completes("pretrain", **RESULT)
    window.open_project(folders[0])
    qtbot.waitUntil(lambda: not window.session.background.is_busy)
    window.show_stage(Stage.MODEL)
    qtbot.waitUntil(lambda: "“Both” on one, two was interrupted" in words(window.messages))
    press(window.messages, "Continue pre-training")
    qtbot.waitUntil(lambda: engine.asked("pretrain") == [cut_off])


@pytest.fixture
def answered(monkeypatch) -> dict[str, list[str]]:
    """Answer the question before closing with the first of `answers`, and keep what it said."""
    kept: dict[str, list[str]] = {"answers": [], "said": []}

    def asked(box: QMessageBox) -> int:
        kept["said"].append(f"{box.text()} {box.informativeText()}")
        wanted = kept["answers"].pop(0)
        (button,) = (b for b in box.buttons() if b.text() == wanted)
        button.click()
        return 0

    monkeypatch.setattr(QMessageBox, "exec", asked)
    return kept


def begin(qtbot, window: MainWindow, command) -> list[JobFinished]:
    ends: list[JobFinished] = []
    told: list[object] = []
    window.session.jobs.start(command, ends.append, told.append)
    qtbot.waitUntil(lambda: any(isinstance(event, JobProgressed) for event in told))
    return ends


@pytest.mark.parametrize(
    ("answer", "request_made"), [("Continue next time", "interrupt"), ("Cancel it", "cancel")]
)
def test_closing_asks_once_and_does_what_was_said(
    qtbot, window, engine, answered, answer, request_made
):
    engine.runs("pretrain", until_asked_to_end)
    begin(qtbot, window, Pretrain(projects=("a", "b"), name="n"))
    answered["answers"] = [answer]
    assert window.close()
    [said] = answered["said"]
    assert "pre-training is under way" in said
    assert "next time" in said
    assert set(engine.requests) == {request_made}


def test_keep_working_leaves_it_alone(qtbot, window, engine, answered):
    engine.runs("pretrain", until_asked_to_end)
    ends = begin(qtbot, window, Pretrain(projects=("a", "b"), name="n"))
    answered["answers"] = ["Keep working", "Cancel it"]
    assert not window.close()
    assert window.isVisible()
    assert engine.requests == []
    assert ends == []


def test_closing_asks_about_a_cross_validation_too(qtbot, window, engine, answered):
    def script(command, control):
        yield JobProgressed(kind="crossval", stage="Part 1 of 5", done=1, total=100)
        while not control.cancel_requested:
            control.wait_for_request(0.05)
        yield JobFinished(kind="crossval", outcome=CANCELED)

    engine.runs("crossval", script)
    begin(qtbot, window, Crossval(project="a", config=preset_config("quick")))
    answered["answers"] = ["Continue next time"]
    assert window.close()
    assert "cross-validation is under way" in answered["said"][0]
    assert engine.requests[0] == "interrupt"


def test_closing_does_not_ask_about_one_that_is_being_canceled(qtbot, window, engine, answered):
    def script(command, control):
        yield JobProgressed(kind="pretrain", stage="Training, pass 2", done=3, total=10)
        while engine.requests.count("cancel") < 2:  # closing asks it again
            control.wait_for_request(0.05)
        yield JobFinished(kind="pretrain", outcome=COMPLETED)

    engine.runs("pretrain", script)
    begin(qtbot, window, Pretrain(projects=("a", "b"), name="n"))
    window.session.jobs.cancel("pretrain")
    assert window.close()
    assert answered["said"] == []
    assert "interrupt" not in engine.requests


def test_the_dialog_offers_what_the_open_project_keeps(qtbot, open_session, folders, cut_off):
    session = open_session(folders[0])  # which locks it
    dialog = shown_dialog(qtbot, session, folders)
    assert "was interrupted" in words(dialog)
