"""A run whose saved states are all damaged isn't lost: it ends with the best pass that it kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.contract.commands import Evaluate, MakeSplit, Resume, Train
from engine.contract.control import Control
from engine.contract.events import FAILED, STOPPED, EpochFinished, Event, Recovered, RunFinished
from engine.project.store import Project
from engine.run import execute
from tests.engine.test_lost_best import flip
from tests.helpers.tiny_study import make_study, run_job, small_config


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project with a run that was interrupted after its second pass."""
    project = make_study(tmp_path_factory.mktemp("study"), n_patients=20)
    control = Control()

    def listen(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 2:
            control.interrupt()

    command = Train(project=str(project), config=small_config(max_epochs=5))
    finished = execute(command, listen, control)
    assert isinstance(finished, RunFinished)
    return project, finished.run


@pytest.fixture
def damaged(interrupted: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    """That run with both of its states damaged."""
    project, run = interrupted
    copied = Path(shutil.copytree(project.parent, tmp_path / "study")) / project.name
    for name in ("last", "previous"):
        flip(copied / "runs" / run / "checkpoints" / name / "state.safetensors")
    return copied, run


def resumed(project: Path, run: str) -> tuple[RunFinished, list[Event]]:
    events: list[Event] = []
    finished = execute(Resume(project=str(project), run=run), events.append, Control())
    assert isinstance(finished, RunFinished)
    return finished, events


def test_going_on_ends_the_run_with_its_best_pass(damaged: tuple[Path, str]) -> None:
    project, run = damaged
    facts = json.loads(
        (project / "runs" / run / "checkpoints" / "best" / "facts.json").read_text(encoding="utf-8")
    )
    finished, events = resumed(project, run)
    assert finished.outcome == STOPPED, finished.error
    told = [event.message for event in events if isinstance(event, Recovered)]
    assert len(told) == 1
    assert "can't go on" in told[0] and f"pass {facts['epoch']}" in told[0]
    with Project.open(project) as opened:
        row = opened.run_summary(run)
        assert (row.state, row.epochs, row.val_auroc) == (STOPPED, 2, facts["val_auroc"])
    assert run_job(Evaluate(project=str(project), run=run))


def test_without_sound_weights_either_the_run_says_that_a_new_one_is_needed(
    damaged: tuple[Path, str],
) -> None:
    project, run = damaged
    flip(project / "runs" / run / "checkpoints" / "best" / "weights.safetensors")
    finished, _ = resumed(project, run)
    assert finished.outcome == FAILED
    assert finished.error is not None and "no saved state" in finished.error
    assert finished.remedy is not None and "Start a new run" in finished.remedy


def test_what_needs_a_finished_run_names_resuming_only_where_that_is_possible(
    interrupted: tuple[Path, str], tmp_path: Path
) -> None:
    project, run = interrupted
    copied = Path(shutil.copytree(project.parent, tmp_path / "study")) / project.name

    def advised() -> str:
        evaluate = Evaluate(project=str(copied), run=run)
        return execute(evaluate, lambda event: None, Control()).remedy or ""

    assert "Resume it" in advised()
    run_job(MakeSplit(project=str(copied), seed=3))
    assert resumed(copied, run)[0].outcome == FAILED
    assert "Train a new run" in advised() and "Resume" not in advised()
