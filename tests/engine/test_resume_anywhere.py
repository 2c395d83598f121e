"""A training that is cut off after every single batch ends with the bits of one that isn't."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import engine.trainer.saving
from engine.contract.config import ExperimentConfig
from engine.contract.control import Control, JobCanceled
from engine.contract.events import BatchFinished, EpochFinished, Event
from engine.trainer.checkpoint import load_state, save_state
from engine.trainer.loop import Trainer
from tests.helpers.tiny_training import TinyTraining, all_of, tiny_config


def sampled(config: ExperimentConfig) -> ExperimentConfig:
    return replace(config, loss=replace(config.loss, imbalance="sampling"))


def adapting(config: ExperimentConfig) -> ExperimentConfig:
    return replace(config, method=replace(config.method, batch_norm="adapt"))


CASES = {
    "full fine-tuning with adapting batch norms": (
        adapting(tiny_config(is_pretrained=True)),
        "fp32",
    ),
    "full fine-tuning in bfloat16": (tiny_config(is_pretrained=True), "bf16"),
    "soft threshold": (tiny_config("soft_threshold", is_pretrained=True), "fp32"),
    "gradual unfreezing with balanced sampling and no average": (
        sampled(tiny_config("gradual_unfreezing", is_pretrained=True, ema_decay=0.0)),
        "bf16",
    ),
    "LoRA": (tiny_config("lora", is_pretrained=True), "fp32"),
    "adversarial": (tiny_config("adversarial"), "bf16"),
}


class InterruptEachBatch(TinyTraining):
    """Interrupts a training after the first batch that it reports."""

    def interrupted(self, *, is_first: bool) -> tuple[Trainer, bool]:
        control = Control()
        trainer = self.begin(control)

        def listen(event: Event) -> None:
            self.events.append(event)
            if isinstance(event, BatchFinished):
                control.interrupt()

        trainer.emit = listen
        if not is_first:
            trainer.resume()
        try:
            trainer.train()
        except JobCanceled:
            return trainer, False
        return trainer, True


def run_through(training: TinyTraining) -> Trainer:
    trainer = training.begin()
    trainer.train()
    return trainer


def assert_same(one: Trainer, other: Trainer) -> None:
    expected, found = all_of(one), all_of(other)
    assert expected.keys() == found.keys()
    differing = [n for n in expected if not torch.equal(expected[n], found[n])]
    assert differing == []


@pytest.mark.parametrize("name", CASES)
def test_a_run_that_is_resumed_after_every_batch_gives_the_same_bits(
    tmp_path: Path, name: str
) -> None:
    config, precision = CASES[name]
    whole = run_through(TinyTraining(tmp_path / "whole", config, precision))
    training = InterruptEachBatch(tmp_path / "parts", config, precision)
    trainer, is_done = training.interrupted(is_first=True)
    n_parts = 1
    while not is_done:
        trainer, is_done = training.interrupted(is_first=False)
        n_parts += 1
    assert n_parts == 5  # two passes of two batches, and a last part that only validates
    assert_same(whole, trainer)
    assert [(row.train_loss, row.val_loss) for row in trainer.state.history] == [
        (row.train_loss, row.val_loss) for row in whole.state.history
    ]
    assert trainer.state.best_epoch == whole.state.best_epoch
    steps = [event.step for event in training.events if isinstance(event, BatchFinished)]
    assert steps == [1, 2, 3, 4]


def test_a_long_pass_is_saved_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.trainer.saving, "_EVERY_S", 0.0)
    monkeypatch.setattr(engine.trainer.saving, "_SHARE", 0.0)
    saved: list[tuple[int, int]] = []
    training = TinyTraining(tmp_path)
    trainer = training.begin()

    def look(event: Event) -> None:
        if isinstance(event, BatchFinished):
            state, _, _ = load_state(tmp_path / "checkpoints")
            saved.append((state.epoch, state.batch))

    trainer.emit = look
    trainer.train()
    # Before each report lies the state of the batch before it; after a pass that of its end.
    assert saved == [(1, 0), (1, 1), (2, 0), (2, 1)]


def test_a_killed_run_goes_on_from_within_a_pass_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_through(TinyTraining(tmp_path / "whole"))
    monkeypatch.setattr(engine.trainer.saving, "_EVERY_S", 0.0)
    monkeypatch.setattr(engine.trainer.saving, "_SHARE", 0.0)

    class Killed(BaseException):
        pass

    def kill(event: Event) -> None:
        if isinstance(event, BatchFinished) and event.step == 4:
            raise Killed

    training = TinyTraining(tmp_path / "killed")
    trainer = training.begin()
    trainer.emit = kill
    with pytest.raises(Killed):
        trainer.train()
    again = training.begin()
    again.resume()
    assert (again.state.epoch, again.state.batch, again.state.step) == (2, 1, 3)
    again.train()
    assert_same(whole, again)


def test_saving_never_takes_more_than_a_small_share_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.trainer.saving, "_EVERY_S", 0.0)
    monkeypatch.setattr(engine.trainer.saving, "_SHARE", 1e9)
    n_saved = 0

    def count(*arguments: Any) -> None:
        nonlocal n_saved
        n_saved += 1
        save_state(*arguments)

    monkeypatch.setattr(engine.trainer.saving, "save_state", count)
    training = TinyTraining(tmp_path)
    training.begin().train()
    n_epochs = sum(isinstance(event, EpochFinished) for event in training.events)
    assert n_saved == 1 + n_epochs
