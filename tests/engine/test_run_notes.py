"""What becomes of a run is noted in its row, whatever refuses a note in between."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import engine.project.database
import engine.project.runs
import engine.trainer.full_disk
from engine.contract.commands import Resume, Train
from engine.contract.config import ExperimentConfig
from engine.contract.control import Control
from engine.contract.errors import ProjectBusyError, StorageError
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    BatchFinished,
    EpochFinished,
    Event,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
)
from engine.contract.records import RunSummary
from engine.jobs.run_notes import RunNotes
from engine.project.runs import RunStore
from engine.project.store import Project
from engine.run import execute
from engine.trainer.checkpoint import load_state, save_state
from tests.helpers.tiny_study import small_config, train

BUSY = ProjectBusyError("The project is busy.", remedy="Wait a moment.")
FULL = StorageError("The disk is full.", remedy="Free some space.")


def quick(max_epochs: int = 2) -> ExperimentConfig:
    config = small_config(max_epochs=max_epochs)
    return replace(config, backbone=replace(config.backbone, key="squeezenet1_0"))


def performed(
    command: Train | Resume, listen: Callable[[Event], None], control: Control | None = None
) -> RunFinished:
    finished = execute(command, listen, control or Control())
    assert isinstance(finished, RunFinished)
    return finished


def interrupted(project: Path) -> str:
    """Interrupt a run after its first epoch, and return its id."""
    control = Control()

    def listen(event: Event) -> None:
        if isinstance(event, EpochFinished):
            control.interrupt()

    return performed(Train(project=str(project), config=quick(4)), listen, control).run


def the_run(project: Path) -> RunSummary:
    with Project.open(project, read_only=True) as opened:
        (run,) = opened.runs()
        return run


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Return a list whose errors, first to last, updates of runs meet; empty: they work."""
    errors: list[Exception] = []
    real = RunStore.update_run

    def update(self: RunStore, run: str, **facts: Any) -> None:
        if errors:
            raise errors.pop(0)
        real(self, run, **facts)

    monkeypatch.setattr(RunStore, "update_run", update)
    return errors


@pytest.mark.parametrize(("ask", "state"), [("cancel", "canceled"), ("interrupt", "interrupted")])
@pytest.mark.parametrize("before", ["interrupted", "failed"])
def test_the_end_is_noted_of_a_run_whose_going_on_could_not_be(
    study: Path, refuse: list[Exception], before: str, ask: str, state: str
) -> None:
    run = interrupted(study)
    if before == "failed":
        with sqlite3.connect(study / "project.db") as database:
            database.execute("UPDATE runs SET state = 'failed', error = 'It broke.'")
        database.close()
    control = Control()

    def listen(event: Event) -> None:
        if isinstance(event, BatchFinished):
            getattr(control, ask)()

    refuse.append(BUSY)
    finished = performed(Resume(project=str(study), run=run), listen, control)
    assert refuse == []
    assert finished.outcome == CANCELED
    assert (the_run(study).state, the_run(study).error) == (state, None)


@pytest.mark.parametrize("error", [BUSY, FULL, ValueError("a mistake"), sqlite3.Error("another")])
def test_no_note_raises_and_the_next_one_makes_up_for_it(
    study: Path, refuse: list[Exception], error: Exception
) -> None:
    with Project.open(study) as project:
        project.add_run("r1", quick())
        notes = RunNotes(project, "r1")
        refuse.append(error)
        notes.note(state="paused", epochs=3)
        assert (the_run(study).state, the_run(study).epochs) == ("running", 0)
        notes.note(seconds=1.5)
        assert (the_run(study).state, the_run(study).epochs) == ("paused", 3)
        notes.note(state="failed", error="It broke.")
        assert (the_run(study).state, the_run(study).error) == ("failed", "It broke.")


@pytest.fixture
def hold(study: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """Return another program's connection to the project; a held one is refused soon here."""
    monkeypatch.setattr(engine.project.database, "_BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr(engine.trainer.full_disk, "_TRY_AGAIN_S", 0.05)
    other = sqlite3.connect(study / "project.db", isolation_level=None)
    yield other
    other.close()


def test_a_finished_run_waits_for_a_database_that_is_busy(
    study: Path, hold: sqlite3.Connection
) -> None:
    told: list[Event] = []

    def listen(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 2:
            hold.execute("BEGIN IMMEDIATE")
        if isinstance(event, RunPaused | RunResumed):
            told.append(event)
        if isinstance(event, RunPaused):
            hold.execute("ROLLBACK")

    finished = performed(Train(project=str(study), config=quick()), listen)
    assert finished.outcome == COMPLETED, finished.error
    assert [type(event) for event in told] == [RunPaused, RunResumed]
    assert isinstance(told[0], RunPaused) and "busy" in told[0].reason
    run = the_run(study)
    assert (run.state, run.epochs, run.val_auroc) == (
        "completed",
        2,
        finished.result["val_auroc"],
    )


def test_a_finished_run_whose_end_a_full_disk_refused_is_noted_as_finished(
    study: Path, refuse: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.trainer.full_disk, "_TRY_AGAIN_S", 0.05)

    def listen(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 2:
            refuse.extend([FULL, FULL])

    finished = performed(Train(project=str(study), config=quick()), listen)
    assert finished.outcome == COMPLETED
    assert refuse == []
    assert the_run(study).state == "completed"


def test_a_failure_that_can_not_be_noted_is_told_all_the_same(
    study: Path, refuse: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        refuse.extend([BUSY] * 9)
        raise StorageError("The images can't be read.", remedy="Connect the disk.")

    monkeypatch.setattr("engine.jobs.training.open_pixels", broken)
    finished = performed(Train(project=str(study), config=quick()), lambda event: None)
    assert (finished.outcome, finished.error) == (FAILED, "The images can't be read.")


def test_a_run_that_can_not_keep_what_it_begins_with_is_not_made(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise FULL

    monkeypatch.setattr(engine.project.runs, "write_run_data", full)
    finished, _ = train(study, quick())
    assert (finished.outcome, finished.run, finished.error) == (FAILED, "", FULL.message)
    with Project.open(study, read_only=True) as project:
        assert project.runs() == ()
    assert list((study / "runs").iterdir()) == []


def test_the_time_of_all_parts_of_a_run_counts(study: Path) -> None:
    run = interrupted(study)
    assert 0 < the_run(study).seconds < 1e5
    checkpoints = study / "runs" / run / "checkpoints"
    state, tensors, _ = load_state(checkpoints)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    assert 0 < state.seconds <= the_run(study).seconds
    state.seconds = 1e5
    save_state(checkpoints, state, tensors)
    finished = performed(Resume(project=str(study), run=run), lambda event: None)
    assert 1e5 < finished.result["seconds"] < 2e5
    assert the_run(study).seconds == pytest.approx(finished.result["seconds"], abs=0.01)


def test_the_time_before_the_first_saved_state_counts_too(study: Path) -> None:
    control = Control()

    def listen(event: Event) -> None:
        if isinstance(event, RunStarted):
            control.interrupt()

    run = performed(Train(project=str(study), config=quick()), listen, control).run
    assert not the_run(study).has_saved_state
    with Project.open(study) as project:
        project.update_run(run, seconds=1e5)
    finished = performed(Resume(project=str(study), run=run), lambda event: None)
    assert 1e5 < finished.result["seconds"] < 2e5
