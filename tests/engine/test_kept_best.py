"""The best epoch that a run reports is the one whose weights it kept, whatever came between."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save

import engine.trainer.checkpoint_folder
import engine.trainer.full_disk
import engine.trainer.loop
import engine.trainer.saving
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import StorageError
from engine.contract.events import BatchFinished, EpochFinished, Event, RunPaused, RunResumed
from engine.trainer.best_weights import save_best
from engine.trainer.checkpoint import load_state
from engine.trainer.going_back import GoBackError
from engine.trainer.loop import Trainer
from engine.trainer.steps import Validation, validate
from engine.trainer.time_left import TimeLeft
from tests.engine.test_resume_anywhere import assert_same, run_through
from tests.helpers.tiny_training import TinyTraining, tiny_config

FOUR = replace(tiny_config(), method=replace(tiny_config().method, max_epochs=4, patience=9))


def kept(folder: Path) -> dict[str, Any]:
    text = (folder / "checkpoints" / "best" / "facts.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def scripted(monkeypatch: pytest.MonkeyPatch, *aurocs: float) -> None:
    """Let validation say these, one after the other."""
    left = iter(aurocs)

    def say(*arguments: Any, **named: Any) -> Validation:
        return replace(validate(*arguments, **named), auroc=next(left))

    monkeypatch.setattr(engine.trainer.loop, "validate", say)


@pytest.mark.parametrize("n_epochs", [1, 2])
def test_a_best_that_could_not_be_written_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_epochs: int
) -> None:
    config = replace(FOUR, method=replace(FOUR.method, max_epochs=n_epochs))
    scripted(monkeypatch, *(0.5 + 0.1 * k for k in range(9)))
    whole = run_through(TinyTraining(tmp_path / "whole", config))
    training = TinyTraining(tmp_path / "cut", config)

    def refuse(checkpoints: Path, network: Any, facts: dict[str, Any]) -> None:
        if facts["epoch"] == n_epochs:
            raise StorageError("Another program has the folder open.", remedy="Close it.")
        save_best(checkpoints, network, facts)

    monkeypatch.setattr(engine.trainer.saving, "save_best", refuse)
    scripted(monkeypatch, *(0.5 + 0.1 * k for k in range(9)))
    control = Control()
    trainer = training.begin(control)
    trainer.emit = lambda event: control.interrupt() if isinstance(event, RunPaused) else None
    with pytest.raises(JobCanceled):
        trainer.train()
    monkeypatch.setattr(engine.trainer.saving, "save_best", save_best)
    again = training.begin()
    again.resume()
    assert again.state.best_epoch == n_epochs - 1
    scripted(monkeypatch, *(0.5 + 0.1 * k for k in range(n_epochs - 1, 9)))
    again.train()
    assert again.state.best_epoch == kept(training.folder)["epoch"] == n_epochs
    assert_same(whole, again)


def test_a_best_from_after_the_state_that_training_goes_back_to_stays_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, 0.6, 0.7, 0.8, 0.7, 0.7, 0.7)
    training = TinyTraining(tmp_path, FOUR)
    trainer = training.begin()
    tell, wrong = trainer._watcher.batch, iter([False] * 6 + [True] * 2 + [False] * 99)

    def watch(*arguments: Any) -> None:
        if next(wrong):
            raise GoBackError(is_numeric=True)
        tell(*arguments)

    monkeypatch.setattr(trainer._watcher, "batch", watch)
    trainer.train()
    facts = kept(tmp_path)
    assert (facts["epoch"], facts["val_auroc"]) == (3, 0.8)
    assert (trainer.state.best_epoch, trainer.state.best_auroc) == (3, 0.8)


def test_going_back_to_a_state_of_an_earlier_version_keeps_what_was_learned_of_the_run_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = TinyTraining(tmp_path)
    interrupted_after(training, 1)
    trainer = training.begin()
    trainer.config_digest = "of a changed program"
    trainer.resume(anyway=True)
    assert trainer.state.recipe == {}
    trainer.state.recipe = {"run": "run"}
    tell, wrong = trainer._watcher.batch, iter([True] + [False] * 99)

    def watch(*arguments: Any) -> None:
        if next(wrong):
            raise GoBackError(is_numeric=True)
        tell(*arguments)

    monkeypatch.setattr(trainer._watcher, "batch", watch)
    trainer.train()
    state = load_state(tmp_path / "checkpoints")[0]
    assert (state.recipe, state.config_digest) == ({"run": "run"}, "of a changed program")


def test_memory_that_runs_short_while_saving_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_through(TinyTraining(tmp_path / "whole"))
    left = iter([0, 1, 0, 0, 1])

    def short(tensors: Any) -> bytes:
        if next(left, 0):
            raise MemoryError
        return save(tensors)

    monkeypatch.setattr(engine.trainer.checkpoint_folder, "save", short)
    monkeypatch.setattr(engine.trainer.full_disk, "_TRY_AGAIN_S", 0.01)
    training = TinyTraining(tmp_path / "short")
    assert_same(whole, run_through(training))
    paused = [event.reason for event in training.events if isinstance(event, RunPaused)]
    assert len(paused) == sum(isinstance(event, RunResumed) for event in training.events) == 2
    assert all("Memory ran short" in reason for reason in paused)


def interrupted_after(training: TinyTraining, step: int) -> Trainer:
    control = Control()
    trainer = training.begin(control)

    def listen(event: Event) -> None:
        if isinstance(event, BatchFinished) and event.step == step:
            control.interrupt()

    trainer.emit = listen
    with pytest.raises(JobCanceled):
        trainer.train()
    return trainer


def test_the_time_of_all_parts_is_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(Trainer, "_clock", lambda self: now[0])
    training = TinyTraining(tmp_path)
    control = Control()
    trainer = training.begin(control)

    def listen(event: Event) -> None:
        if isinstance(event, BatchFinished):
            now[0] += 10.0
            control.interrupt()

    trainer.emit = listen
    with pytest.raises(JobCanceled):
        trainer.train()
    assert load_state(tmp_path / "checkpoints")[0].seconds == 10.0
    now[0] = 5000.0
    again = training.begin()
    again.resume()
    again.emit = lambda event: now.__setitem__(0, now[0] + 1.0)
    again.train()
    n_events = 3 + 2  # three updates, two passes; the last pass is told after the last saving
    assert again.state.seconds == 10.0 + n_events - 1


class KilledError(BaseException):
    """Nothing of the program gets to do anything after it."""


def test_a_best_two_passes_after_the_state_that_is_left_lets_the_run_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between best and state, and then a newest state that is damaged."""
    scripted(monkeypatch, 0.6, 0.7, 0.8, 0.7, 0.8, 0.75)
    training = TinyTraining(tmp_path, FOUR)
    trainer = training.begin()
    save, n_states = trainer._saver.save, iter(range(9))

    def save_or_die(*arguments: Any) -> None:
        if next(n_states) == 3:  # that of the third pass
            raise KilledError
        save(*arguments)

    monkeypatch.setattr(trainer._saver, "save", save_or_die)
    with pytest.raises(KilledError):
        trainer.train()
    (tmp_path / "checkpoints" / "last" / "state.json").write_text("{}", encoding="utf-8")
    again = training.begin()
    again.resume()
    assert (again.state.epoch, again.state.best_epoch) == (2, 3)
    again.train()
    assert again.state.best_epoch == kept(tmp_path)["epoch"] == 3
    told = [event for event in training.events if isinstance(event, EpochFinished)][2:]
    assert [event.epoch for event in told] == [2, 3, 4]
    assert "made again" in told[0].comment and "Epoch 3 is the best" in told[0].comment


