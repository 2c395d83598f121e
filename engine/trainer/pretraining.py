"""One backbone trained on several labelled projects at once, a decision layer for each.

What helps to read one kind of image may help to read another of which there are few. The heads go
afterwards; what is kept is the backbone. Until then its state is saved as that of a run is, so that
it can go on where it was cut off, with the same bits.

References:
    Caruana, "Multitask Learning", Machine Learning 28, 1997.
    Mei et al., "RadImageNet", Radiology: Artificial Intelligence 4(5), 2022 (radiological
    pre-training against ImageNet's).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.contract.config import ExperimentConfig
from engine.contract.control import Control, JobCanceled
from engine.contract.events import Event, Recovered, Warned
from engine.data.transforms import pixels_to_batch
from engine.hardware import Runtime, autocast
from engine.hardware.out_of_memory import again_if_short, in_parts, telling_smaller_parts
from engine.methods.full_finetune import FullFinetune
from engine.methods.linear_head import standardisation
from engine.models.features import extract
from engine.models.network import Network
from engine.seeding import step_seed
from engine.trainer.checkpoint import TrainingState
from engine.trainer.fitting import FittingUpdater
from engine.trainer.full_disk import waiting_as_warning
from engine.trainer.going_back import (
    GoBackError,
    ShortMemory,
    broke_down,
    count_update,
    is_sound,
    state_to_go_back_to,
    went_back_sentence,
)
from engine.trainer.memory_advice import explaining_memory
from engine.trainer.optimizer import lr_share
from engine.trainer.pretrain_state import Pretrained, pack_best, saved_state, unpack_best
from engine.trainer.pretrain_task import Task, blocks_of, n_outputs
from engine.trainer.pretrain_update import PretrainSetup, PretrainUpdater
from engine.trainer.saving import Saver
from engine.trainer.stopping import EarlyStopping
from engine.trainer.update import BatchLoss

_VALIDATION_BATCH: Final = 64
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainProgress:
    """How far pre-training is, after a batch.

    Attributes:
        step: Updates done, of ``n_steps``.
        val_auroc: Mean over the tasks after the best epoch so far; None before the first.
    """

    epoch: int
    step: int
    n_steps: int
    images_per_s: float
    seconds_left: float
    val_auroc: float | None


class Pretrainer:
    """Trains a network with one head, in which every task has a block of logits.

    A batch holds as many images of each task, and of each class of a task, in expectation: a large
    project doesn't drown a small one, nor a common class or finding a rare one. Every draw follows
    from the seed, the epoch and the batch.
    """

    def __init__(
        self,
        network: Network,
        tasks: Sequence[Task],
        config: ExperimentConfig,
        runtime: Runtime,
        control: Control,
        report: Callable[[PretrainProgress], None],
        on_described: Callable[[int, int], None] = lambda done, total: None,
        folder: Path | None = None,
        emit: Callable[[Event], None] = lambda event: None,
        require_there: Callable[[], None] = lambda: None,
        was_killed: bool = False,
    ) -> None:
        """Prepare.

        Args:
            network: With ``n_outputs(tasks)`` logits of ``last`` features, on the runtime's device.
            tasks: At least one.
            config: ``optimizer``, ``augmentation``, ``loss.label_smoothing``, ``method`` (epochs,
                patience, frozen stages) and ``seed`` count; ``image.size_px`` is named where
                memory doesn't suffice.
            runtime: Device and precision.
            control: Asked before each batch; a stop keeps the best epoch so far.
            report: Called after each batch.
            on_described: Called with images described for the first heads, and in total.
            folder: In its ``checkpoints`` the state is saved, and taken up if there is one; None
                keeps it in memory.
            emit: Called with what went wrong and was mended, and with warnings.
            require_there: Raises a ``StorageError`` while the folder isn't where it was; asked
                before anything is written.
            was_killed: Whether the system ended it for its memory, so that smaller parts may fit.

        Raises:
            ValueError: If the network's head is of another size.
        """
        if network.n_classes != n_outputs(tasks):
            raise ValueError(f"{n_outputs(tasks)} logits are needed, not {network.n_classes}")
        self._network, self._tasks, self._config = network, tuple(tasks), config
        self._runtime, self._control = runtime, control
        self._report, self._on_described, self._emit = report, on_described, emit
        self._was_killed = was_killed
        self._method, self._blocks = FullFinetune(), blocks_of(tasks)
        self._state = TrainingState()
        self._best: Pretrained | None = None
        self._stopping = EarlyStopping(patience=config.method.patience)
        self._seconds_before = 0.0
        self._short_memory = ShortMemory()
        self._saver = Saver(
            folder=folder or Path(),
            run="",
            emit=waiting_as_warning(emit),
            control=control,
            clock=self._clock,
            require_there=require_there,
            is_trial=folder is None,
        )

    def train(self) -> Pretrained:
        """Train until the last epoch, until patience runs out, or until asked to stop.

        Raises:
            JobCanceled: If canceled or interrupted; when interrupted the state is saved first.
            RunError: If not even one image fits into memory, or numbers go wrong again and again.
        """
        with (
            explaining_memory(self._config, self._runtime),
            telling_smaller_parts(self._tell_smaller_parts),
        ):
            saved = saved_state(self._saver, self._emit)
            if saved is None and self._network.is_pretrained:
                told = "Memory ran short while the training was prepared; that was done again."
                again_if_short(self._fit_heads, lambda: self._tell(told))
            self._set_up_descent()
            self._began = self._clock()
            if saved is not None:
                self._restore(*saved)
                self._seconds_before = self._state.seconds
            is_smaller = self._was_killed and self._fitting.take_smaller_parts(self._state)
            self._fitting.find(self._state, self._network, self._method)
            if saved is None or is_smaller:
                self._save()
            with self._control.pausing(self._save, lambda: None):
                while (problem := self._short_memory.problem_in(self._train_epochs)) is not None:
                    self._go_back(problem)
        assert self._best is not None
        epochs = self._state.epoch - 1
        return replace(self._best, epochs=epochs, seconds_before=self._seconds_before)

    def _train_epochs(self) -> None:
        """Train to the end.

        Raises:
            GoBackError: If it must go on from a saved state.
        """
        state, last_epoch = self._state, self._config.method.max_epochs
        try:
            while state.epoch <= last_epoch and not self._is_over():
                self._train_epoch()
                if self._control.stop_requested and state.batch < self._n_batches:
                    break
                self._finish_epoch()
            if self._best is None:  # stopped within the first epoch, that is what there is
                self._finish_epoch()
        except JobCanceled:
            if self._control.interrupted:
                self._save_before_end()
            raise

    def _is_over(self) -> bool:
        done = self._state.epoch - 1
        return self._control.stop_requested or (done > 0 and self._stopping.is_over(done))

    def _finish_epoch(self) -> None:
        """Validate, keep the best epoch, and save."""
        state = self._state
        aurocs, loss = self._looked_at()
        best = self._best
        if self._stopping.update(state.epoch, float(np.mean(aurocs)), loss) or best is None:
            self._best = best = self._again(lambda: self._kept(aurocs, state.epoch))
        state.best_epoch = best.best_epoch
        state.best_auroc, state.best_loss = self._stopping.best_auroc, self._stopping.best_loss
        state.epoch, state.batch, state.health.n_skipped = state.epoch + 1, 0, 0
        self._save()
        self._short_memory.epoch_done()

    def _restore(self, state: TrainingState, tensors: dict[str, Tensor]) -> None:
        def take_up() -> Pretrained | None:
            self._updater.load(tensors)
            return unpack_best(tensors, state)

        self._best = self._saver.patiently(take_up)
        self._state = state
        self._stopping.best_epoch = state.best_epoch
        self._stopping.best_auroc, self._stopping.best_loss = state.best_auroc, state.best_loss

    def _go_back(self, problem: GoBackError) -> None:
        """Go on from a saved state: at a lower rate if numbers went wrong, else in smaller parts.

        Raises:
            RunError: If that has been tried too often, or there is no saved state.
        """
        safer = "" if self._runtime.precision == "fp32" else ", or with the precision fp32"
        error = broke_down(f"Start from another backbone, or leave a project out{safer}.")
        before = self._state
        self._restore(*state_to_go_back_to(self._saver, before, problem, error))
        if problem.is_halving:
            self._fitting.halve(self._state, before.micro_batch)
        self._tell(went_back_sentence(self._state, problem))

    def _save(self) -> None:
        """Save everything that the next update, and the result, depend on.

        Every draw follows from the seed, the epoch and the batch, so no generator is among it.
        """
        self._state.seconds = self._seconds()
        self._saver.save(self._state, self._tensors)

    def _save_before_end(self) -> None:
        self._state.seconds = self._seconds()
        self._saver.save_before_end(
            self._state, self._tensors, lambda message: self._emit(Warned(message=message))
        )

    def _tensors(self) -> dict[str, Tensor]:
        return self._updater.tensors() | pack_best(self._best)

    def _tell(self, message: str) -> None:
        self._emit(Recovered(run="", message=message))

    def _tell_smaller_parts(self, n: int) -> None:
        self._tell(f"Memory ran short, so images are looked at {n} at a time here.")

    def _clock(self) -> float:
        """Return seconds that don't pass while paused, or waiting for room on the disk."""
        return time.perf_counter() - self._control.waited_s

    def _seconds(self) -> float:
        return self._seconds_before + self._clock() - self._began

    def _fit_heads(self) -> None:
        """Start from fitted heads, so that random ones don't spoil what was pre-trained.

        References:
            Kumar et al., "Fine-Tuning can Distort Pretrained Features", ICLR 2022.
        """
        network = self._network
        found = self._described()
        mean, scale = standardisation(np.concatenate(found), network.feature_blocks)
        weight = np.zeros((network.n_classes, network.n_features))
        bias = np.zeros(network.n_classes)
        for task, block, features in zip(self._tasks, self._blocks, found, strict=True):
            head = task.fit_head(features, network.feature_blocks)
            weight[block] = head.weight * (head.scale / scale)
            bias[block] = head.bias + (head.weight * head.scale) @ (mean - head.mean)
        network.set_standardisation(torch.from_numpy(mean), torch.from_numpy(scale))
        network.set_head(torch.from_numpy(weight), torch.from_numpy(bias))

    def _described(self) -> list[NDArray[np.float32]]:
        """Return the features of each task's training, then validation images."""
        rows = [np.concatenate([task.train_rows, task.val_rows]) for task in self._tasks]
        total, before, found = sum(len(part) for part in rows), 0, []
        for task, part in zip(self._tasks, rows, strict=True):

            def tell(done: int, _: int, before: int = before) -> None:
                self._on_described(before + done, total)

            found.append(
                extract(
                    self._network,
                    task.pixels,
                    part,
                    self._runtime,
                    on_progress=tell,
                    control=self._control,
                )
            )
            before += len(part)
        return found

    def _set_up_descent(self) -> None:
        setup = PretrainSetup(tasks=self._tasks, config=self._config, runtime=self._runtime)
        self._updater = PretrainUpdater(self._network, self._method, setup)
        self._fitting = FittingUpdater(self._updater, setup, self._tell)
        n_images = sum(len(task.train_rows) for task in self._tasks)
        self._n_batches = max(1, math.ceil(n_images / self._updater.n_images))

    def _train_epoch(self) -> None:
        self._method.set_train_mode(self._network)
        state = self._state
        n_steps = self._n_batches * self._config.method.max_epochs
        while state.batch < self._n_batches and not self._control.stop_requested:
            before = self._clock()
            found = self._train_batch(n_steps)
            state.batch += 1
            state.step += 1
            state.images += self._updater.n_images
            state.train_seconds += self._clock() - before
            self._report_progress(n_steps)
            count_update(state.health, found, is_scaled=self._updater.is_scaled)
            if self._saver.is_due() and state.health.n_wrong == 0:
                self._save()
            self._control.safe_point()

    def _train_batch(self, n_steps: int) -> BatchLoss:
        state = self._state
        share = lr_share(state.step, n_steps, self._config.optimizer.warmup)
        seed = step_seed(self._config.seed, "pretrain", state.epoch, state.batch)
        drawn = self._updater.draw(seed)
        return self._fitting.update(state, drawn, seed=seed, lr_share=share * state.health.rate)

    def _looked_at(self) -> tuple[tuple[float, ...], float]:
        """Return what validation says of the averaged network.

        Raises:
            GoBackError: If it isn't made of finite numbers.
        """
        if not is_sound(self._updater.averaged):
            raise GoBackError(is_numeric=True)
        return self._again(self._validate)

    def _again(self, act: Callable[[], Done]) -> Done:
        told = "Memory ran short after a pass; its validation was done again."
        return again_if_short(act, lambda: self._tell(told))

    def _validate(self) -> tuple[tuple[float, ...], float]:
        """Return the averaged network's AUROC for each task, and its mean loss."""
        aurocs, losses = [], []
        for task, block in zip(self._tasks, self._blocks, strict=True):
            logits = self._logits(task)[:, block]
            if not bool(torch.isfinite(logits).all()):
                raise GoBackError(is_numeric=True)
            auroc, loss = task.measured(logits)
            aurocs.append(auroc)
            losses.append(loss)
        return tuple(aurocs), float(np.mean(losses))

    def _logits(self, task: Task) -> Tensor:
        network = self._updater.averaged.eval()
        parts: list[Tensor] = []

        def look(start: int, stop: int) -> None:
            self._control.safe_point()
            pixels = task.pixels.read(task.val_rows[start:stop])
            images = pixels_to_batch(pixels, self._runtime.device)
            with torch.inference_mode(), autocast(self._runtime):
                parts.append(network(images).cpu().double())

        in_parts(len(task.val_rows), _VALIDATION_BATCH, look)
        return torch.cat(parts)

    def _kept(self, aurocs: tuple[float, ...], epoch: int) -> Pretrained:
        network = self._updater.averaged
        body = {name: t.detach().cpu().clone() for name, t in network.body.state_dict().items()}
        return Pretrained(
            body=body, val_aurocs=aurocs, epochs=epoch, best_epoch=epoch, seconds_before=0.0
        )

    def _report_progress(self, n_steps: int) -> None:
        state, best = self._state, self._best
        self._report(
            PretrainProgress(
                epoch=state.epoch,
                step=state.step,
                n_steps=n_steps,
                images_per_s=state.images / max(state.train_seconds, 1e-9),
                seconds_left=self._seconds() / state.step * (n_steps - state.step),
                val_auroc=None if best is None else float(np.mean(best.val_aurocs)),
            )
        )
