"""Passes made only to estimate the time left: they fit beside the training, or aren't made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.contract.events import BatchFinished, Recovered
from engine.trainer import epoch_costs, look_time, time_left
from engine.trainer.loop import Trainer
from tests.engine.test_out_of_memory import CUDA
from tests.engine.test_resume_anywhere import assert_same, run_through
from tests.helpers.tiny_training import TinyTraining, tiny_config

GRADUAL = tiny_config("gradual_unfreezing", is_pretrained=True, max_epochs=3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A training that had memory all the time."""
    return run_through(TinyTraining(tmp_path_factory.mktemp("whole"), GRADUAL))


def first_stage(monkeypatch: pytest.MonkeyPatch, act: Callable[[Tensor], None]) -> None:
    """Do something with the images whenever the layers of a network are timed."""
    real = epoch_costs._timed_pass

    def timed(network: Any, x: Tensor) -> list[float]:
        act(x)
        return real(network, x)

    monkeypatch.setattr(epoch_costs, "_timed_pass", timed)


def test_layers_are_timed_with_no_more_images_than_are_learned_from_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: set[int] = set()
    first_stage(monkeypatch, lambda x: numbers.add(len(x)))
    monkeypatch.setattr("engine.trainer.fitting.find_micro_batch", lambda *_: 2)
    trainer = run_through(TinyTraining(tmp_path, GRADUAL))
    assert numbers == {2}
    assert len(set(trainer._progress.left.costs)) > 1


@pytest.mark.parametrize("error", [CUDA, MemoryError()], ids=["of a device", "of the computer"])
def test_where_memory_is_short_for_timing_layers_the_run_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Trainer, error: Exception
) -> None:
    def fail(x: Tensor) -> None:
        raise error

    first_stage(monkeypatch, fail)
    training = TinyTraining(tmp_path, GRADUAL)
    trainer = run_through(training)
    assert_same(whole, trainer)
    assert trainer._progress.left.costs == ()
    assert not [event for event in training.events if isinstance(event, Recovered)]


def test_another_failure_of_timing_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(x: Tensor) -> None:
        raise RuntimeError("a bug")

    first_stage(monkeypatch, fail)
    with pytest.raises(RuntimeError, match="a bug"):
        TinyTraining(tmp_path, GRADUAL).begin().train()


def test_where_not_even_one_image_can_be_looked_at_the_run_goes_on_without_asking_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(tiny_config(batch_size=2), seed=1)
    whole = run_through(TinyTraining(tmp_path / "whole", config))
    monkeypatch.setattr(time_left, "_PIECE_S", 0.0)  # the speed is known after two batches
    looks: list[int] = []

    def fail(*arguments: Any) -> None:
        looks.append(1)
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(look_time, "predict_probabilities", fail)
    training = TinyTraining(tmp_path / "short", config)
    assert_same(whole, run_through(training))
    assert len(looks) == 1
    assert not [event for event in training.events if isinstance(event, Recovered)]
    batches = [event for event in training.events if isinstance(event, BatchFinished)]
    assert all((event.seconds_left or 0) > 0 for event in batches[1:-1])
