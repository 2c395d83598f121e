"""Numbers that go wrong, and the one sentence that each kind of trouble is worth."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.contract.config import LossConfig
from engine.contract.errors import RunError
from engine.contract.events import BatchFinished, EpochFinished, Event, Recovered, Warned
from engine.methods.guessing import guesses, guessing_loss
from engine.methods.method import TrainingData
from engine.trainer.checkpoint import TrainingState, load_state
from engine.trainer.going_back import state_before_wrong
from engine.trainer.health import (
    Health,
    count_undecided,
    count_unpredicted,
    dead_class_advice,
    dead_finding_advice,
    is_exploding,
    learning_advice,
    must_go_back,
)
from engine.trainer.history import EpochRow
from engine.trainer.loop import Trainer
from engine.trainer.losses import training_loss
from engine.trainer.watch import Watcher
from tests.helpers.tiny_training import TinyTraining, all_of, make_table, tiny_config


def test_three_wrong_updates_in_a_row_are_too_many_unless_gradients_are_scaled() -> None:
    assert [must_go_back(n, is_scaled=False) for n in (1, 2, 3)] == [False, False, True]
    assert not must_go_back(16, is_scaled=True)  # 65536 halved to 1: the scale may just have fitted
    assert must_go_back(20, is_scaled=True)


def test_a_loss_explodes_when_it_stays_far_above_its_median_and_above_guessing() -> None:
    calm = [0.5 + 0.1 * math.sin(k) for k in range(40)]
    assert not is_exploding(calm, guessing=0.69)
    assert not is_exploding([*calm, 9.0], guessing=0.69)  # one batch says nothing
    assert is_exploding([*calm, 9.0, 8.0, 7.0, 9.0, 9.0], guessing=0.69)
    assert not is_exploding([*calm[:10], 9.0, 9.0, 9.0, 9.0, 9.0], guessing=0.69)  # too early
    learned = [0.01 * k for k in calm]
    assert not is_exploding([*learned, 0.1, 0.1, 0.1, 0.1, 0.1], guessing=0.69)


def test_a_class_is_dead_after_three_passes_without_a_prediction() -> None:
    never_c = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])
    with_c = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    counts: list[int] = []
    for probabilities in (never_c, never_c, with_c, never_c, never_c, never_c):
        assert dead_class_advice(counts or [0, 0, 0], ("a", "b", "c")) is None
        counts = count_unpredicted(counts, probabilities)
    assert counts == [0, 0, 3]
    advice = dead_class_advice(counts, ("a", "b", "c"))
    assert advice is not None
    assert "“c”" in advice.message and "“a”" not in advice.message


def test_a_finding_is_dead_after_three_passes_that_tell_nothing_of_it() -> None:
    """One answer in an order of chance; one in the right order; two answers; one mostly unknown."""
    labels = np.array([[0, 0, 0, -1], [1, 1, 1, 0], [0, 0, 0, -1], [1, 1, 1, 1]])
    probabilities = np.array(
        [[0.2, 0.01, 0.6, 0.9], [0.1, 0.2, 0.1, 0.6], [0.1, 0.02, 0.6, 0.8], [0.2, 0.3, 0.1, 0.7]]
    )
    names, counts = ("Effusion", "Nodule", "Mass", "Hernia"), list[int]()
    for _ in range(2):
        counts = count_undecided(counts, probabilities, labels)
        assert dead_finding_advice(counts, names) is None
    counts = count_undecided(counts, probabilities, labels)
    assert counts == [3, 0, 0, 0]
    advice = dead_finding_advice(counts, names)
    assert advice is not None
    assert "“Effusion”" in advice.message and "Nodule" not in advice.message and advice.remedy
    probabilities[:, 0] = [0.1, 0.2, 0.1, 0.2]  # still one answer, but the right order
    assert count_undecided(counts, probabilities, labels) == [0, 0, 0, 0]


def test_a_dead_finding_is_told_once_a_run() -> None:
    table, pixels = make_table(20, 8)
    table = replace(table, labels=np.stack([table.labels, np.arange(28) % 2], axis=1))
    data = TrainingData(
        table=table, pixels=pixels, features_of=lambda rows: np.zeros((0, 0), np.float32)
    )
    criterion, events = training_loss(LossConfig(), data.class_counts(), "cpu"), list[Event]()
    watcher = Watcher(data, criterion, is_scaled=False, run="run", emit=events.append)
    state = TrainingState()
    learned = np.where(table.labels[data.val, 0] == 1, 0.9, 0.1)
    for epoch in range(1, 7):
        state.history.append(row_of(epoch))
        watcher.epoch(state, np.stack([learned, np.full(8, 0.4)], axis=1))
        told = [event.message for event in events if isinstance(event, Warned)]
        assert len(told) == (epoch >= 3)
    assert "“b”" in told[0] and "“a”" not in told[0]


def row_of(epoch: int) -> EpochRow:
    return EpochRow(
        epoch=epoch, train_loss=0.1, val_loss=0.1, val_auroc=0.75, learning_rate=0.1, seconds=1.0
    )


def test_guessing_costs_the_entropy_of_the_classes() -> None:
    labels, answers = torch.tensor([0] * 90 + [1] * 10), guesses(np.array([90, 10]))
    plain = training_loss(
        LossConfig(imbalance="none", label_smoothing=0.0), np.array([90, 10]), "cpu"
    )
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert float(guessing_loss(plain, labels, answers)) == pytest.approx(entropy, rel=0.01)
    weighted = training_loss(
        LossConfig(imbalance="weights", label_smoothing=0.0), np.array([90, 10]), "cpu"
    )
    assert float(guessing_loss(weighted, labels, answers)) == pytest.approx(math.log(2), rel=0.01)


def test_guessing_findings_costs_their_mean_entropy_over_what_is_known() -> None:
    labels = torch.tensor([[1, 0], [0, 0], [0, -1], [0, 1]] * 50)
    counts = np.array([[150, 50], [100, 50]])
    loss = training_loss(LossConfig(imbalance="none", label_smoothing=0.0), counts, "cpu")
    answers = guesses(counts)

    def entropy(p: float) -> float:
        return -(p * math.log(p) + (1 - p) * math.log(1 - p))

    expected = (200 * entropy(0.25) + 150 * entropy(1 / 3)) / 350
    assert float(guessing_loss(loss, labels, answers)) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("changed", "is_said"),
    [
        ({}, True),
        ({"epoch": 1}, False),
        ({"step": 8}, False),
        ({"train_loss": 0.5}, False),
        ({"val_auroc": 0.8}, False),
    ],
)
def test_nothing_learned_is_said_when_the_loss_is_that_of_guessing(
    changed: dict[str, Any], is_said: bool
) -> None:
    facts = {"epoch": 2, "step": 60, "train_loss": 0.70, "guessing": 0.69, "val_auroc": 0.52}
    assert (learning_advice(**(facts | changed)) is not None) == is_said


def test_everything_is_told_once() -> None:
    health = Health()
    assert [health.tells_first("dead") for _ in range(3)] == [True, False, False]
    assert health.tells_first("exploding")


def test_training_goes_back_to_the_newest_state_from_before_numbers_went_wrong() -> None:
    def saved(step: int, n_wrong: int = 0) -> tuple[TrainingState, dict[str, Tensor]]:
        return TrainingState(step=step, health=Health(n_wrong=n_wrong)), {}

    def chosen(*states: tuple[TrainingState, dict[str, Tensor]], stuck_at: int | None) -> int:
        found = state_before_wrong(iter(states), stuck_at=stuck_at)
        assert found is not None
        return found[0].step

    assert chosen(saved(9), saved(6), stuck_at=None) == 9
    assert chosen(saved(9, n_wrong=2), saved(6), stuck_at=None) == 6
    assert chosen(saved(9), saved(6), stuck_at=9) == 6
    assert chosen(saved(9), stuck_at=9) == 9
    assert state_before_wrong(iter(()), stuck_at=None) is None


class Poison:
    """Makes the losses of certain calls something that is no number."""

    def __init__(self, trainer: Trainer, calls: set[int], *, in_gradient: bool = False) -> None:
        self.calls, self.in_gradient = calls, in_gradient
        self.n = 0
        self.loss = trainer.method.loss
        trainer.method.loss = self  # type: ignore[assignment, method-assign]

    def __call__(self, *arguments: Any) -> Tensor:
        self.n += 1
        loss: Tensor = self.loss(*arguments)
        if self.n not in self.calls:
            return loss
        if self.in_gradient:
            return loss + (loss - loss.detach()).sqrt()  # 0 with an infinite slope
        return loss * float("nan")


@pytest.mark.parametrize("in_gradient", [False, True])
def test_an_update_of_no_numbers_is_skipped(tmp_path: Path, in_gradient: bool) -> None:
    training = TinyTraining(tmp_path, tiny_config(max_epochs=1))
    trainer = training.begin()
    Poison(trainer, {2}, in_gradient=in_gradient)
    trainer.train()
    batches = [event for event in training.events if isinstance(event, BatchFinished)]
    [epoch] = [event for event in training.events if isinstance(event, EpochFinished)]
    assert [event.step for event in batches] == [1]
    assert epoch.train_loss == pytest.approx(batches[0].loss)
    assert trainer.state.health.n_skipped == 0  # of the next pass
    assert all(bool(torch.isfinite(t).all()) for t in all_of(trainer).values())


def test_a_skipped_update_leaves_adapting_batch_norms_alone(tmp_path: Path) -> None:
    from dataclasses import replace

    config = tiny_config(is_pretrained=True, max_epochs=1)
    config = replace(config, method=replace(config.method, batch_norm="adapt"))
    trainer = TinyTraining(tmp_path, config).begin()
    trainer.method.set_train_mode(trainer.network)
    before = all_of(trainer)
    Poison(trainer, {1})
    found = trainer.updater.gradients(np.arange(6), seed=1, lr_share=1.0, micro_batch=6)
    assert not found.is_finite
    trainer.updater.skip()
    after = all_of(trainer)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("is_trial", [False, True])
def test_three_wrong_updates_send_training_back_with_a_lower_rate(
    tmp_path: Path, is_trial: bool
) -> None:
    config = tiny_config(max_epochs=3)
    training = TinyTraining(tmp_path, config, is_trial=is_trial)
    trainer = training.begin()
    Poison(trainer, {4, 5, 6})  # the second of the second pass, and two of the third
    trainer.train()
    [recovered] = [event for event in training.events if isinstance(event, Recovered)]
    # The state saved after the second pass already has a wrong update behind it.
    assert ("end of pass 2" if is_trial else "end of pass 1") in recovered.message
    assert "30%" in recovered.message
    assert trainer.state.health.rate == pytest.approx(0.3)
    assert [row.epoch for row in trainer.state.history] == [1, 2, 3]
    rates = [event.learning_rate for event in training.events if isinstance(event, BatchFinished)]
    whole = TinyTraining(tmp_path / "whole", config)
    whole.begin().train()
    plain = [event.learning_rate for event in whole.events if isinstance(event, BatchFinished)]
    assert rates[-1] == pytest.approx(0.3 * plain[-1])


def test_a_run_resumed_after_going_back_keeps_its_lower_rate(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path, tiny_config(max_epochs=3))
    trainer = training.begin()
    Poison(trainer, {4, 5, 6})
    trainer.train()
    state, _, _ = load_state(tmp_path / "checkpoints")
    again = training.begin()
    again.resume()
    assert state.health == again.state.health == trainer.state.health
    assert again.state.health.n_rollbacks == 1


def test_a_run_whose_numbers_stay_wrong_stops_and_explains(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path, tiny_config(max_epochs=40))
    trainer = training.begin()
    Poison(trainer, set(range(3, 1000)))
    with pytest.raises(RunError, match="no longer finite") as caught:
        trainer.train()
    assert "lower learning rate" in caught.value.remedy
    recovered = [event for event in training.events if isinstance(event, Recovered)]
    assert len(recovered) == 3


def test_weights_that_are_no_numbers_never_become_the_best(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path, tiny_config(max_epochs=2))
    trainer = training.begin()
    apply, n = trainer.updater.apply, 0

    def spoil() -> None:
        nonlocal n
        n += 1
        apply()
        if n == 4:  # the last update of the second pass
            with torch.no_grad():
                trainer.updater.averaged.head.weight.fill_(float("nan"))

    trainer.updater.apply = spoil  # type: ignore[method-assign]
    trainer.train()
    [recovered] = [event for event in training.events if isinstance(event, Recovered)]
    assert "end of pass 1" in recovered.message
    assert [row.epoch for row in trainer.state.history] == [1, 2]
    assert all(math.isfinite(row.val_loss) for row in trainer.state.history)


class Constant(nn.Module):
    """Takes the place of a method's loss: nothing to learn from."""

    def __call__(self, network: nn.Module, images: Tensor, *_: Any) -> Tensor:
        total: Tensor = network(images).float().sum()
        return total * 0.0 + 5.0


