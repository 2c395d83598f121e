"""The weights of the best pass, damaged on the disk: noticed in time, made again, or replaced."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import engine.trainer.loop
from engine.contract.control import Control, JobCanceled
from engine.contract.events import EpochFinished, Event, Recovered, RunPaused, RunResumed
from engine.trainer.best_weights import Best, best_facts, load_best
from engine.trainer.checkpoint import load_state
from engine.trainer.going_back import GoBackError
from engine.trainer.loop import Trainer
from tests.engine.test_kept_best import scripted
from tests.helpers.tiny_training import TinyTraining, tiny_config

FOUR = replace(tiny_config(), method=replace(tiny_config().method, max_epochs=4, patience=9))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit of the weights": lambda best: flip(best / "weights.safetensors"),
    "the weights are cut short": lambda best: (best / "weights.safetensors").write_bytes(b"\x08"),
    "the weights are gone": lambda best: (best / "weights.safetensors").unlink(),
    "the facts are torn": lambda best: (best / "facts.json").write_bytes(b'{"epoch": 1, "va'),
    "the facts are gone": lambda best: (best / "facts.json").unlink(),
    "another epoch": lambda best: change(best / "facts.json", '"epoch": ', '"epoch": 9'),
    "a name in the facts": lambda best: change(best / "facts.json", '"epoch"', '"epoci"'),
    "the name of the digest": lambda best: change(best / "facts.json", '"sha256"', '"sha257"'),
    "all of it is gone": shutil.rmtree,
}


def interrupted_in(training: TinyTraining, epoch: int) -> None:
    """Train until a pass is reported, and leave the run in the one after it."""
    control = Control()
    trainer = training.begin(control)

    def listen(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.epoch == epoch:
            control.interrupt()

    trainer.emit = listen
    with pytest.raises(JobCanceled):
        trainer.train()


def gone_on(training: TinyTraining) -> tuple[Trainer, list[str]]:
    """Go on with an interrupted training; return it, and what it told."""
    training.events.clear()
    again = training.begin()
    again.resume()
    again.train()
    return again, [event.message for event in training.events if isinstance(event, Recovered)]


def assert_kept(trainer: Trainer, folder: Path, *, epoch: int) -> None:
    facts = best_facts(folder / "checkpoints")
    load_best(folder / "checkpoints")
    assert (facts["epoch"], facts["val_auroc"]) == (epoch, trainer.state.best_auroc)
    assert trainer.state.best_epoch == epoch
    assert [row.epoch for row in trainer.state.history] == [1, 2, 3, 4]


def assert_same(one: Best, other: Best) -> None:
    assert one.tensors.keys() == other.tensors.keys()
    assert all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())
    assert (one.features, one.mean, one.std) == (other.features, other.mean, other.std)


@pytest.mark.parametrize("damage", DAMAGES)
def test_weights_of_a_pass_whose_end_is_saved_are_made_again_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    scripted(monkeypatch, 0.6, 0.9)
    training = TinyTraining(tmp_path, FOUR)
    interrupted_in(training, 2)
    sound = load_best(tmp_path / "checkpoints")
    DAMAGES[damage](tmp_path / "checkpoints" / "best")
    scripted(monkeypatch, 0.9, 0.7, 0.8)  # first of the weights that are made again
    trainer, told = gone_on(training)
    assert_kept(trainer, tmp_path, epoch=2)
    assert_same(sound, load_best(tmp_path / "checkpoints"))
    assert len(told) == 1
    assert "pass 2" in told[0] and "made again" in told[0]


@pytest.mark.parametrize("damage", ["a bit of the weights", "the facts are torn"])
def test_where_they_can_not_be_made_again_the_best_of_what_is_saved_takes_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    scripted(monkeypatch, 0.9, 0.6)
    training = TinyTraining(tmp_path, FOUR)
    interrupted_in(training, 2)
    DAMAGES[damage](tmp_path / "checkpoints" / "best")
    scripted(monkeypatch, 0.6, 0.7, 0.65)
    trainer, told = gone_on(training)
    assert_kept(trainer, tmp_path, epoch=3)
    assert len(told) == 1
    assert "pass 1" in told[0] and "Pass 2" in told[0]


def test_where_no_end_of_a_pass_is_saved_the_next_validation_gives_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, 0.9, 0.8)
    config = replace(FOUR, method=replace(FOUR.method, patience=1))
    training = TinyTraining(tmp_path, config)
    interrupted_in(training, 1)
    shutil.rmtree(tmp_path / "checkpoints" / "previous")
    shutil.rmtree(tmp_path / "checkpoints" / "best")
    scripted(monkeypatch, 0.6, 0.7, 0.8)
    trainer, told = gone_on(training)
    assert_kept(trainer, tmp_path, epoch=4)
    assert len(told) == 1 and "next pass" in told[0]


def test_weights_that_are_damaged_by_the_end_are_made_again_before_the_run_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, 0.6, 0.7, 0.8, 0.9, 0.9)
    training = TinyTraining(tmp_path, FOUR)
    trainer = training.begin()
    sound: list[Best] = []

    def listen(event: Event) -> None:
        training.events.append(event)
        if isinstance(event, EpochFinished) and event.epoch == 4:
            sound.append(load_best(tmp_path / "checkpoints"))
            flip(tmp_path / "checkpoints" / "best" / "weights.safetensors")

    trainer.emit = listen
    trainer.train()
    before = {name: t.clone() for name, t in trainer.updater.tensors().items()}
    assert_kept(trainer, tmp_path, epoch=4)
    assert_same(sound[0], load_best(tmp_path / "checkpoints"))
    scripted(monkeypatch, 0.6, 0.7, 0.8, 0.9)
    whole = TinyTraining(tmp_path / "whole", FOUR).begin()
    whole.train()
    assert all(torch.equal(t, before[name]) for name, t in whole.updater.tensors().items())


def test_going_back_makes_lost_weights_again_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, 0.9, 0.9, *[0.5] * 9)
    training = TinyTraining(tmp_path, FOUR)
    trainer = training.begin()
    tell, wrong = trainer._watcher.batch, iter([False] * 2 + [True] + [False] * 99)

    def watch(*arguments: Any) -> None:
        if next(wrong):
            shutil.rmtree(tmp_path / "checkpoints" / "best")
            raise GoBackError(is_numeric=True)
        tell(*arguments)

    monkeypatch.setattr(trainer._watcher, "batch", watch)
    trainer.train()
    assert_kept(trainer, tmp_path, epoch=1)


def losing_and_pausing(
    trainer: Trainer, training: TinyTraining, monkeypatch: pytest.MonkeyPatch, copy: Path
) -> Callable[[], None]:
    """Return what loses the best weights, and pauses the validation of those made again.

    In the pause, the run's folder is copied.
    """
    control, best = trainer.control, training.folder / "checkpoints" / "best"

    def listen(event: Event) -> None:
        training.events.append(event)
        if isinstance(event, RunPaused):
            shutil.copytree(training.folder, copy)
            control.proceed()

    real = vars(engine.trainer.loop)["validate"]

    def look(*arguments: Any, **named: Any) -> Any:
        control.pause()
        monkeypatch.setattr(engine.trainer.loop, "validate", real)
        return real(*arguments, **named)

    def lose() -> None:
        shutil.rmtree(best)
        monkeypatch.setattr(engine.trainer.loop, "validate", look)

    trainer.emit = listen
    return lose


def assert_facts_and_weights_belong_together(folder: Path, truth: Path) -> None:
    """Check that a saved state has the weights of a training that ended with it undisturbed."""
    state, tensors, _ = load_state(folder / "checkpoints")
    expected, sound, _ = load_state(truth / "checkpoints")
    assert [row.epoch for row in state.history] == [row.epoch for row in expected.history]
    assert (state.epoch, state.batch) == (expected.epoch, expected.batch)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in sound.items())


def test_a_pause_while_weights_are_made_again_at_the_end_saves_no_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = replace(FOUR, method=replace(FOUR.method, max_epochs=2))
    scripted(monkeypatch, 0.9, 0.6)
    TinyTraining(tmp_path / "truth", two).begin().train()
    scripted(monkeypatch, 0.9, 0.6, 0.9)
    training = TinyTraining(tmp_path / "run", two)
    trainer = training.begin()
    once = [losing_and_pausing(trainer, training, monkeypatch, tmp_path / "killed")]
    save = trainer._saver.save

    def save_and_lose(state: Any, tensors: Any) -> None:
        save(state, tensors)
        if state.epoch == 3 and once:
            once.pop()()

    monkeypatch.setattr(trainer._saver, "save", save_and_lose)
    trainer.train()
    told = [type(event) for event in training.events if isinstance(event, RunPaused | RunResumed)]
    assert told == [RunPaused, RunResumed]
    facts = best_facts(training.folder / "checkpoints")
    assert (facts["epoch"], trainer.state.best_epoch) == (1, 1)
    assert_facts_and_weights_belong_together(tmp_path / "killed", tmp_path / "truth")


def test_a_pause_while_weights_are_made_again_in_going_back_saves_no_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, 0.9, 0.6, 0.9, *[0.5] * 9)
    training = TinyTraining(tmp_path / "run", FOUR)
    trainer = training.begin()
    lose = losing_and_pausing(trainer, training, monkeypatch, tmp_path / "killed")
    tell, wrong = trainer._watcher.batch, iter([False] * 5 + [True] + [False] * 99)

    def watch(*arguments: Any) -> None:
        if next(wrong):
            shutil.copytree(training.folder, tmp_path / "truth")
            lose()
            raise GoBackError(is_numeric=True)
        tell(*arguments)

    monkeypatch.setattr(trainer._watcher, "batch", watch)
    trainer.train()
    assert sum(isinstance(event, RunPaused) for event in training.events) == 1
    assert_kept(trainer, training.folder, epoch=1)
    assert_facts_and_weights_belong_together(tmp_path / "killed", tmp_path / "truth")


def test_facts_of_a_version_that_signed_nothing_are_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, 0.9, 0.6)
    training = TinyTraining(tmp_path, FOUR)
    interrupted_in(training, 2)
    path = tmp_path / "checkpoints" / "best" / "facts.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    older = {name: facts[name] for name in ("epoch", "val_auroc", "method_facts", "features")}
    path.write_text(json.dumps(older), encoding="utf-8")
    scripted(monkeypatch, 0.7, 0.65)
    trainer, told = gone_on(training)
    assert_kept(trainer, tmp_path, epoch=1)
    assert told == []
