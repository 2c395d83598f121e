"""The training loop: prepare, then epochs with one safe point per batch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.contract.control import JobCanceled
from engine.contract.errors import RunError
from engine.contract.events import (
    BatchFinished,
    EpochFinished,
    Event,
    Recovered,
    RunPaused,
    RunResumed,
    SamplePrediction,
)
from engine.data.transforms import Augment, pixels_to_batch
from engine.hardware import memory_mb
from engine.methods.method import FineTuneMethod, MethodContext
from engine.models.network import Network
from engine.seeding import step_seed
from engine.trainer.checkpoint import (
    TrainingState,
    load_state,
    pack_optimizer,
    pack_scaler,
    save_best,
    save_state,
    unpack_optimizer,
    unpack_scaler,
)
from engine.trainer.full_disk import when_there_is_room
from engine.trainer.history import EpochRow, comment_on, write_history
from engine.trainer.losses import training_loss
from engine.trainer.optimizer import average_weights, build_optimizer, lr_share, set_lr
from engine.trainer.steps import Validation, train_step, validate
from engine.trainer.stopping import EarlyStopping

_N_SAMPLES: Final = 8


@dataclass(kw_only=True)
class Trainer:
    """Trains a prepared network by gradient descent, resumably.

    Every random draw comes from the seed, the epoch and the batch, so a resumed run needs no
    generator state to go on exactly as the uninterrupted one would have.

    Attributes:
        folder: The run's folder.
        run: The run's id.
        emit: Receives the events.
        is_trial: Whether nothing is written: a short run within a run, to choose a setting.
        last_epoch: Epoch to end with, whatever the settings say; their schedule stays. None for
            that of the settings.
        best: What the best epoch gave on validation, of those since the run began or went on.
    """

    network: Network
    method: FineTuneMethod
    context: MethodContext
    folder: Path
    run: str
    config_digest: str
    split_digest: str
    emit: Callable[[Event], None]
    is_trial: bool = False
    last_epoch: int | None = None
    best: Validation | None = None

    def __post_init__(self) -> None:
        """Set up optimizer, average and loss around the network."""
        self.config, self.data = self.context.config, self.context.data
        self.runtime, self.control = self.context.runtime, self.context.control
        settings = self.config.optimizer
        groups = self.method.parameter_groups(self.network, self.config)
        trained = {id(p) for group in groups for p in group.parameters}
        for parameter in self.network.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        self._optimizer = build_optimizer(groups, settings)
        self._average = (
            average_weights(self.network, settings.ema_decay) if settings.ema_decay > 0 else None
        )
        self._criterion = training_loss(
            self.config.loss,
            self.data.class_counts(),
            self.runtime.device,
            is_ordinal=self.data.table.is_ordinal,
        )
        self._scaler = torch.amp.GradScaler(
            self.runtime.device, enabled=self.runtime.precision == "fp16"
        )
        self._augment = Augment(self.config.augmentation, padding=self.config.image.padding)
        self._state = TrainingState(
            config_digest=self.config_digest, split_digest=self.split_digest
        )
        self._stopping = EarlyStopping(patience=self.config.method.patience)
        self._recent: list[tuple[float, int]] = []
        # A last batch of one image would give batch norm nothing to normalise by.
        n_train, size = len(self.data.train), settings.batch_size
        self._n_batches = max(1, n_train // size + (1 if n_train % size > 1 else 0))

    @property
    def state(self) -> TrainingState:
        """Where the run stands."""
        return self._state

    @property
    def _checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def _averaged(self) -> Network:
        """The network with averaged weights, where an average is kept."""
        averaged = self.network if self._average is None else self._average.module
        assert isinstance(averaged, Network)
        return averaged

    def resume(self) -> None:
        """Go back to the newest sound state on disk.

        Raises:
            RunError: If there is none, or it belongs to other settings or another split.
        """
        state, tensors, problem = load_state(self._checkpoints)
        if state.config_digest != self.config_digest or state.split_digest != self.split_digest:
            raise RunError(
                "The images, labels or split have changed since this run was interrupted.",
                remedy="Start a new run; the interrupted one stays in the history.",
            )
        _load(self.network, tensors, "network.")
        if self._average is not None:
            _load(self._average, tensors, "average.")
        unpack_optimizer(self._optimizer, tensors)
        unpack_scaler(self._scaler, tensors)
        self._state = state
        self._stopping.best_epoch = state.best_epoch
        self._stopping.best_auroc = state.best_auroc
        self._stopping.best_loss = state.best_loss
        if problem is not None:
            self.emit(Recovered(run=self.run, message=problem))

    def train(self) -> None:
        """Train until the last epoch, until patience runs out, or until asked to stop.

        Raises:
            JobCanceled: If canceled or interrupted; when interrupted the state is saved first.
        """
        state = self._state
        try:
            if state.step == 0:
                self._save()
            last_epoch = min(self.config.method.max_epochs, self.last_epoch or sys.maxsize)
            while state.epoch <= last_epoch and not self._is_over():
                self._train_epoch()
                if self.control.stop_requested and state.batch < self._n_batches:
                    break
                self._finish_epoch()
        except JobCanceled:
            if self.control.interrupted:
                self._save()
            raise
        if state.best_epoch == 0:  # stopped within the first epoch: what there is, is kept
            self._finish_epoch()

    def _is_over(self) -> bool:
        done = self._state.epoch - 1
        return self.control.stop_requested or (done > 0 and self._stopping.is_over(done))

    def _train_epoch(self) -> None:
        state, started = self._state, time.perf_counter()
        self.method.begin_epoch(self.network, state.epoch, self.config)
        self.method.set_train_mode(self.network)
        order = self._epoch_order(state.epoch)
        self._recent = [(started, state.images)]
        while state.batch < self._n_batches and not self.control.stop_requested:
            before = time.perf_counter()
            loss, n_images = self._train_batch(order)
            state.batch += 1
            state.step += 1
            state.loss_sum += loss
            state.images += n_images
            elapsed = time.perf_counter() - before
            state.train_seconds += elapsed
            state.epoch_seconds += elapsed
            self._emit_batch(loss)
            self.control.safe_point(self._on_pause, self._on_proceed)

    def _train_batch(self, order: NDArray[np.int64]) -> tuple[float, int]:
        state, settings, table = self._state, self.config.optimizer, self.data.table
        start = state.batch * settings.batch_size
        chosen = order[start : start + settings.batch_size]
        seed = step_seed(self.config.seed, state.epoch, state.batch)
        torch.manual_seed(seed)  # dropout and stochastic depth draw from the global generator
        pixels = self.data.pixels.read(table.rows[chosen])
        images = pixels_to_batch(pixels, self.runtime.device)
        images = self._augment(images, torch.Generator().manual_seed(seed))
        labels = torch.from_numpy(table.labels[chosen]).to(self.runtime.device)
        n_steps = self._n_batches * self.config.method.max_epochs
        set_lr(self._optimizer, lr_share(state.step, n_steps, settings.warmup))
        loss = train_step(
            lambda: self.method.loss(self.network, images, labels, self._criterion),
            optimizer=self._optimizer,
            scaler=self._scaler,
            runtime=self.runtime,
            gradient_clip=settings.gradient_clip,
        )
        self.method.after_step(self.network, self._optimizer)
        if self._average is not None:
            self._average.update_parameters(self.network)
        return loss, len(chosen)

    def _epoch_order(self, epoch: int) -> NDArray[np.int64]:
        generator = np.random.default_rng(step_seed(self.config.seed, "order", epoch))
        if self.config.loss.imbalance != "sampling":
            return generator.permutation(self.data.train)
        share = self.data.class_weights()[self.data.table.labels[self.data.train]]
        return generator.choice(self.data.train, len(self.data.train), p=share / share.sum())

    def _finish_epoch(self) -> None:
        state, started = self._state, time.perf_counter()
        kept = self.method.finish_epoch(self._averaged, self.context)
        result = self._validate(kept)
        is_best = self._stopping.update(state.epoch, result.auroc, result.loss)
        elapsed = time.perf_counter() - started
        state.history.append(
            EpochRow(
                epoch=state.epoch,
                train_loss=state.loss_sum / max(1, state.batch),
                val_loss=result.loss,
                val_auroc=result.auroc,
                learning_rate=self._optimizer.param_groups[-1]["lr"],
                seconds=state.epoch_seconds + elapsed,
            )
        )
        state.best_epoch = self._stopping.best_epoch
        state.best_auroc = self._stopping.best_auroc
        state.best_loss = self._stopping.best_loss
        state.epoch, state.batch, state.loss_sum, state.epoch_seconds = state.epoch + 1, 0, 0.0, 0.0
        if is_best:
            self.best = result
            self._retrying(lambda: self._save_best(kept))
        self._save()
        self._retrying(lambda: write_history(self.folder / "history.csv", state.history))
        self._emit_epoch(result, is_best=is_best)

    def _validate(self, network: Network) -> Validation:
        table, val = self.data.table, self.data.val
        return validate(
            network,
            self.data.pixels,
            table.rows[val],
            table.labels[val],
            self.runtime,
            class_weights=None,
            positive=table.positive,
        )

    def _save_best(self, network: Network) -> None:
        facts = {
            "epoch": self._stopping.best_epoch,
            "val_auroc": self._stopping.best_auroc,
            "method_facts": self.method.summary(network),
        }
        save_best(self._checkpoints, network, facts)

    def _save(self) -> None:
        if self.is_trial:
            return
        tensors = {f"network.{n}": t.detach().cpu() for n, t in self.network.state_dict().items()}
        if self._average is not None:
            state = self._average.state_dict()
            tensors |= {f"average.{n}": t.detach().cpu() for n, t in state.items()}
        tensors |= pack_optimizer(self._optimizer) | pack_scaler(self._scaler)
        self._retrying(lambda: save_state(self._checkpoints, self._state, tensors))

    def _retrying(self, write: Callable[[], None]) -> None:
        if self.is_trial:
            return
        when_there_is_room(write, run=self.run, emit=self.emit, control=self.control)

    def _on_pause(self) -> None:
        self._save()
        self.emit(RunPaused(run=self.run))

    def _on_proceed(self) -> None:
        self._recent = [(time.perf_counter(), self._state.images)]
        self.emit(RunResumed(run=self.run))

    def _emit_batch(self, loss: float) -> None:
        state = self._state
        now = time.perf_counter()
        self._recent = [*self._recent[-20:], (now, state.images)]
        then, images = self._recent[0]
        speed = (state.images - images) / max(now - then, 1e-9)
        self.emit(
            BatchFinished(
                run=self.run,
                epoch=state.epoch,
                batch=state.batch,
                n_batches=self._n_batches,
                step=state.step,
                loss=loss,
                learning_rate=self._optimizer.param_groups[-1]["lr"],
                images_per_s=speed,
                memory_mb=memory_mb(self.runtime),
                seconds_left=self._seconds_left(speed),
            )
        )

    def _seconds_left(self, images_per_s: float) -> float:
        """Return the time to the last epoch if patience doesn't end training before."""
        state, n_train = self._state, len(self.data.train)
        done = (state.epoch - 1) * n_train + state.batch * self.config.optimizer.batch_size
        left = max(0, self.config.method.max_epochs * n_train - done)
        # Validation is a forward pass: a third of a training image's work, or less.
        n_epochs_left = self.config.method.max_epochs - state.epoch + 1
        return (left + n_epochs_left * len(self.data.val) / 6) / max(images_per_s, 1e-9)

    def _emit_epoch(self, result: Validation, *, is_best: bool) -> None:
        state, table = self._state, self.data.table
        row = state.history[-1]
        shown = np.linspace(0, len(self.data.val) - 1, min(_N_SAMPLES, len(self.data.val)))
        self.emit(
            EpochFinished(
                run=self.run,
                epoch=row.epoch,
                train_loss=row.train_loss,
                val_loss=row.val_loss,
                val_auroc=row.val_auroc,
                best_epoch=state.best_epoch,
                is_best=is_best,
                seconds=row.seconds,
                comment=comment_on(state.history, state.best_epoch),
                samples=tuple(
                    SamplePrediction(
                        record=int(table.record_ids[self.data.val[i]]),
                        label=int(table.labels[self.data.val[i]]),
                        probabilities=tuple(float(p) for p in result.probabilities[i]),
                    )
                    for i in shown.astype(int)
                ),
            )
        )


def _load(module: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    module.load_state_dict(
        {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    )
