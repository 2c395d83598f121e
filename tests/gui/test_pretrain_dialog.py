"""Pre-training from the Model page: what can be chosen, what is asked for, what is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from engine.contract.config import BackboneConfig, ImageContract
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    JobFinished,
    JobProgressed,
    Recovered,
    RunResumed,
    Warned,
)
from engine.project.store import Project
from gui.panels.model import ModelPanel
from gui.panels.pretrain import PretrainDialog
from gui.panels.pretrain_projects import Problem, problem_of_choice, read_candidate
from gui.theme import theme
from tests.helpers.findings_project import make_findings_project
from tests.helpers.made_project import make_project

RESULT = {
    "name": "Both",
    "backbone": "efficientnet_lite0",
    "weights": "file:abc",
    "projects": [
        {"name": "one", "val_auroc": 0.951, "n_left_out": 2},
        {"name": "two", "val_auroc": 0.9, "n_left_out": 0},
    ],
}


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Return two projects that can be learned from, one that isn't divided, and a plain folder."""
    made = [
        make_project(tmp_path / "one.radtune", is_split=True),
        make_project(tmp_path / "two.radtune", is_split=True),
        make_project(tmp_path / "new.radtune"),
        tmp_path / "gone.radtune",
    ]
    return made


@pytest.fixture
def dialog(qtbot, session, folders) -> PretrainDialog:
    shown = PretrainDialog(session, folders)
    qtbot.addWidget(shown)
    shown.show()
    qtbot.waitUntil(lambda: len(shown.candidates) == len(folders))
    return shown


def words(dialog: PretrainDialog) -> str:
    return "\n".join(label.text() for label in dialog.findChildren(QLabel) if label.isVisible())


def test_candidates_say_what_they_hold_or_why_they_cannot_be_used(folders):
    one, _, new, gone = (read_candidate(folder) for folder in folders)
    assert (one.name, one.classes, one.problem) == ("one", ("Normal", "Pneumonia"), Problem.NONE)
    # Of 12 patients with two images each, 8 are for training and 2 for validation.
    assert (one.n_train, one.n_val, one.size_px) == (16, 4, 224)
    assert new.problem is Problem.NOT_DIVIDED
    assert gone.problem is Problem.UNREADABLE
    assert gone.detail


def test_a_project_whose_findings_are_learned_at_once_can_be_used(tmp_path):
    folder = make_findings_project(tmp_path / "findings.radtune", n_images=72)
    found = read_candidate(folder)
    assert found.classes == ("Pneumonia", "Effusion")
    assert found.problem is Problem.NOT_DIVIDED  # and nothing else


def test_only_projects_that_can_be_learned_from_can_be_ticked(dialog, folders):
    dialog.choose(folders)
    assert [candidate.folder for candidate in dialog.chosen] == folders[:2]


def test_start_waits_for_two_projects_and_a_name(dialog, folders):
    assert not dialog._start.isEnabled()
    assert "at least two" in words(dialog)
    dialog.choose(folders[:2])
    assert dialog._start.isEnabled()
    assert "32 images to learn from" in words(dialog)
    dialog._name.setText("  ")
    assert not dialog._start.isEnabled()


def test_projects_of_different_sizes_are_refused_with_a_sentence(tmp_path, folders):
    other = make_project(tmp_path / "small.radtune", is_split=True)
    with Project.open(other) as project:
        project.image_contract = ImageContract(size_px=112)
    pair = [read_candidate(folders[0]), read_candidate(other)]
    assert problem_of_choice(pair) is Problem.SIZES_DIFFER


def test_asks_the_engine_for_what_was_chosen_and_tells_the_result(qtbot, dialog, engine, folders):
    engine.completes("pretrain", **RESULT)
    dialog.choose(folders[:2])
    dialog._name.setText("Both")
    dialog._passes.setValue(3)
    with qtbot.waitSignal(dialog.trained) as trained:
        qtbot.mouseClick(dialog._start, Qt.MouseButton.LeftButton)
    assert trained.args == ["efficientnet_lite0", "file:abc"]
    [command] = engine.asked("pretrain")
    assert (command.projects, command.name, command.epochs) == (
        tuple(str(folder) for folder in folders[:2]),
        "Both",
        3,
    )
    assert "“Both” is ready" in words(dialog)
    assert "0.951" in words(dialog)
    assert "2 images equal to a test image" in words(dialog)


def until_canceled(command, control):
    yield JobProgressed(kind="pretrain", stage="Training, pass 1", done=3, total=10)
    while not control.cancel_requested:
        control.wait_for_request(0.05)
    yield JobFinished(kind="pretrain", outcome=CANCELED)


def test_shows_progress_and_cancels(qtbot, dialog, engine, folders):
    engine.runs("pretrain", until_canceled)
    dialog.choose(folders[:2])
    dialog.start()
    qtbot.waitUntil(lambda: "3 of 10" in words(dialog))
    assert not dialog._start.isVisible()
    dialog.cancel()
    assert "Canceling" in words(dialog)
    qtbot.waitUntil(lambda: "Nothing was kept" in words(dialog))
    assert dialog._start.isVisible()


