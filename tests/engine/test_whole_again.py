"""The whole job, given again after it was interrupted, does what is left of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import engine.jobs.whole
from engine.contract.commands import RunAll
from engine.contract.config import ExperimentConfig
from engine.contract.control import Control
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    EpochFinished,
    Event,
    JobFinished,
    JobProgressed,
    RunStarted,
)
from engine.project.store import RUN_PROJECT, Project
from engine.run import execute
from tests.helpers.tiny_study import CONTRACT, small_config, write_images


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunAll:
    monkeypatch.setattr(engine.jobs.whole, "preset_config", preset)
    for part in ("export_run", "_write_plots"):  # what follows the evaluation isn't looked at here
        monkeypatch.setattr(engine.jobs.whole, part, lambda *_: None)
    images = write_images(tmp_path / "images", n_patients=20)
    with Project.create(tmp_path / "out" / RUN_PROJECT) as project:
        project.image_contract = CONTRACT
    return RunAll(source=str(images), out=str(tmp_path / "out"))


def preset(*_: object, seed: int, **__: object) -> ExperimentConfig:
    config = small_config(max_epochs=3, seed=seed)
    return replace(config, backbone=replace(config.backbone, key="squeezenet1_0"))


def performed(job: RunAll, *, until: type[Event] | None = None, at: int = 0) -> list[Event]:
    """Perform the job, interrupt it at the ``at``-th event of a kind, and return its events."""
    control, events = Control(), list[Event]()

    def listen(event: Event) -> None:
        events.append(event)
        if until is not None and sum(isinstance(event, until) for event in events) == at:
            control.interrupt()

    finished = execute(job, listen, control)
    assert isinstance(finished, JobFinished)
    expected = COMPLETED if until is None else CANCELED
    assert finished.outcome == expected, (finished.error, finished.remedy)
    return events


def epochs_of(events: list[Event]) -> list[int]:
    return [event.epoch for event in events if isinstance(event, EpochFinished)]


def states_of(job: RunAll) -> list[str]:
    with Project.open(Path(job.out) / RUN_PROJECT, read_only=True) as project:
        return [run.state for run in project.runs()]


def test_its_interrupted_training_goes_on(job: RunAll) -> None:
    assert epochs_of(performed(job, until=EpochFinished, at=2)) == [1, 2]
    assert states_of(job) == ["interrupted"]
    events = performed(job)
    assert [e.is_resumed for e in events if isinstance(e, RunStarted)] == [True]
    assert epochs_of(events) == [3]
    assert states_of(job) == ["completed"]
    assert (Path(job.out) / "results.json").is_file()


def test_its_finished_training_is_not_repeated(job: RunAll) -> None:
    control, events = Control(), list[Event]()

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, JobProgressed) and 3 in epochs_of(events):
            control.interrupt()

    finished = execute(job, listen, control)
    assert (finished.outcome, states_of(job)) == (CANCELED, ["completed"])
    assert epochs_of(performed(job)) == []
    assert states_of(job) == ["completed"]
    assert (Path(job.out) / "results.json").is_file()


def test_other_settings_begin_a_run_of_their_own(job: RunAll) -> None:
    performed(job, until=EpochFinished, at=2)
    assert epochs_of(performed(replace(job, seed=1))) == [1, 2, 3]
    assert states_of(job) == ["completed", "interrupted"]
