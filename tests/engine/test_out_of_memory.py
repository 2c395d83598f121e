"""Memory that runs out at any place of a step: smaller parts, the same update, the run goes on."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import engine.trainer.batch_size
import engine.trainer.fitting
from engine.contract.config import LossConfig
from engine.contract.errors import RunError
from engine.contract.events import BatchFinished, EpochFinished, Recovered
from engine.data.transforms import pixels_to_batch
from engine.hardware import Runtime
from engine.hardware.out_of_memory import in_parts, is_out_of_memory, telling_smaller_parts
from engine.models.network import Network
from engine.trainer import memory_advice, steps, update
from engine.trainer.batch_parts import part_bounds, shares_of, weigher
from engine.trainer.batch_size import (
    find_micro_batch,
    largest_that_fits,
    remember_micro_batch,
)
from engine.trainer.checkpoint import load_state
from engine.trainer.loop import Trainer
from engine.trainer.losses import training_loss
from engine.trainer.memory_advice import smaller_size, too_large
from engine.trainer.memory_need import bytes_per_image
from tests.helpers.tiny_training import TinyTraining, all_of, make_table, tiny_config

CUDA = RuntimeError("CUDA error: out of memory")
CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")
WINDOWS = RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "batch_sizes.json"
    monkeypatch.setattr(engine.trainer.batch_size, "_cache_file", lambda: cache)
    return cache


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        CUDA,
        CPU,
        WINDOWS,
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("could not create a primitive"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_every_way_in_which_memory_runs_out_is_known(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("shape mismatch"), ValueError(), OSError(errno.ENOSPC, "disk full")]
)
def test_other_errors_are_not_taken_for_it(error: BaseException) -> None:
    assert not is_out_of_memory(error)


def test_windows_says_it_with_numbers_of_its_own() -> None:
    error = OSError("The paging file is too small for this operation to complete")
    error.winerror = 1455  # type: ignore[attr-defined]
    assert is_out_of_memory(error)


def test_work_goes_on_in_smaller_parts_from_the_item_where_it_failed() -> None:
    done: list[tuple[int, int]] = []
    told: list[int] = []

    def work(start: int, stop: int) -> None:
        if start >= 8 and stop - start > 3:
            raise MemoryError
        done.append((start, stop))

    with telling_smaller_parts(told.append):
        in_parts(20, 8, work)
    assert done[0] == (0, 8)
    assert [i for start, stop in done for i in range(start, stop)] == list(range(20))
    assert told == [2]


def test_a_single_item_that_does_not_fit_is_an_error() -> None:
    def work(start: int, stop: int) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        in_parts(3, 2, work)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 16, 33])
@pytest.mark.parametrize("largest", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("fewest", [1, 2])
def test_parts_cover_a_batch_and_differ_by_one_at_most(n: int, largest: int, fewest: int) -> None:
    bounds = part_bounds(n, largest, fewest=fewest)
    assert [i for start, stop in bounds for i in range(start, stop)] == list(range(n))
    sizes = [stop - start for start, stop in bounds]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(n, fewest)
    if fewest <= largest // 2 or fewest == 1:
        assert max(sizes) <= largest


@pytest.mark.parametrize("largest", range(21))
def test_the_search_finds_the_largest_that_fits(largest: int) -> None:
    asked: list[int] = []

    def fits(n: int) -> bool:
        asked.append(n)
        return n <= largest

    assert largest_that_fits(fits, 20) == largest
    assert len(asked) == len(set(asked)) <= 9


def test_the_search_asks_once_where_all_fits() -> None:
    asked: list[int] = []

    def fits(n: int) -> bool:
        asked.append(n)
        return True

    assert largest_that_fits(fits, 64) == 64
    assert asked == [64]


LOSSES = {
    "weights": (LossConfig(imbalance="weights"), False),
    "weights of grades": (LossConfig(imbalance="weights", ordinal_weight=0.7), True),
    "focal": (LossConfig(imbalance="focal"), False),
    "logit adjustment": (LossConfig(imbalance="logit_adjustment"), True),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_of_parts_is_that_of_the_batch(name: str) -> None:
    config, is_ordinal = LOSSES[name]
    loss = training_loss(config, np.array([10, 3, 40]), "cpu", is_ordinal=is_ordinal)
    labels = torch.tensor([0, 1, 1, 2, 2, 2, 0, 2, 1, 2, 2])
    assert_parts_add_up(loss, labels)


def test_the_gradient_of_parts_is_that_of_the_batch_where_findings_are_unknown() -> None:
    counts = np.array([[30, 10], [5, 35], [20, 20]])
    loss = training_loss(LossConfig(imbalance="weights"), counts, "cpu")
    labels = torch.randint(-1, 2, (11, 3), generator=torch.Generator().manual_seed(5))
    labels[:4] = -1  # nothing is known of the first part
    assert_parts_add_up(loss, labels)


def assert_parts_add_up(loss: nn.Module, labels: Tensor) -> None:
    start = torch.randn(11, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    whole, parted = (start.float().clone().requires_grad_() for _ in range(2))
    loss(whole, labels).backward()
    bounds = part_bounds(11, 4)
    weigh = weigher(loss)
    shares = shares_of([weigh(labels[a:b]) for a, b in bounds])
    for (a, b), share in zip(bounds, shares, strict=True):
        (loss(parted[a:b], labels[a:b]) * share).backward()
    assert whole.grad is not None and parted.grad is not None
    torch.testing.assert_close(parted.grad, whole.grad)


class Once:
    """Wraps a function that fails the n-th time it is called while armed."""

    def __init__(self, function: Callable[..., Any], error: Exception, nth: int) -> None:
        self.function, self.error, self.left = function, error, nth

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise self.error
        return self.function(*arguments, **named)


def as_method(once: Once) -> Callable[..., Any]:
    """Return a function, which a class binds, unlike any other object that can be called."""

    def method(*arguments: Any, **named: Any) -> Any:
        return once(*arguments, **named)

    return method


def fail_in_reading(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trainer.data.pixels, "read", Once(trainer.data.pixels.read, MemoryError(), 2))


def fail_in_transfer(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(update, "pixels_to_batch", Once(pixels_to_batch, CUDA, 2))


def fail_in_augmentation(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trainer.updater, "_augment", Once(trainer.updater._augment, CPU, 2))


def fail_in_forward(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trainer.method, "loss", Once(trainer.method.loss, CUDA, 2))


def fail_in_second_part(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    trainer.state.micro_batch = 6
    patch.setattr(engine.trainer.fitting, "find_micro_batch", lambda *_: 6)
    patch.setattr(trainer.method, "loss", Once(trainer.method.loss, CUDA, 4))


def fail_in_backward(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    error = torch.OutOfMemoryError("CUDA out of memory.")
    patch.setattr(Tensor, "backward", as_method(Once(Tensor.backward, error, 2)))


def fail_in_clipping(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    clip = nn.utils.clip_grad_norm_
    patch.setattr(nn.utils, "clip_grad_norm_", Once(clip, CUDA, 2))


def fail_in_first_update(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    optimizer = trainer.updater.optimizer
    patch.setattr(optimizer, "step", Once(optimizer.step, CUDA, 1))


def fail_in_update(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    optimizer = trainer.updater.optimizer
    patch.setattr(optimizer, "step", Once(optimizer.step, CUDA, 2))


def fail_after_update(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    method = trainer.method
    patch.setattr(method, "after_step", Once(method.after_step, MemoryError(), 2))


def fail_in_average(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    average = trainer.updater._average
    assert average is not None
    once = Once(average.update_parameters, CPU, 2)
    patch.setattr(average, "update_parameters", once)


def fail_in_refit(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    method = trainer.method
    patch.setattr(method, "finish_epoch", Once(method.finish_epoch, CPU, 1))


def fail_in_features(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Network, "features", as_method(Once(Network.features, CUDA, 4)))


def fail_in_validation(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(steps, "predict_batch", Once(steps.predict_batch, CUDA, 1))


PLACES = {
    function.__name__.removeprefix("fail_"): function
    for function in (
        fail_in_reading,
        fail_in_transfer,
        fail_in_augmentation,
        fail_in_forward,
        fail_in_second_part,
        fail_in_backward,
        fail_in_clipping,
        fail_in_first_update,
        fail_in_update,
        fail_after_update,
        fail_in_average,
        fail_in_refit,
        fail_in_features,
        fail_in_validation,
    )
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], list[float]]:
    training = three_batches(tmp_path_factory.mktemp("whole"))
    trainer = training.begin()
    trainer.train()
    return all_of(trainer), losses_of(training)


def three_batches(folder: Path, *, is_trial: bool = False) -> TinyTraining:
    """Return a training of one pass: batches of eight, eight and four images."""
    table, pixels = make_table(20)
    config = tiny_config(max_epochs=1)
    return TinyTraining(folder, config, table=table, pixels=pixels, is_trial=is_trial)


def losses_of(training: TinyTraining) -> list[float]:
    """Return the loss of each update, the last one where an update was made again."""
    found = {e.step: e.loss for e in training.events if isinstance(e, BatchFinished)}
    return [found[step] for step in sorted(found)]


@pytest.mark.parametrize("place", PLACES)
def test_a_run_recovers_wherever_memory_runs_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: tuple[dict[str, Tensor], list[float]],
    place: str,
) -> None:
    training = three_batches(tmp_path / "run")
    trainer = training.begin()
    PLACES[place](trainer, monkeypatch)
    trainer.train()
    expected, losses = whole
    for name, tensor in all_of(trainer).items():
        # The order in which a batch's gradients are added up is all that differs.
        torch.testing.assert_close(tensor, expected[name], atol=2e-3, rtol=2e-3, msg=name)
    assert losses_of(training) == pytest.approx(losses, abs=2e-3)
    recovered = [event for event in training.events if isinstance(event, Recovered)]
    assert recovered
    assert all(event.message.endswith(".") for event in recovered)
    assert sum(isinstance(event, EpochFinished) for event in training.events) == 1
    trains = place not in ("in_refit", "in_features", "in_validation")
    assert trainer.state.micro_batch == (3 if place == "in_second_part" else 4 if trains else 8)


def test_a_resumed_run_adds_up_its_gradients_in_the_same_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = three_batches(tmp_path / "run")
    trainer = training.begin()
    fail_in_forward(trainer, monkeypatch)
    trainer.train()
    state, _, _ = load_state(tmp_path / "run" / "checkpoints")
    assert state.micro_batch == 4
    again = training.begin()
    again.resume()
    assert again.state.micro_batch == 4


def test_another_run_begins_with_what_was_found(tmp_path: Path, _own_cache: Path) -> None:
    training = three_batches(tmp_path / "run")
    context = training.begin().context
    remember_micro_batch(context, fits=4, tried=8)
    trainer = training.begin()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine.trainer.batch_size, "_MOST_BESIDE", 2**60)  # memory looks scarce
        assert find_micro_batch(trainer.updater, trainer.network, context) == 4
        other = replace(context, runtime=Runtime(precision="bf16"))
        assert find_micro_batch(trainer.updater, trainer.network, other) == 8
        free = engine.trainer.batch_size.free_memory(context.runtime)
        patched.setattr(engine.trainer.batch_size, "free_memory", lambda runtime: 2 * free)
        assert find_micro_batch(trainer.updater, trainer.network, context) == 8


def test_little_free_memory_makes_the_parts_smaller_before_anything_fails(tmp_path: Path) -> None:
    trainer = TinyTraining(tmp_path / "run", tiny_config()).begin()
    trained = sum(p.numel() * 4 for p in trainer.network.parameters() if p.requires_grad)
    per_image = bytes_per_image(trainer.network, 32, channels=1, precision="fp32")
    with pytest.MonkeyPatch.context() as patched:
        free = int((4 * trained + 3.5 * 1.3 * per_image) / 0.8)
        patched.setattr(engine.trainer.batch_size, "free_memory", lambda runtime: free)
        assert find_micro_batch(trainer.updater, trainer.network, trainer.context) == 3


def test_a_trial_on_a_copy_finds_what_a_device_can_hold(tmp_path: Path) -> None:
    trainer = TinyTraining(tmp_path / "run", tiny_config()).begin()
    before = all_of(trainer)
    fits = engine.trainer.batch_size._fits_device(trainer.updater)
    forward = type(trainer.network).forward

    def narrow(network: Any, images: Tensor) -> Tensor:
        if len(images) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(network, images)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(trainer.network), "forward", narrow)
        assert largest_that_fits(fits, 8) == 5
    after = all_of(trainer)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("is_trial", [False, True])
def test_an_update_cut_off_halfway_is_undone(tmp_path: Path, is_trial: bool) -> None:
    training = three_batches(tmp_path / "run", is_trial=is_trial)
    trainer = training.begin()
    trainer.train()
    expected = all_of(trainer)
    half = training.begin()
    optimizer = half.updater.optimizer
    step = optimizer.step

    def half_a_step(*arguments: Any, **named: Any) -> Any:
        result = step(*arguments, **named)
        if calls.pop(0):
            raise MemoryError
        return result

    calls = [False, True, False]
    calls += [False] * 9
    optimizer.step = half_a_step  # type: ignore[method-assign]
    half.train()
    assert len(calls) < 9
    for name, tensor in all_of(half).items():
        torch.testing.assert_close(tensor, expected[name], atol=2e-3, rtol=2e-3, msg=name)


def test_one_image_too_many_names_what_would_fit(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path / "run", tiny_config())
    trainer = training.begin()

    def never(*arguments: Any) -> Tensor:
        raise MemoryError

    trainer.method.loss = never  # type: ignore[assignment, method-assign]
    with pytest.raises(RunError, match=r"single image of 32 px with SqueezeNet 1\.0") as caught:
        trainer.train()
    assert caught.value.remedy.startswith("Close other programs")


@pytest.mark.parametrize(
    ("size_px", "step_px", "smaller"),
    [(224, 1, 160), (518, 14, 224), (224, 16, 160), (32, 1, None)],
)
def test_the_advice_names_a_size_that_the_backbone_takes(
    size_px: int, step_px: int, smaller: int | None
) -> None:
    assert smaller_size(size_px, step_px) == smaller


def test_the_advice_names_the_largest_backbone_that_needs_clearly_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_advice, "weights_state", lambda key: "embedded")
    config = tiny_config(is_pretrained=True)
    config = replace(config, image=replace(config.image, size_px=224))
    error = too_large(config, Runtime(device="cuda"))
    assert "graphics card" in error.message
    assert "images of 160 px or the backbone RegNetY-400MF" in error.remedy


def test_bytes_grow_with_the_pixels_of_an_image(tmp_path: Path) -> None:
    network = TinyTraining(tmp_path, tiny_config()).begin().network.train()
    small, large = (bytes_per_image(network, px, channels=1, precision="fp32") for px in (64, 128))
    assert large == pytest.approx(4 * small, rel=0.01)
