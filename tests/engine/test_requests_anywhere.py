"""Pause, stop, cancel and interrupt act within one batch, whatever a run is busy with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.contract.commands import Resume, Train
from engine.contract.config import preset_config
from engine.contract.control import Control
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    BatchFinished,
    EpochFinished,
    Event,
    RunFinished,
    RunPaused,
    RunProgressed,
    RunResumed,
)
from engine.project.store import Project
from engine.run import execute
from engine.trainer import steps
from engine.trainer.time_left import TimeLeft
from tests.helpers.tiny_study import small_config, train

N_SMALL = 4


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let validation and the describing of images take several batches, as with real sets."""
    whole = steps.predict_probabilities
    monkeypatch.setattr(
        steps, "predict_probabilities", lambda *a, **k: whole(*a, **{**k, "batch_size": N_SMALL})
    )
    monkeypatch.setattr("engine.models.features.BATCH_SIZE", N_SMALL)


def run_quick(project: Path, listen: Callable[[Event], None], control: Control) -> RunFinished:
    command = Train(project=str(project), config=preset_config("quick"))
    finished = execute(command, listen, control)
    assert isinstance(finished, RunFinished)
    return finished


@pytest.mark.usefixtures("small_batches")
def test_a_run_that_describes_images_says_that_it_pauses(study: Path) -> None:
    control = Control()
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        is_first = not any(isinstance(e, RunPaused) for e in events)
        if isinstance(event, RunProgressed) and event.done == N_SMALL and is_first:
            control.pause()
        if isinstance(event, RunPaused):
            with Project.open(study, read_only=True) as project:
                assert project.runs()[0].state == "paused"
            threading.Timer(0.1, control.proceed).start()

    assert run_quick(study, listen, control).outcome == COMPLETED
    told = [type(e) for e in events if isinstance(e, RunPaused | RunResumed)]
    assert told == [RunPaused, RunResumed]


@pytest.mark.usefixtures("small_batches")
def test_canceling_it_takes_one_batch(study: Path) -> None:
    control = Control()
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, RunProgressed) and event.done == N_SMALL:
            control.cancel()

    assert run_quick(study, listen, control).outcome == CANCELED
    assert max(e.done for e in events if isinstance(e, RunProgressed)) == N_SMALL


class DuringValidation:
    """Makes a request in the midst of the first epoch's validation, and counts its batches."""

    def __init__(self, request: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.control = Control()
        self.events: list[Event] = []
        self.n_batches = 0
        self._request = request
        monkeypatch.setattr(TimeLeft, "wants_look", False)  # on a busy computer it looks before
        predict = steps.predict_batch
        monkeypatch.setattr(steps, "predict_batch", self._counting(predict))

    def _counting(self, predict: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **options: object) -> object:
            self.n_batches += 1
            if self.n_batches == 2:
                getattr(self.control, self._request)()
            return predict(*arguments, **options)

        return counted

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, RunPaused):
            threading.Timer(0.1, self.control.proceed).start()


def weights_of(project: Path, run: str) -> bytes:
    path = project / "runs" / run / "checkpoints" / "best" / "weights.safetensors"
    return path.read_bytes()


@pytest.fixture
def uninterrupted(study: Path) -> bytes:
    finished, _ = train(study)
    return weights_of(study, finished.run)


@pytest.mark.usefixtures("small_batches")
def test_an_interrupt_during_validation_keeps_everything(
    study: Path, uninterrupted: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    during = DuringValidation("interrupt", monkeypatch)
    finished = execute(Train(project=str(study), config=small_config()), during, during.control)
    assert isinstance(finished, RunFinished) and finished.outcome == CANCELED
    assert during.n_batches == 2
    assert not any(isinstance(e, EpochFinished) for e in during.events)
    again: list[Event] = []
    resumed = execute(Resume(project=str(study), run=finished.run), again.append, Control())
    assert resumed.outcome == COMPLETED
    # Not a batch of the first epoch was trained again.
    assert min(e.epoch for e in again if isinstance(e, BatchFinished)) == 2
    assert weights_of(study, finished.run) == uninterrupted


@pytest.mark.usefixtures("small_batches")
def test_a_pause_during_validation_is_told_with_the_state_on_disk(
    study: Path, uninterrupted: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    during = DuringValidation("pause", monkeypatch)
    finished = execute(Train(project=str(study), config=small_config()), during, during.control)
    assert isinstance(finished, RunFinished) and finished.outcome == COMPLETED
    told = [type(e) for e in during.events if isinstance(e, RunPaused | RunResumed)]
    assert told == [RunPaused, RunResumed]
    assert weights_of(study, finished.run) == uninterrupted