def rows_of(folder: Path) -> list[str]:
    text = (folder / "history.csv").read_text(encoding="utf-8")
    return [line.split(",")[0] for line in text.splitlines()[1:]]


@pytest.mark.parametrize("n_saved", [1, 2, 3], ids=["beginning", "first pass", "last pass"])
@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
def test_a_kill_around_a_saving_loses_no_pass_from_the_history_and_from_what_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_saved: int, is_before: bool
) -> None:
    training = TinyTraining(tmp_path)
    trainer = training.begin()
    save, left = trainer._saver.save, iter(range(1, 9))

    def save_and_die(*arguments: Any) -> None:
        is_last = next(left) == n_saved
        if not (is_last and is_before):
            save(*arguments)
        if is_last:
            raise KilledError

    monkeypatch.setattr(trainer._saver, "save", save_and_die)
    with pytest.raises(KilledError):
        trainer.train()
    again = training.begin()
    if n_saved > 1 or not is_before:  # else there is nothing to go on from
        again.resume()
    again.train()
    assert rows_of(tmp_path) == ["1", "2"]
    told = [event for event in training.events if isinstance(event, EpochFinished)]
    assert sorted({event.epoch for event in told}) == [1, 2]
    assert len(told) == 2
    assert [event.is_best for event in told] == [e.epoch == e.best_epoch for e in told]


def test_a_history_that_lacks_the_last_row_gets_it_when_the_run_is_taken_up(
    tmp_path: Path,
) -> None:
    training = TinyTraining(tmp_path)
    run_through(training)
    whole = (tmp_path / "history.csv").read_text(encoding="utf-8")
    shorter = "".join(whole.splitlines(keepends=True)[:-1])
    (tmp_path / "history.csv").write_text(shorter, encoding="utf-8")
    training.begin().resume()
    assert (tmp_path / "history.csv").read_text(encoding="utf-8") == whole
    first, last, again = (event for event in training.events if isinstance(event, EpochFinished))
    assert replace(again, samples=last.samples, comment=last.comment) == last != first


def test_a_run_that_goes_on_where_less_fits_computes_smaller_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = TinyTraining(tmp_path)
    before = interrupted_after(training, 1).state.micro_batch
    monkeypatch.setattr(engine.trainer.fitting, "find_micro_batch", lambda *_: before // 2)
    again = training.begin()
    again.resume()
    again.train()
    assert again.state.micro_batch == before // 2
    monkeypatch.setattr(engine.trainer.fitting, "find_micro_batch", lambda *_: before * 2)
    last = training.begin()
    last.resume()
    last.train()
    assert last.state.micro_batch == before // 2  # kept while it fits: the order of the sum stays


def test_a_long_look_at_the_end_of_a_pass_begins_with_a_saved_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TimeLeft, "end_s", 3600.0)
    seen = []

    def look(*arguments: Any, **named: Any) -> Validation:
        state, _, _ = load_state(tmp_path / "checkpoints")
        seen.append((state.epoch, state.batch))
        return validate(*arguments, **named)

    monkeypatch.setattr(engine.trainer.loop, "validate", look)
    training = TinyTraining(tmp_path)
    run_through(training)
    assert seen == [(1, 2), (2, 2)]
    assert sum(isinstance(event, EpochFinished) for event in training.events) == 2
