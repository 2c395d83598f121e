"""A pre-training that was cut off goes on with the bits of one that wasn't."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.contract.control import Control, JobCanceled
from engine.contract.events import Event, Warned
from engine.hardware import Runtime
from engine.models.registry import build_network
from engine.trainer.checkpoint import load_state
from engine.trainer.pretrain_state import Pretrained
from engine.trainer.pretrain_task import Task, n_outputs
from engine.trainer.pretraining import Pretrainer, PretrainProgress
from tests.engine.test_pretraining import make_findings_task, make_task, settings

N_PASSES = 2


class KilledError(BaseException):
    """Ends a training without giving it a chance to save."""


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return [make_task(2, (6, 4)), make_findings_task(8)]


def begin(
    tasks: list[Task],
    folder: Path | None,
    on_progress: Callable[[PretrainProgress], None] = lambda progress: None,
    control: Control | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Pretrainer:
    config = settings(max_epochs=N_PASSES)
    network = build_network(config.backbone.key, n_outputs(tasks), features="last")
    return Pretrainer(
        network,
        tasks,
        config,
        Runtime(),
        control or Control(),
        on_progress,
        folder=folder,
        emit=on_event,
    )


@pytest.fixture(scope="module")
def whole(tasks: list[Task]) -> tuple[Pretrained, int]:
    """Return what an uninterrupted training that saves nothing gives, and its updates."""
    steps: list[PretrainProgress] = []
    return begin(tasks, None, steps.append).train(), len(steps)


def assert_same(one: Pretrained, other: Pretrained) -> None:
    assert one.body.keys() == other.body.keys()
    assert [n for n in one.body if not torch.equal(one.body[n], other.body[n])] == []
    assert (one.val_aurocs, one.epochs, one.best_epoch) == (
        other.val_aurocs,
        other.epochs,
        other.best_epoch,
    )


def kill_at(step: int) -> Callable[[PretrainProgress], None]:
    def kill(progress: PretrainProgress) -> None:
        if progress.step == step:
            raise KilledError

    return kill


def test_one_that_is_interrupted_after_every_batch_gives_the_same_bits(tmp_path, tasks, whole):
    expected, n_steps = whole
    steps: list[int] = []
    for _ in range(n_steps + 1):
        control = Control()

        def interrupt(progress: PretrainProgress, control: Control = control) -> None:
            steps.append(progress.step)
            control.interrupt()

        # The process and its random numbers are those of another job by now.
        torch.manual_seed(len(steps) + 99)
        np.random.seed(len(steps) + 99)
        try:
            found = begin(tasks, tmp_path, interrupt, control).train()
        except JobCanceled:
            continue
        assert_same(expected, found)
        assert steps == list(range(1, n_steps + 1))
        return
    pytest.fail("it never came to its end")


def test_one_that_was_killed_goes_on_from_its_last_pass(tmp_path, tasks, whole):
    expected, n_steps = whole
    in_pass_2 = n_steps // N_PASSES + 2
    with pytest.raises(KilledError):
        begin(tasks, tmp_path, kill_at(in_pass_2)).train()
    steps: list[int] = []
    found = begin(tasks, tmp_path, lambda progress: steps.append(progress.step)).train()
    assert steps == list(range(n_steps // N_PASSES + 1, n_steps + 1))
    assert_same(expected, found)
    assert found.seconds_before > 0


def test_one_that_is_killed_while_it_validates_has_lost_no_batch_if_it_was_interrupted(
    tmp_path, tasks, whole, monkeypatch
):
    expected, n_steps = whole
    control = Control()
    trainer = begin(tasks, tmp_path, control=control)
    validate = trainer._logits

    def interrupted(task: Task) -> Any:
        control.interrupt()
        return validate(task)

    monkeypatch.setattr(trainer, "_logits", interrupted)
    with pytest.raises(JobCanceled):
        trainer.train()
    steps: list[int] = []
    found = begin(tasks, tmp_path, lambda progress: steps.append(progress.step)).train()
    assert steps[0] == n_steps // N_PASSES + 1
    assert_same(expected, found)


def test_a_pause_saves_where_it_is(tmp_path, tasks):
    control, seen = Control(), []

    def pause(progress: PretrainProgress) -> None:
        if progress.step == 2:
            control.pause()

    def look(seconds: float | None = None) -> bool:
        state, _, _ = load_state(tmp_path / "checkpoints")
        seen.append((state.epoch, state.batch))
        control.cancel()
        return True

    control._condition.wait_for = lambda *_: look()  # type: ignore[method-assign, assignment]
    with pytest.raises(JobCanceled):
        begin(tasks, tmp_path, pause, control).train()
    assert seen == [(1, 2)]


def test_a_damaged_state_gives_way_to_the_one_before_and_says_so(tmp_path, tasks, whole):
    expected, n_steps = whole
    with pytest.raises(KilledError):
        begin(tasks, tmp_path, kill_at(n_steps // N_PASSES + 1)).train()
    tear(tmp_path / "checkpoints" / "last" / "state.safetensors")
    events: list[Event] = []
    steps: list[int] = []
    found = begin(
        tasks, tmp_path, lambda progress: steps.append(progress.step), on_event=events.append
    ).train()
    assert steps[0] == 1  # the state before is that of the beginning
    assert [type(event) for event in events] == [Warned]
    assert_same(expected, found)


def test_with_both_states_damaged_it_begins_anew_and_says_so(tmp_path, tasks, whole):
    expected, n_steps = whole
    with pytest.raises(KilledError):
        begin(tasks, tmp_path, kill_at(n_steps // N_PASSES + 1)).train()
    for name in ("last", "previous"):
        tear(tmp_path / "checkpoints" / name / "state.safetensors")
    events: list[Event] = []
    found = begin(tasks, tmp_path, on_event=events.append).train()
    [warned] = events
    assert isinstance(warned, Warned)
    assert "begins anew" in warned.message
    assert_same(expected, found)


def tear(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
