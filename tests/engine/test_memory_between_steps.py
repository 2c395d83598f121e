"""Memory that runs out anywhere but in a step: tried again or gone back, with the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import engine.trainer.full_disk
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import RunError
from engine.contract.events import (
    COMPLETED,
    FAILED,
    BatchFinished,
    EpochFinished,
    Event,
    Recovered,
    RunPaused,
)
from engine.hardware.out_of_memory import SingleItemError, in_parts
from engine.jobs import run_network
from engine.methods.full_finetune import FullFinetune
from engine.trainer import epoch_event, loop, saving, update, watch
from engine.trainer.loop import Trainer
from engine.trainer.time_left import TimeLeft
from tests.engine.test_out_of_memory import CUDA, Once, as_method
from tests.engine.test_resume_anywhere import assert_same, run_through
from tests.helpers.killable import kept_bytes
from tests.helpers.tiny_study import train
from tests.helpers.tiny_training import TinyTraining, tiny_config
from tests.long.disk_faults import fault_config

Place = tuple[Any, str]
PLACES: dict[str, Place] = {
    "the order of a pass": (loop, "epoch_order"),
    "a check of the weights": (loop, "is_sound"),
    "validation": (loop, "validate"),
    "watching": (watch, "count_unpredicted"),
    "the loss of guessing": (watch, "guessing_loss"),
    "a few predictions": (epoch_event, "sample_predictions"),
    "a comment": (epoch_event, "comment_on"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A training that had memory all the time."""
    return run_through(TinyTraining(tmp_path_factory.mktemp("whole")))


class Failing(Once):
    """Fails some times in a row, from the n-th time on that it is called."""

    def __init__(self, function: Callable[..., Any], *, nth: int = 1, times: int = 1) -> None:
        super().__init__(function, CUDA, 0)
        self._calls = range(nth, nth + times)
        self._n = 0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self._n += 1
        if self._n in self._calls:
            raise self.error
        return self.function(*arguments, **named)


def let_fail(patch: pytest.MonkeyPatch, place: Place, **when: int) -> None:
    owner, name = place
    patch.setattr(owner, name, as_method(Failing(getattr(owner, name), **when)))


@pytest.mark.parametrize(("place", "times"), [("validation", 1), *((name, 3) for name in PLACES)])
def test_a_run_goes_on_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Trainer, place: str, times: int
) -> None:
    training = TinyTraining(tmp_path)
    let_fail(monkeypatch, PLACES[place], times=times)
    trainer = run_through(training)
    assert_same(whole, trainer)
    assert trainer.state.micro_batch == whole.state.micro_batch
    told = [event.message for event in training.events if isinstance(event, Recovered)]
    assert told and all("emory ran short" in message for message in told)
    epochs = [event.epoch for event in training.events if isinstance(event, EpochFinished)]
    assert epochs == [1, 2]
    assert [row.epoch for row in trainer.state.history] == [1, 2]


def test_tensors_that_can_not_be_gathered_are_saved_a_little_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Trainer
) -> None:
    monkeypatch.setattr(engine.trainer.full_disk, "_TRY_AGAIN_S", 0.01)
    let_fail(monkeypatch, (update, "packed"), nth=2, times=2)
    training = TinyTraining(tmp_path)
    assert_same(whole, run_through(training))
    paused = [event.reason for event in training.events if isinstance(event, RunPaused)]
    assert len(paused) == 1 and "emory ran short" in paused[0]


@pytest.mark.parametrize("place", [(saving, "load_state"), (update, "unpack")], ids=["read", "put"])
def test_a_run_waits_for_the_memory_to_take_up_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Trainer, place: Place
) -> None:
    monkeypatch.setattr(engine.trainer.full_disk, "_TRY_AGAIN_S", 0.01)
    training, control = TinyTraining(tmp_path), Control()
    first = training.begin(control)
    first.emit = _interrupting(control)
    with pytest.raises(JobCanceled):
        first.train()
    let_fail(monkeypatch, place, times=2)
    again = training.begin()
    again.resume()
    again.train()
    assert_same(whole, again)
    paused = [event.reason for event in training.events if isinstance(event, RunPaused)]
    assert len(paused) == 1 and "emory ran short" in paused[0]


def _interrupting(control: Control) -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        if isinstance(event, BatchFinished) and event.step == 3:
            control.interrupt()

    return listen


@pytest.mark.parametrize(
    "place", [(saving, "sound_states"), (update, "unpack")], ids=["read", "put"]
)
def test_going_back_waits_for_memory_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Trainer, place: Place
) -> None:
    monkeypatch.setattr(engine.trainer.full_disk, "_TRY_AGAIN_S", 0.01)
    training = TinyTraining(tmp_path)
    let_fail(monkeypatch, PLACES["a comment"], nth=2)
    let_fail(monkeypatch, place, times=2)
    assert_same(whole, run_through(training))


def test_memory_that_runs_short_after_a_pass_was_saved_tells_it_once_and_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Trainer
) -> None:
    training = TinyTraining(tmp_path)
    let_fail(monkeypatch, (TimeLeft, "epoch_end"), nth=2)
    assert_same(whole, run_through(training))
    epochs = [event.epoch for event in training.events if isinstance(event, EpochFinished)]
    assert epochs == [1, 2]
    [told] = [event.message for event in training.events if isinstance(event, Recovered)]
    assert told.endswith("Training goes on from the state saved at the end of pass 2.")


def test_memory_that_stays_short_ends_the_run_without_blaming_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Trainer
) -> None:
    training = TinyTraining(tmp_path)
    with monkeypatch.context() as patched:
        let_fail(patched, PLACES["a few predictions"], times=99)
        trainer = training.begin()
        with pytest.raises(RunError, match="memory ran short") as caught:
            trainer.train()
    assert "single image" not in caught.value.message
    assert "Close other programs" in caught.value.remedy and "continue" in caught.value.remedy
    again = training.begin()
    again.resume()
    again.train()
    assert_same(whole, again)


def test_a_step_that_fails_with_one_image_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = TinyTraining(tmp_path, tiny_config()).begin()
    monkeypatch.setattr(trainer.method, "loss", Failing(trainer.method.loss, times=99))
    with pytest.raises(RunError, match="single image of 32 px"):
        trainer.train()


def test_an_item_that_fails_alone_is_told_from_other_shortage() -> None:
    def work(start: int, stop: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(SingleItemError):
        in_parts(3, 2, work)


@pytest.mark.parametrize(
    "place",
    [(run_network, "build_network"), (FullFinetune, "prepare")],
    ids=["building", "preparing"],
)
def test_memory_that_runs_short_before_the_first_step_is_waited_for_once_with_the_same_bits(
    study: Path, untouched: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    let_fail(monkeypatch, place, times=1)
    finished, events = train(study, fault_config())
    assert finished.outcome == COMPLETED, finished.error
    told = [event.message for event in events if isinstance(event, Recovered)]
    assert told == ["Memory ran short while the training was prepared; that was done again."]
    assert kept_bytes(study, finished.run) == untouched


def test_memory_that_stays_short_before_the_first_step_is_a_sentence(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_fail(monkeypatch, (run_network, "build_network"), times=2)
    finished, _ = train(study, fault_config())
    assert finished.outcome == FAILED
    assert "emory" in (finished.error or "") and finished.remedy