def test_tells_what_was_mended_and_what_it_waits_for(qtbot, dialog, engine, folders):
    engine.plays(
        "pretrain",
        Recovered(run="", message="Memory ran short."),
        Warned(message="The drive is away.", remedy="Connect it."),
        Recovered(run="", message="Memory ran short."),
        Warned(message="Told elsewhere.", cause="no card"),
        JobFinished(kind="pretrain", outcome=COMPLETED, result=RESULT),
    )
    dialog.choose(folders[:2])
    dialog.start()
    qtbot.waitUntil(lambda: "is ready" in words(dialog))
    qtbot.waitUntil(lambda: "The drive is away. Connect it." in words(dialog))  # drawn a bit later
    assert words(dialog).count("Memory ran short.") == 1
    assert "Told elsewhere" not in words(dialog)
    engine.runs("pretrain", until_canceled)
    dialog.start()
    qtbot.waitUntil(lambda: "3 of 10" in words(dialog))
    assert "Memory ran short" not in words(dialog)
    dialog.cancel()
    qtbot.waitUntil(lambda: "Nothing was kept" in words(dialog))


def test_what_it_waits_for_is_said_until_it_goes_on_and_no_longer_than_it_runs(
    qtbot, dialog, engine, folders
):
    moves = {"back": False, "end": False}

    def script(command, control):
        for then in list(moves):
            yield JobProgressed(kind="pretrain", stage=f"Training, until {then}", done=3, total=10)
            yield Warned(message="The folder of “two” is away. Training waits.", is_waiting=True)
            while not moves[then] and not control.cancel_requested:
                control.wait_for_request(0.05)
            if then == "back":
                yield RunResumed(run="")
        yield JobFinished(kind="pretrain", outcome=COMPLETED, result=RESULT)

    engine.runs("pretrain", script)
    dialog.choose(folders[:2])
    dialog.start()
    qtbot.waitUntil(lambda: "Training waits" in words(dialog))
    moves["back"] = True
    qtbot.waitUntil(lambda: "until end" in words(dialog))
    qtbot.waitUntil(lambda: words(dialog).count("Training waits") == 1)  # and not twice
    moves["end"] = True
    qtbot.waitUntil(lambda: "is ready" in words(dialog))
    assert "Training waits" not in words(dialog)


@pytest.mark.parametrize("text_scale", [1.0, 1.5])
def test_several_notes_clip_nothing_and_leave_three_projects_in_sight(
    qtbot, dialog, engine, folders, text_scale
):
    theme().set_text_scale(text_scale)
    texts = [
        f"{which} went wrong three times in a row, so training went back to pass 1 with 30 %"
        " of the learning rate."
        for which in ("This", "That", "Another")
    ]
    engine.plays(
        "pretrain",
        *(Recovered(run="", message=text) for text in texts),
        JobFinished(kind="pretrain", outcome=COMPLETED, result=RESULT),
    )
    dialog.choose(folders[:2])
    before = dialog.height()
    dialog.start()
    qtbot.waitUntil(lambda: all(text in words(dialog) for text in (*texts, "is ready")))
    qtbot.waitUntil(lambda: dialog.height() > before or text_scale > 1)  # no room on the screen

    def clipped() -> list[str]:
        labels = [each for each in dialog.findChildren(QLabel) if each.isVisible() and each.text()]
        return [each.text() for each in labels if each.height() < each.heightForWidth(each.width())]

    qtbot.waitUntil(lambda: clipped() == [])
    listed = dialog._list

    def has_third_in_sight() -> bool:
        bottom = listed.visualItemRect(listed.item(2)).bottom()
        return bool(0 < bottom < listed.viewport().height())

    qtbot.waitUntil(has_third_in_sight)


def test_a_failure_says_what_to_do(qtbot, dialog, engine, folders):
    engine.plays(
        "pretrain",
        JobFinished(kind="pretrain", outcome=FAILED, error="It broke.", remedy="Mend it."),
    )
    dialog.choose(folders[:2])
    dialog.start()
    qtbot.waitUntil(lambda: "It broke. Mend it." in words(dialog))


def test_closed_while_it_trains_it_comes_back_with_the_result(qtbot, dialog, engine, folders):
    def script(command, control):
        while not control.stop_requested:
            control.wait_for_request(0.05)
        yield JobFinished(kind="pretrain", outcome=COMPLETED, result=RESULT)

    engine.runs("pretrain", script)
    dialog.choose(folders[:2])
    dialog.start()
    dialog.reject()
    assert dialog.isHidden()
    thread = next(iter(dialog._session.jobs._jobs)).engine_thread
    thread.request("stop")
    qtbot.waitUntil(dialog.isVisible)
    assert "is ready" in words(dialog)


def test_the_model_page_chooses_the_new_backbone_and_keeps_it(qtbot, open_session, folders, engine):
    session = open_session(folders[0])
    engine.completes("doctor", weights={"efficientnet_lite0": "embedded"})
    page = ModelPanel(session)
    qtbot.addWidget(page)
    page.choose_weights("efficientnet_lite0", "file:abc")
    with qtbot.waitSignal(session.device_changed):
        session.find_device()
    assert session.config.backbone == BackboneConfig(key="efficientnet_lite0", weights="file:abc")
