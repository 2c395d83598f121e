"""A run that is cut off, by a crash or by closing the window, loses nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtWidgets import QMessageBox

from engine.contract.events import EpochFinished
from gui.stages import Stage
from tests.helpers.tiny_study import make_study, small_config

pytestmark = pytest.mark.timeout(300)

EPOCHS = 6


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return the folder of a small project with a split."""
    return make_study(tmp_path, n_patients=20)


@pytest.fixture
def epochs_of():
    """Return a function that lists the passes of a window's runs as they are finished."""
    listening = []

    def listen(user) -> list[EpochFinished]:
        epochs: list[EpochFinished] = []

        def take(event: object) -> None:
            if isinstance(event, EpochFinished):
                epochs.append(event)

        user.window.session.runs.event_received.connect(take)
        listening.append(take)
        return epochs

    return listen


def start_standard(user, study: Path, epochs: list[EpochFinished]) -> None:
    """Open the project, start a Standard run of six passes, and see the second one end."""
    session = user.window.session
    assert user.window.open_project(study)
    user.wait_for(lambda: bool(session.snapshot.records), "the project")
    user.window.show_stage(Stage.TRAIN)
    user.press("Standard")
    small = small_config(max_epochs=EPOCHS)
    session.choose(replace(session.config, **{p: getattr(small, p) for p in PARTS}))
    user.press("Start")
    user.wait_for(lambda: len(epochs) >= 2, "two passes")


PARTS = ("method", "optimizer", "runtime")


def test_a_killed_training_process_leaves_the_window_alive_and_the_run_to_be_continued(
    user, study, epochs_of
):
    session, epochs = user.window.session, epochs_of(user)
    start_standard(user, study, epochs)

    session.client._workers["run"].kill()
    user.wait_for(lambda: bool(user.errors()), "a message")

    (what, remedy) = user.errors()[0]
    assert what == (
        "The training process ended unexpectedly. Everything up to its last saved state is kept."
    )
    assert remedy == "Continue the run."
    (run,) = session.snapshot.runs
    assert (run.state, run.is_resumable) == ("interrupted", True)

    n_before = len(epochs)
    user.press("Continue")
    user.wait_for(lambda: bool(session.snapshot.finished_runs), "the end of the run")

    (run,) = session.snapshot.runs
    assert run.state == "completed"
    # It went on from a saved pass instead of beginning again.
    assert 1 < epochs[n_before].epoch <= n_before + 1
    assert epochs[-1].epoch == EPOCHS
    assert user.errors() == []


def test_a_run_left_when_the_window_closes_is_offered_the_next_time(
    open_window, study, epochs_of, monkeypatch
):
    first = open_window()
    epochs = epochs_of(first)
    start_standard(first, study, epochs)
    answer_closing(monkeypatch, "Continue next time")
    assert first.window.close()

    second = open_window()
    session, more = second.window.session, epochs_of(second)
    assert second.window.open_project(study)
    second.wait_for(lambda: bool(session.snapshot.runs), "the history")
    (run,) = session.snapshot.runs
    assert (run.state, run.is_resumable) == ("interrupted", True)

    second.window.show_stage(Stage.TRAIN)
    second.press("Continue")
    second.wait_for(lambda: bool(session.snapshot.finished_runs), "the end of the run")
    assert more[0].epoch > 1
    assert more[-1].epoch == EPOCHS


def answer_closing(monkeypatch, text: str) -> None:
    """Press the button of this text in the question that closing asks."""

    def execute(box: QMessageBox) -> int:
        button = next(b for b in box.buttons() if b.text().replace("&", "") == text)
        monkeypatch.setattr(QMessageBox, "clickedButton", lambda _: button)
        return 0

    monkeypatch.setattr(QMessageBox, "exec", execute)
