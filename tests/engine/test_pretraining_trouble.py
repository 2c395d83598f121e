"""A pre-training survives what a run survives: memory that runs out, numbers that go wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import engine.trainer.fitting
from engine.contract.config import BackboneConfig, ExperimentConfig, ImageContract
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import RunError
from engine.contract.events import Event, Recovered
from engine.data.transforms import Augment, pixels_to_batch
from engine.hardware import Runtime
from engine.methods.full_finetune import FullFinetune
from engine.models.network import Network
from engine.models.registry import build_network
from engine.trainer import pretrain_update
from engine.trainer.batch_size import _fits_device, largest_that_fits
from engine.trainer.checkpoint import load_state
from engine.trainer.pretrain_state import Pretrained
from engine.trainer.pretrain_task import Task, n_outputs
from engine.trainer.pretrain_update import PretrainSetup, PretrainUpdater
from engine.trainer.pretraining import Pretrainer, PretrainProgress
from tests.engine.test_out_of_memory import CPU, CUDA, Once, _own_cache, as_method
from tests.engine.test_pretraining import make_findings_task, make_task, settings
from tests.engine.test_pretraining_resume import assert_same
from tests.helpers.tiny_study import SIZE_PX

__all__ = ["_own_cache"]

N_BATCHES = 3  # of eight images, four of each task


def small_settings(max_epochs: int) -> ExperimentConfig:
    """Return settings for the smallest network, one without batch norms."""
    return replace(
        settings(max_epochs=max_epochs),
        backbone=BackboneConfig(key="squeezenet1_0", weights="scratch"),
        image=ImageContract(size_px=SIZE_PX),
    )


@dataclass
class Small:
    """A pre-training on two tasks, and what it told."""

    folder: Path | None = None
    max_epochs: int = 1
    tasks: list[Task] = field(default_factory=lambda: [make_task(2, (6, 4)), make_findings_task(8)])
    events: list[Event] = field(default_factory=list)
    progress: list[PretrainProgress] = field(default_factory=list)
    control: Control = field(default_factory=Control)
    interrupt_at: int = 0

    def __post_init__(self) -> None:
        config = small_settings(self.max_epochs)
        key, weights = config.backbone.key, config.backbone.weights
        n = n_outputs(self.tasks)
        self.trainer = Pretrainer(
            build_network(key, n, weights=weights, features="last"),
            self.tasks,
            config,
            Runtime(),
            self.control,
            self._take,
            folder=self.folder,
            emit=self.events.append,
        )

    def _take(self, progress: PretrainProgress) -> None:
        self.progress.append(progress)
        if len(self.progress) == self.interrupt_at:
            self.control.interrupt()

    @property
    def recovered(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Recovered)]


def fail_in_reading(patch: pytest.MonkeyPatch, small: Small) -> None:
    pixels: Any = small.tasks[1].pixels
    patch.setattr(pixels, "read", Once(pixels.read, MemoryError(), 2))


def fail_in_transfer(patch: pytest.MonkeyPatch, small: Small) -> None:
    patch.setattr(pretrain_update, "pixels_to_batch", Once(pixels_to_batch, CUDA, 4))


def fail_in_augmentation(patch: pytest.MonkeyPatch, small: Small) -> None:
    patch.setattr(Augment, "__call__", as_method(Once(Augment.__call__, CPU, 3)))


def fail_in_forward(patch: pytest.MonkeyPatch, small: Small) -> None:
    patch.setattr(Network, "forward", as_method(Once(Network.forward, CUDA, 2)))


def fail_in_second_part(patch: pytest.MonkeyPatch, small: Small) -> None:
    patch.setattr(engine.trainer.fitting, "find_micro_batch", lambda *_: 6)
    patch.setattr(Network, "forward", as_method(Once(Network.forward, CUDA, 4)))


def fail_in_loss(patch: pytest.MonkeyPatch, small: Small) -> None:
    patch.setattr(Task, "loss", as_method(Once(Task.loss, CUDA, 2)))


def fail_in_backward(patch: pytest.MonkeyPatch, small: Small) -> None:
    error = torch.OutOfMemoryError("CUDA out of memory.")
    patch.setattr(Tensor, "backward", as_method(Once(Tensor.backward, error, 2)))


def fail_in_clipping(patch: pytest.MonkeyPatch, small: Small) -> None:
    patch.setattr(nn.utils, "clip_grad_norm_", Once(nn.utils.clip_grad_norm_, CUDA, 2))


def fail_in_update(patch: pytest.MonkeyPatch, small: Small) -> None:
    step = torch.optim.AdamW.step
    patch.setattr(torch.optim.AdamW, "step", as_method(Once(step, CUDA, 2)))


def fail_in_average(patch: pytest.MonkeyPatch, small: Small) -> None:
    update = AveragedModel.update_parameters
    patch.setattr(AveragedModel, "update_parameters", as_method(Once(update, CPU, 2)))


def fail_in_validation(patch: pytest.MonkeyPatch, small: Small) -> None:
    forward = as_method(Once(Network.forward, CUDA, N_BATCHES + 2))
    patch.setattr(Network, "forward", forward)


def fail_in_measuring(patch: pytest.MonkeyPatch, small: Small) -> None:
    patch.setattr(Task, "measured", as_method(Once(Task.measured, MemoryError(), 2)))


def fail_in_keeping(patch: pytest.MonkeyPatch, small: Small) -> None:
    patch.setattr(Pretrainer, "_kept", as_method(Once(Pretrainer._kept, MemoryError(), 1)))


PLACES = {
    function.__name__.removeprefix("fail_"): function
    for function in (
        fail_in_reading,
        fail_in_transfer,
        fail_in_augmentation,
        fail_in_forward,
        fail_in_second_part,
        fail_in_loss,
        fail_in_backward,
        fail_in_clipping,
        fail_in_update,
        fail_in_average,
        fail_in_validation,
        fail_in_measuring,
        fail_in_keeping,
    )
}


@pytest.fixture(scope="module")
def whole() -> Pretrained:
    return Small().trainer.train()


@pytest.mark.parametrize("place", PLACES)
def test_it_recovers_wherever_memory_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Pretrained, place: str
) -> None:
    small = Small(tmp_path)
    PLACES[place](monkeypatch, small)
    kept = small.trainer.train()
    for name, tensor in kept.body.items():
        # The order in which a batch's gradients are added up is all that differs.
        torch.testing.assert_close(tensor, whole.body[name], atol=2e-3, rtol=2e-3, msg=name)
    assert small.recovered
    assert all(message.endswith(".") for message in small.recovered)
    state, _, _ = load_state(tmp_path / "checkpoints")
    assert state.step == N_BATCHES
    trains = place not in ("in_validation", "in_measuring", "in_keeping")
    assert state.micro_batch == (3 if place == "in_second_part" else 4 if trains else 8)


def test_where_nothing_is_saved_an_update_cut_off_halfway_is_undone(
    monkeypatch: pytest.MonkeyPatch, whole: Pretrained
) -> None:
    small = Small()
    fail_in_average(monkeypatch, small)
    kept = small.trainer.train()
    assert "Training went back to the beginning" in small.recovered[0]
    for name, tensor in kept.body.items():
        torch.testing.assert_close(tensor, whole.body[name], atol=2e-3, rtol=2e-3, msg=name)


@pytest.mark.parametrize("micro_batch", [1, 3, 5])
def test_the_gradient_of_parts_is_that_of_the_batch(micro_batch: int) -> None:
    tasks = (make_task(3, (4, 4, 4), colour=True), make_findings_task(20))
    config = settings(batch_size=12)
    network = build_network("efficientnet_lite0", n_outputs(tasks), features="last")
    method, setup = FullFinetune(), PretrainSetup(tasks=tasks, config=config, runtime=Runtime())
    updater = PretrainUpdater(network, method, setup)
    method.set_train_mode(network)
    batch, found = updater.draw(5), []
    for most in (len(batch), micro_batch):
        loss = updater.gradients(batch, seed=5, lr_share=1.0, micro_batch=most).loss
        trained = [p for p in network.parameters() if p.grad is not None]
        found.append((loss, [p.grad.clone() for p in trained if p.grad is not None]))
        updater.skip()
    (loss, gradients), (loss_of_parts, gradients_of_parts) = found
    assert loss_of_parts == pytest.approx(loss, abs=1e-5)
    for one, other in zip(gradients, gradients_of_parts, strict=True):
        torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-3)


def test_a_trial_on_a_copy_finds_what_a_device_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Small()
    trainer, tasks = small.trainer, tuple(small.tasks)
    setup = PretrainSetup(tasks=tasks, config=small_settings(1), runtime=Runtime())
    updater = PretrainUpdater(trainer._network, FullFinetune(), setup)
    before = {name: tensor.clone() for name, tensor in updater.tensors().items()}
    forward = Network.forward

    def narrow(network: Network, images: Tensor) -> Tensor:
        if len(images) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(network, images)

    monkeypatch.setattr(Network, "forward", narrow)
    assert largest_that_fits(_fits_device(updater), updater.n_images) == 5
    after = updater.tensors()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_one_image_too_many_names_what_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(network: Network, images: Tensor) -> Tensor:
        raise MemoryError

    monkeypatch.setattr(Network, "forward", never)
    with pytest.raises(RunError, match=r"single image of 32 px with SqueezeNet 1\.0") as caught:
        Small().trainer.train()
    assert caught.value.remedy.startswith("Close other programs")


def test_cut_off_after_memory_ran_short_it_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    found = []
    for interrupt_at in (0, 2):
        small = Small(tmp_path / str(interrupt_at), interrupt_at=interrupt_at)
        (tmp_path / str(interrupt_at)).mkdir()
        with pytest.MonkeyPatch.context() as patch:
            fail_in_forward(patch, small)
            if interrupt_at:
                with pytest.raises(JobCanceled):
                    small.trainer.train()
                small = Small(tmp_path / str(interrupt_at))
            found.append(small.trainer.train())
    assert_same(*found)


class Poison:
    """Makes the losses of certain updates something that is no number."""

    def __init__(
        self, patch: pytest.MonkeyPatch, calls: set[int], *, in_gradient: bool = False
    ) -> None:
        self.calls, self.in_gradient, self.n = calls, in_gradient, 0
        self.loss: Callable[..., Tensor] = PretrainUpdater._loss
        patch.setattr(PretrainUpdater, "_loss", self.poisoned())

    def poisoned(self) -> Callable[..., Tensor]:
        def poisoned(*arguments: Any) -> Tensor:
            self.n += 1
            loss = self.loss(*arguments)
            if self.n not in self.calls:
                return loss
            if self.in_gradient:
                return loss + (loss - loss.detach()).sqrt()  # 0 with an infinite slope
            return loss * float("nan")

        return poisoned


@pytest.mark.parametrize("in_gradient", [False, True])
def test_an_update_of_no_numbers_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_gradient: bool
) -> None:
    small = Small(tmp_path)
    Poison(monkeypatch, {2}, in_gradient=in_gradient)
    kept = small.trainer.train()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in kept.body.values())
    state, tensors, _ = load_state(tmp_path / "checkpoints")
    assert (state.step, len(state.health.losses)) == (N_BATCHES, N_BATCHES - 1)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
    assert small.recovered == []


@pytest.mark.parametrize("is_saved", [True, False])
def test_three_wrong_updates_send_it_back_with_a_lower_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_saved: bool
) -> None:
    small = Small(tmp_path if is_saved else None, max_epochs=2)
    shares: list[float] = []
    gradients = PretrainUpdater.gradients

    def watched(updater: PretrainUpdater, *arguments: Any, lr_share: float, **named: Any) -> Any:
        shares.append(lr_share)
        return gradients(updater, *arguments, lr_share=lr_share, **named)

    monkeypatch.setattr(PretrainUpdater, "gradients", watched)
    Poison(monkeypatch, {4, 5, 6})
    kept = small.trainer.train()
    [message] = small.recovered
    assert "saved at the end of pass 1" in message
    assert "30%" in message
    assert kept.epochs == 2
    # The second pass was made again, at three tenths of the rates.
    assert shares[6:] == pytest.approx([0.3 * share for share in shares[3:6]])


def test_numbers_that_stay_wrong_end_it_with_an_explanation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Small(tmp_path, max_epochs=4)
    Poison(monkeypatch, set(range(3, 1000)))
    with pytest.raises(RunError, match="no longer finite") as caught:
        small.trainer.train()
    assert "another backbone" in caught.value.remedy
    assert len(small.recovered) == 3


def test_cut_off_after_going_back_it_goes_on_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for interrupt_at in (0, 7):
        folder = tmp_path / str(interrupt_at)
        folder.mkdir()
        small = Small(folder, max_epochs=2, interrupt_at=interrupt_at)
        with pytest.MonkeyPatch.context() as patch:
            Poison(patch, {4, 5, 6})
            if interrupt_at:
                with pytest.raises(JobCanceled):
                    small.trainer.train()
                assert len(small.recovered) == 1
                small = Small(folder, max_epochs=2)
            found.append(small.trainer.train())
    assert_same(*found)


@pytest.mark.parametrize("spoiled", ["weights", "logits"])
def test_what_is_no_number_never_becomes_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoiled: str
) -> None:
    small = Small(tmp_path, max_epochs=2)
    apply, measure, n = PretrainUpdater.apply, Pretrainer._logits, 0

    def spoil_weights(updater: PretrainUpdater) -> None:
        nonlocal n
        n += 1
        apply(updater)
        if n == 2 * N_BATCHES:  # the last update of the second pass
            with torch.no_grad():
                updater.averaged.head.weight.fill_(float("nan"))

    def spoil_logits(trainer: Pretrainer, task: Task) -> Tensor:
        nonlocal n
        n += 1
        logits = measure(trainer, task)
        return logits * float("inf") if n == 3 else logits  # of the first task in the second pass

    if spoiled == "weights":
        monkeypatch.setattr(PretrainUpdater, "apply", spoil_weights)
    else:
        monkeypatch.setattr(Pretrainer, "_logits", spoil_logits)
    kept = small.trainer.train()
    [message] = small.recovered
    assert "saved at the end of pass 1" in message
    assert kept.epochs == 2
    assert np.isfinite(kept.val_aurocs).all()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in kept.body.values())
