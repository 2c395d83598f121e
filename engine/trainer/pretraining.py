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
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.contract.config import ExperimentConfig
from engine.contract.control import Control, JobCanceled
from engine.contract.events import Event, RunPaused, Warned
from engine.data.transforms import Augment, pixels_to_batch
from engine.hardware import Runtime, autocast
from engine.methods.full_finetune import FullFinetune
from engine.methods.linear_head import standardisation
from engine.models.features import extract
from engine.models.network import Network
from engine.seeding import step_seed
from engine.trainer.checkpoint import TrainingState, save_state
from engine.trainer.full_disk import when_there_is_room
from engine.trainer.optimizer import average_weights, build_optimizer, lr_share, set_lr
from engine.trainer.pretrain_state import Pretrained, pack_best, saved_state, unpack_best
from engine.trainer.pretrain_task import Task, n_outputs
from engine.trainer.steps import train_step
from engine.trainer.stopping import EarlyStopping
from engine.trainer.update import packed, unpack

_FEWEST_OF_A_TASK: Final = 4  # images in a batch, so that one update sees several of each task
_VALIDATION_BATCH: Final = 64
_SAVE_EVERY_S: Final = 180.0
_SAVE_SHARE: Final = 20.0  # saving takes a twentieth of the time at most


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
        checkpoints: Path | None = None,
        emit: Callable[[Event], None] = lambda event: None,
    ) -> None:
        """Prepare.

        Args:
            network: With ``n_outputs(tasks)`` logits of ``last`` features, on the runtime's device.
            tasks: At least one.
            config: ``optimizer``, ``augmentation``, ``loss.label_smoothing``, ``method`` (epochs,
                patience, frozen stages) and ``seed`` count.
            runtime: Device and precision.
            control: Asked before each batch; a stop keeps the best epoch so far.
            report: Called after each batch.
            on_described: Called with images described for the first heads, and in total.
            checkpoints: Where the state is saved, and taken up if there is one; None saves nothing.
            emit: Called with warnings about what is saved.

        Raises:
            ValueError: If the network's head is of another size.
        """
        if network.n_classes != n_outputs(tasks):
            raise ValueError(f"{n_outputs(tasks)} logits are needed, not {network.n_classes}")
        self._network, self._tasks, self._config = network, tuple(tasks), config
        self._runtime, self._control = runtime, control
        self._report, self._on_described = report, on_described
        self._checkpoints, self._emit = checkpoints, emit
        sizes = [task.n_classes for task in tasks]
        ends = np.cumsum(sizes)
        self._blocks = [slice(int(e) - n, int(e)) for n, e in zip(sizes, ends, strict=True)]
        self._n_each = max(_FEWEST_OF_A_TASK, config.optimizer.batch_size // len(tasks))
        n_images = sum(len(task.train_rows) for task in tasks)
        self._n_batches = max(1, math.ceil(n_images / (self._n_each * len(tasks))))
        self._method = FullFinetune()
        self._state = TrainingState()
        self._best: Pretrained | None = None
        self._stopping = EarlyStopping(patience=config.method.patience)
        self._seconds_before = self._save_s = 0.0
        self._augments = [Augment(config.augmentation, padding=t.padding) for t in tasks]

    def train(self) -> Pretrained:
        """Train until the last epoch, until patience runs out, or until asked to stop.

        Raises:
            JobCanceled: If canceled or interrupted; when interrupted the state is saved first.
            StorageError: If a saved state can't be read now.
        """
        saved = saved_state(self._checkpoints, self._emit)
        if saved is None and self._network.is_pretrained:
            self._fit_heads()
        self._set_up_descent()
        self._began = self._saved_at = self._clock()
        if saved is None:
            self._save()
        else:
            self._restore(*saved)
        with self._control.pausing(self._save, lambda: None):
            try:
                best = self._train_epochs()
            except JobCanceled:
                if self._control.interrupted:
                    self._save()
                raise
        return replace(best, epochs=self._state.epoch - 1, seconds_before=self._seconds_before)

    def _train_epochs(self) -> Pretrained:
        state, last_epoch = self._state, self._config.method.max_epochs
        while state.epoch <= last_epoch and not self._is_over():
            self._train_epoch()
            if self._control.stop_requested and state.batch < self._n_batches:
                break
            self._finish_epoch()
        # Stopped within the first epoch, that is what there is.
        return self._best if self._best is not None else self._finish_epoch()

    def _is_over(self) -> bool:
        done = self._state.epoch - 1
        return self._control.stop_requested or (done > 0 and self._stopping.is_over(done))

    def _finish_epoch(self) -> Pretrained:
        """Validate, save, and return the best epoch so far."""
        state = self._state
        aurocs, loss = self._validate()
        best = self._best
        if self._stopping.update(state.epoch, float(np.mean(aurocs)), loss) or best is None:
            self._best = best = self._kept(aurocs, state.epoch)
        state.best_epoch = best.best_epoch
        state.best_auroc, state.best_loss = self._stopping.best_auroc, self._stopping.best_loss
        state.epoch, state.batch = state.epoch + 1, 0
        self._save()
        return best

    def _restore(self, state: TrainingState, tensors: dict[str, Tensor]) -> None:
        unpack(tensors, self._network, self._average, self._optimizer, self._scaler)
        self._state, self._seconds_before = state, state.seconds
        self._stopping.best_epoch = state.best_epoch
        self._stopping.best_auroc, self._stopping.best_loss = state.best_auroc, state.best_loss
        self._best = unpack_best(tensors, state)

    def _save(self) -> None:
        """Save everything that the next update, and the result, depend on.

        Every draw follows from the seed, the epoch and the batch, so no generator is among it.
        """
        if self._checkpoints is None:
            return
        started = self._clock()
        self._state.seconds = self._seconds()
        tensors = packed(self._network, self._average, self._optimizer, self._scaler)
        tensors |= pack_best(self._best)
        when_there_is_room(
            partial(save_state, self._checkpoints, self._state, tensors),
            run="",
            emit=self._tell_waiting,
            control=self._control,
        )
        self._saved_at = self._clock()
        self._save_s = self._saved_at - started

    def _tell_waiting(self, event: Event) -> None:
        if isinstance(event, RunPaused) and event.reason:
            self._emit(Warned(message=event.reason))

    def _save_now_and_then(self) -> None:
        """Save within a long epoch, unless that would take too much time."""
        if self._clock() - self._saved_at >= max(_SAVE_EVERY_S, _SAVE_SHARE * self._save_s):
            self._save()

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
        settings = self._config.optimizer
        groups = self._method.parameter_groups(self._network, self._config)
        trained = {id(p) for group in groups for p in group.parameters}
        for parameter in self._network.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        self._optimizer = build_optimizer(groups, settings)
        self._average = average_weights(self._network, settings.ema_decay)
        self._scaler = torch.amp.GradScaler(
            self._runtime.device, enabled=self._runtime.precision == "fp16"
        )

    def _train_epoch(self) -> None:
        self._method.set_train_mode(self._network)
        state, settings = self._state, self._config.optimizer
        n_steps = self._n_batches * self._config.method.max_epochs
        while state.batch < self._n_batches and not self._control.stop_requested:
            before = self._clock()
            set_lr(self._optimizer, lr_share(state.step, n_steps, settings.warmup))
            images, labels = self._draw(state.epoch, state.batch)
            train_step(
                partial(self._loss, images, labels),
                optimizer=self._optimizer,
                scaler=self._scaler,
                runtime=self._runtime,
                gradient_clip=settings.gradient_clip,
            )
            self._average.update_parameters(self._network)
            state.batch += 1
            state.step += 1
            state.images += len(images)
            state.train_seconds += self._clock() - before
            self._tell(n_steps)
            self._save_now_and_then()
            self._control.safe_point()

    def _draw(self, epoch: int, batch: int) -> tuple[Tensor, list[Tensor]]:
        """Return the images of a batch, task after task, and the labels of each task."""
        images, labels = [], []
        seed = step_seed(self._config.seed, "pretrain", epoch, batch)
        torch.manual_seed(seed)  # dropout and stochastic depth draw from the global generator
        numbers, moves = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        for task, augment in zip(self._tasks, self._augments, strict=True):
            chosen = task.draw(self._n_each, numbers)
            pixels = pixels_to_batch(
                task.pixels.read(task.train_rows[chosen]), self._runtime.device
            )
            images.append(augment(pixels, moves).expand(-1, 3, -1, -1))  # grey and colour together
            labels.append(torch.from_numpy(task.train_labels[chosen]).to(self._runtime.device))
        return torch.cat(images), labels

    def _loss(self, images: Tensor, labels: list[Tensor]) -> Tensor:
        """Return the mean of the tasks' losses, each as a share of the loss of guessing."""
        logits = self._network(images).float().split(self._n_each)
        smoothing = self._config.loss.label_smoothing
        losses = [
            task.loss(part[:, block], own, label_smoothing=smoothing)
            for task, block, part, own in zip(
                self._tasks, self._blocks, logits, labels, strict=True
            )
        ]
        return torch.stack(losses).mean()

    def _validate(self) -> tuple[tuple[float, ...], float]:
        """Return the averaged network's AUROC for each task, and its mean loss."""
        aurocs, losses = [], []
        for task, block in zip(self._tasks, self._blocks, strict=True):
            auroc, loss = task.measured(self._logits(task)[:, block])
            aurocs.append(auroc)
            losses.append(loss)
        return tuple(aurocs), float(np.mean(losses))

    def _logits(self, task: Task) -> Tensor:
        network = self._average.module.eval()
        parts = []
        for start in range(0, len(task.val_rows), _VALIDATION_BATCH):
            self._control.safe_point()
            rows = task.val_rows[start : start + _VALIDATION_BATCH]
            images = pixels_to_batch(task.pixels.read(rows), self._runtime.device)
            with torch.inference_mode(), autocast(self._runtime):
                parts.append(network(images).double().cpu())
        return torch.cat(parts)

    def _kept(self, aurocs: tuple[float, ...], epoch: int) -> Pretrained:
        network = self._average.module
        assert isinstance(network, Network)
        body = {name: t.detach().cpu().clone() for name, t in network.body.state_dict().items()}
        return Pretrained(
            body=body, val_aurocs=aurocs, epochs=epoch, best_epoch=epoch, seconds_before=0.0
        )

    def _tell(self, n_steps: int) -> None:
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
