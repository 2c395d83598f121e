"""The parts of the loop that are pure: schedule, stopping, history, and states on disk."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from engine.contract.errors import RunError
from engine.hardware import Runtime
from engine.trainer.checkpoint import (
    TrainingState,
    has_state,
    load_state,
    save_state,
)
from engine.trainer.history import EpochRow, comment_on, write_history
from engine.trainer.optimizer import lr_share
from engine.trainer.optimizer_state import (
    pack_optimizer,
    pack_scaler,
    unpack_optimizer,
    unpack_scaler,
)
from engine.trainer.steps import log_loss, train_step
from engine.trainer.stopping import EarlyStopping


def test_the_rate_rises_to_its_peak_and_falls_along_half_a_cosine() -> None:
    shares = [lr_share(step, 100, 0.1) for step in range(100)]
    assert shares[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert shares.index(max(shares)) in (9, 10)
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[55] == pytest.approx(0.51, abs=0.01)  # half way down, on top of the 2 % left
    assert 0 < shares[-1] < 0.03


def test_a_run_of_one_step_has_a_rate() -> None:
    assert lr_share(0, 1, 0.0) == 1.0


def test_patience_waits_until_there_is_something_to_wait_for() -> None:
    stopping = EarlyStopping(patience=2, counts_from=4)
    ended = [stopping.update(epoch, 1.0 - 0.1 * epoch, 0.5) for epoch in range(1, 7)]
    assert ended == [True, False, False, False, False, False]
    assert [stopping.is_over(epoch) for epoch in range(1, 7)] == [False] * 5 + [True]


def test_the_best_epoch_is_by_auroc_then_by_loss() -> None:
    stopping = EarlyStopping(patience=2)
    assert stopping.update(1, 0.9, 0.5)
    assert not stopping.update(2, 0.9, 0.6)
    assert stopping.update(3, 0.9, 0.4)
    assert not stopping.is_over(4)
    assert stopping.is_over(5)
    assert stopping.best_epoch == 3


def test_an_epoch_that_takes_the_place_of_the_best_is_what_later_ones_must_beat() -> None:
    stopping = EarlyStopping(patience=2)
    assert stopping.update(1, 0.99, 0.1)
    assert stopping.update(2, 0.8, 0.5, is_forced=True)
    assert not stopping.update(3, 0.79, 0.4)
    assert stopping.update(4, 0.81, 0.5)


def _row(epoch: int, train_loss: float, val_loss: float, val_auroc: float) -> EpochRow:
    return EpochRow(
        epoch=epoch,
        train_loss=train_loss,
        val_loss=val_loss,
        val_auroc=val_auroc,
        learning_rate=1e-3,
        seconds=1.0,
    )


def test_the_comment_says_what_the_curves_show() -> None:
    first = [_row(1, 0.7, 0.6, 0.8)]
    assert "First pass" in comment_on(first, 1)
    improving = [*first, _row(2, 0.6, 0.5, 0.9)]
    assert "Still improving" in comment_on(improving, 2)
    once = [*improving, _row(3, 0.3, 0.8, 0.85)]
    assert "No better for 1 pass." in comment_on(once, 2)  # may be chance
    overfitting = [*once, _row(4, 0.2, 0.9, 0.84)]
    assert "by heart since epoch 2" in comment_on(overfitting, 2)
    jumped = [_row(1, 9.0, 0.5, 0.8), _row(2, 12.0, 0.9, 0.7), _row(3, 1.4, 0.8, 0.7)]
    assert "No better for 2 passes." in comment_on(jumped, 1)  # the loss had jumped, no more
    flat = [*improving, _row(3, 0.6, 0.5, 0.89)]
    assert "No better for 1 pass." in comment_on(flat, 2)


def test_history_is_a_table_of_epochs(tmp_path: Path) -> None:
    write_history(tmp_path / "history.csv", [_row(1, 0.7, 0.6, 0.8)])
    lines = (tmp_path / "history.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("epoch,train_loss,val_loss,val_auroc")
    assert lines[1].startswith("1,0.7,0.6,0.8")


def test_a_state_survives_the_disk_also_before_the_first_validation(tmp_path: Path) -> None:
    state = TrainingState(epoch=2, batch=3, step=9, loss_sum=1.5, history=[_row(1, 1, 1, 0.5)])
    tensors = {"network.w": torch.rand(3, 2), "optimizer.0.step": torch.tensor(9.0)}
    save_state(tmp_path, state, tensors)
    loaded, back, problem = load_state(tmp_path)
    assert loaded == state
    assert problem is None
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_a_damaged_state_is_noticed_and_the_one_before_is_used(tmp_path: Path) -> None:
    for step in (1, 2):
        save_state(tmp_path, TrainingState(step=step), {"network.w": torch.full((4,), step)})
    (tmp_path / "last" / "state.json").write_text("{", encoding="utf-8")
    loaded, _, problem = load_state(tmp_path)
    assert loaded.step == 1
    assert problem is not None


def test_without_any_sound_state_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    assert not has_state(tmp_path)
    with pytest.raises(RunError, match="no saved state"):
        load_state(tmp_path)


def test_a_write_cut_short_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_state(tmp_path, TrainingState(step=1), {"network.w": torch.zeros(2)})

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.trainer.checkpoint_folder.write_json", broken)
    with pytest.raises(KeyboardInterrupt):
        save_state(tmp_path, TrainingState(step=2), {"network.w": torch.ones(2)})
    assert load_state(tmp_path)[0].step == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last"]


def test_a_state_of_kept_files_holds_no_pickle(tmp_path: Path) -> None:
    save_state(tmp_path, TrainingState(), {"network.w": torch.zeros(2)})
    names = sorted(path.name for path in (tmp_path / "last").iterdir())
    assert names == ["state.json", "state.safetensors"]
    json.loads((tmp_path / "last" / "state.json").read_text(encoding="utf-8"))


def test_optimizer_slots_come_back_in_the_memory_order_of_their_parameters() -> None:
    def make() -> tuple[torch.nn.Conv2d, torch.optim.AdamW]:
        torch.manual_seed(0)
        layer = torch.nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last)
        return layer, torch.optim.AdamW(layer.parameters(), fused=True)

    def step(layer: torch.nn.Conv2d, optimizer: torch.optim.AdamW, seed: int) -> None:
        images = torch.rand(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        layer(images).square().mean().backward()
        optimizer.step()

    layer, optimizer = make()
    step(layer, optimizer, 1)
    other, restored = make()
    other.load_state_dict(layer.state_dict())
    packed = {
        name: tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in pack_optimizer(optimizer).items()
    }
    unpack_optimizer(restored, packed)
    step(layer, optimizer, 2)
    step(other, restored, 2)
    assert torch.equal(layer.weight, other.weight)


def test_the_loss_is_the_mean_negative_log_likelihood() -> None:
    import numpy as np
    from sklearn.metrics import log_loss as reference

    random = np.random.default_rng(0)
    probabilities = random.dirichlet([1, 1, 1], 50)
    labels = random.integers(0, 3, 50)
    expected = reference(labels, probabilities, labels=[0, 1, 2])
    assert log_loss(probabilities, labels, None) == pytest.approx(expected)


def _loss_of(layer: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    return cross_entropy(layer(images), torch.arange(8) % 2)


def _trained_with(scaler: torch.amp.GradScaler) -> torch.Tensor:
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    for step in range(3):
        images = torch.rand(8, 6, generator=torch.Generator().manual_seed(step))
        train_step(
            partial(_loss_of, layer, images),
            optimizer=optimizer,
            scaler=scaler,
            runtime=Runtime(),
            gradient_clip=1.0,
        )
    return layer.weight.detach()


def test_scaling_gradients_changes_no_update() -> None:
    plain = _trained_with(torch.amp.GradScaler("cpu", enabled=False))
    scaled = _trained_with(torch.amp.GradScaler("cpu", init_scale=2.0**10))
    torch.testing.assert_close(scaled, plain)


def test_the_scalers_state_survives_the_disk(tmp_path: Path) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    _trained_with(scaler)
    save_state(tmp_path, TrainingState(), pack_scaler(scaler))
    restored = torch.amp.GradScaler("cpu")
    unpack_scaler(restored, load_state(tmp_path)[1])
    assert restored.state_dict() == scaler.state_dict()


def test_a_scaler_that_is_switched_off_leaves_nothing_to_keep() -> None:
    assert pack_scaler(torch.amp.GradScaler("cpu", enabled=False)) == {}