def test_trouble_is_told_exactly_once_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.trainer.health._STEPS_TO_LEARN", 2)
    monkeypatch.setattr("engine.trainer.health._AUROC_OF_GUESSING", 1.1)
    training = TinyTraining(tmp_path, tiny_config(max_epochs=5))
    trainer = training.begin()
    trainer.method.loss = Constant()  # type: ignore[assignment, method-assign]
    trainer.train()
    warned = [event for event in training.events if isinstance(event, Warned)]
    assert [event.message.split(":")[0] for event in warned] == ["Nothing has been learned so far"]
    assert warned[0].remedy.endswith(".")


def test_a_scaler_backs_off_when_an_update_is_skipped(tmp_path: Path) -> None:
    trainer = TinyTraining(tmp_path, tiny_config(max_epochs=1)).begin()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    trainer.updater._scaler = scaler
    before = {name: t for name, t in all_of(trainer).items() if name.startswith("network.")}
    Poison(trainer, {1}, in_gradient=True)
    found = trainer.updater.gradients(np.arange(6), seed=1, lr_share=1.0, micro_batch=6)
    assert not found.is_finite
    trainer.updater.skip()
    assert scaler.get_scale() == 512.0
    after = all_of(trainer)
    assert all(torch.equal(before[name], after[name]) for name in before)
    found = trainer.updater.gradients(np.arange(6), seed=1, lr_share=1.0, micro_batch=6)
    assert found.is_finite
    trainer.updater.apply()
