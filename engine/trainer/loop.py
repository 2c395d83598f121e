"""The training loop: prepare, then epochs with one safe point per batch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.contract.control import JobCanceled
from engine.contract.errors import RunError
from engine.contract.events import (
    Event,
    Recovered,
    RunPaused,
    RunResumed,
    Warned,
)
from engine.hardware.out_of_memory import again_if_short, telling_smaller_parts
from engine.methods.method import FineTuneMethod, MethodContext
from engine.models.network import Network
from engine.seeding import step_seed
from engine.trainer.checkpoint import TrainingState
from engine.trainer.epoch_event import epoch_event
from engine.trainer.epoch_order import epoch_order
from engine.trainer.fitting import FittingUpdater
from engine.trainer.going_back import (
    GoBackError,
    ShortMemory,
    gave_up,
    is_sound,
    state_to_go_back_to,
    went_back_sentence,
)
from engine.trainer.history import EpochRow
from engine.trainer.kept_best import KeptBest
from engine.trainer.memory_advice import explaining_memory
from engine.trainer.optimizer import lr_share
from engine.trainer.progress import Progress
from engine.trainer.saving import Saver
from engine.trainer.steps import Validation, validate
from engine.trainer.stopping import EarlyStopping
from engine.trainer.update import BatchLoss, Updater
from engine.trainer.watch import Watcher


@dataclass(kw_only=True)
class Trainer:
    """Trains a prepared network by gradient descent, resumably.

    Every random draw comes from the seed, the epoch and the batch, so a resumed run needs no
    generator state to go on exactly as the uninterrupted one would have.

    Attributes:
        folder: The run's folder.
        run: The run's id.
        emit: Receives the events.
        require_there: Raises a ``StorageError`` while the run's folder is not where the run began;
            asked before anything is written.
        is_trial: Whether nothing is written: a short run within a run, to choose a setting.
        last_epoch: Epoch to end with, whatever the settings say; their schedule stays. None for
            that of the settings.
        began: When this part of the run did, by ``time.perf_counter``; None for now.
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
    require_there: Callable[[], None]
    is_trial: bool = False
    last_epoch: int | None = None
    began: float | None = None
    best: Validation | None = None

    def __post_init__(self) -> None:
        """Set up optimizer, average and loss around the network."""
        self.config, self.data = self.context.config, self.context.data
        self.runtime, self.control = self.context.runtime, self.context.control
        self.updater = Updater(self.network, self.method, self.context)
        self._fitting = FittingUpdater(self.updater, self.context, self._tell)
        self._watcher = Watcher(
            self.data,
            self.updater.criterion,
            is_scaled=self.updater.is_scaled,
            run=self.run,
            emit=self.emit,
        )
        self._state = TrainingState(
            config_digest=self.config_digest, split_digest=self.split_digest
        )
        self._stopping = EarlyStopping(
            patience=self.config.method.patience,
            counts_from=self.method.patience_from(self.config),
        )
        self._saver = Saver(
            folder=self.folder,
            run=self.run,
            emit=self._pass_on,
            control=self.control,
            clock=self._clock,
            require_there=self.require_there,
            is_trial=self.is_trial,
        )
        self._kept_best = KeptBest(
            saver=self._saver,
            updater=self.updater,
            method=self.method,
            config=self.config,
            look=self._looked_at_others,
            tell=self._tell,
        )
        self._began = self._clock() if self.began is None else self.began
        self._seconds_before = 0.0
        self._short_memory = ShortMemory()
        # A last batch of one image would give batch norm nothing to normalise by.
        n_train, size = len(self.data.train), self.config.optimizer.batch_size
        self._n_batches = max(1, n_train // size + (1 if n_train % size > 1 else 0))
        self._n_epochs = min(self.config.method.max_epochs, self.last_epoch or sys.maxsize)
        self._progress = Progress(
            self.method,
            self.context,
            self._clock,
            n_batches=self._n_batches,
            n_epochs=self._n_epochs,
        )

    @property
    def state(self) -> TrainingState:
        """Where the run stands."""
        return self._state

    def resume(self, *, anyway: bool = False) -> None:
        """Go back to the newest sound state on disk.

        Args:
            anyway: Whether to go on although a changed program may read the settings otherwise.

        Raises:
            RunError: If there is none, or it belongs to other settings or another split.
        """
        state, tensors, problem = self._saver.load()
        is_same = state.config_digest == self.config_digest
        if not (is_same or anyway) or state.split_digest != self.split_digest:
            raise RunError(
                "The images, labels or split have changed since this run was interrupted.",
                remedy="Start a new run; the interrupted one stays in the history.",
            )
        state.config_digest = self.config_digest
        state.micro_batch = state.micro_batch or self.config.optimizer.batch_size
        self._seconds_before = state.seconds
        self._restore(state, tensors)
        if problem is not None:
            self.emit(Recovered(run=self.run, message=problem))
        if not is_same:  # at once: when it goes on the next time, this isn't asked again
            for _ in ("last", "previous"):  # nor where the newest state is damaged by then
                self._save()

    def take_smaller_parts(self) -> None:
        """Compute half as many images at a time: the system ended the run for its memory."""
        if self._fitting.take_smaller_parts(self._state) and self._state.step > 0:
            self._save()

    def train(self) -> None:
        """Train until the last epoch, until patience runs out, or until asked to stop.

        Raises:
            JobCanceled: If canceled or interrupted; when interrupted the state is saved first.
        """
        with (
            explaining_memory(self.config, self.runtime),
            telling_smaller_parts(self._tell_smaller_parts),
            self.control.pausing(self._on_pause, self._on_proceed),
        ):
            is_new = self._state.step == 0
            self._fitting.find(self._state, self.network, self.method)
            if is_new:
                self._save()
            self._progress.compare_epochs(self.network, self._state.micro_batch)
            while (problem := self._short_memory.problem_in(self._train_epochs)) is not None:
                self._go_back(problem)

    def _train_epochs(self) -> None:
        """Train to the end.

        Raises:
            GoBackError: If it must go on from a saved state.
        """
        try:
            while self._state.epoch <= self._n_epochs and not self._is_over():
                self._train_epoch()
                if self.control.stop_requested and self._state.batch < self._n_batches:
                    break
                self._finish_epoch()
            self._follow_best(self._kept_best.mend(self._state))
            if self._state.best_epoch == 0:  # stopped within the first epoch
                self._finish_epoch()
        except JobCanceled:
            if self.control.interrupted:
                self._save_before_end()
            raise

    def _restore(self, state: TrainingState, tensors: dict[str, Tensor]) -> None:
        made_again = self._saver.patiently(lambda: self._kept_best.load(state, tensors))
        self._state = state
        self._follow_best(made_again)
        if self._saver.n_in_history() < len(state.history):  # saved, but not told before it ended
            self.emit(epoch_event(self.run, state, self.data, None))
            self._saver.save_history(state.history)

    def _follow_best(self, made_again: Validation | None) -> None:
        """Stop by the state's best epoch, whatever was made of it."""
        state = self._state
        self._stopping.best_epoch = state.best_epoch
        self._stopping.best_auroc, self._stopping.best_loss = state.best_auroc, state.best_loss
        if made_again is not None:
            self.best = made_again

    def _go_back(self, problem: GoBackError) -> None:
        """Go on from a saved state: at a lower rate if numbers went wrong, else in smaller parts.

        Raises:
            RunError: If that has been tried too often, or no saved state is sound.
            MemoryError: If memory ran out and no saved state is sound, or no part can be smaller.
        """
        before, error = self._state, gave_up(self.runtime.precision)
        self._restore(*state_to_go_back_to(self._saver, before, problem, error))
        if problem.is_halving:
            self._fitting.halve(self._state, before.micro_batch)
        self._tell(went_back_sentence(self._state, problem))

    def _pass_on(self, event: Event) -> None:
        self.emit(event)  # who listens may have changed

    def _tell(self, message: str) -> None:
        self.emit(Recovered(run=self.run, message=message))

    def _tell_smaller_parts(self, n: int) -> None:
        self._tell(f"Memory ran short, so images are looked at {n} at a time here.")

    def _is_over(self) -> bool:
        done = self._state.epoch - 1
        return self.control.stop_requested or (done > 0 and self._stopping.is_over(done))

    def _train_epoch(self) -> None:
        state = self._state
        self.method.begin_epoch(self.network, state.epoch, self.config)
        self.method.set_train_mode(self.network)
        order = epoch_order(self.config, self.data, state.epoch)
        self._progress.begin(state)
        while state.batch < self._n_batches and not self.control.stop_requested:
            before = self._clock()
            found, n_images = self._train_batch(order)
            state.batch += 1
            state.step += 1
            state.images += n_images
            elapsed = self._clock() - before
            state.train_seconds += elapsed
            state.epoch_seconds += elapsed
            if found.is_finite:
                state.loss_sum += found.loss
                rate = self.updater.learning_rate
                self.emit(self._progress.batch_event(self.run, state, found.loss, rate))
            self._watcher.batch(state.health, found)
            if self._saver.is_due() and state.health.n_wrong == 0:
                self._save()
            if self._progress.left.wants_look and not self.is_trial:
                self._progress.time_a_look(self.updater.averaged, state)
                self.method.set_train_mode(self.network)
            self.control.safe_point()

    def _train_batch(self, order: NDArray[np.int64]) -> tuple[BatchLoss, int]:
        state, size = self._state, self.config.optimizer.batch_size
        chosen = order[state.batch * size : (state.batch + 1) * size]
        n_steps = self._n_batches * self.config.method.max_epochs
        share = lr_share(state.step, n_steps, self.config.optimizer.warmup)
        found = self._fitting.update(
            state,
            chosen,
            seed=step_seed(self.config.seed, state.epoch, state.batch),
            lr_share=share * state.health.rate,
        )
        return found, len(chosen)

    def _save_before_looking(self) -> None:
        """Save at the end of an epoch's updates, unless what follows is short."""
        rest_s = self._progress.left.end_s
        if rest_s is not None and self._saver.is_due(in_s=rest_s):
            self._save()

    def _finish_epoch(self) -> None:
        state, started = self._state, self._clock()
        self._save_before_looking()
        kept, result = self._looked_at()
        is_forced = self._kept_best.gives_way(self._stopping.best_epoch, state.epoch)
        is_best = self._stopping.update(state.epoch, result.auroc, result.loss, is_forced=is_forced)
        if is_best:  # before any state counts it, which may be saved if this has to wait
            self.best = result
            self._kept_best.save(kept, state.epoch, result)
        elapsed = self._clock() - started
        state.history.append(
            EpochRow(
                epoch=state.epoch,
                train_loss=state.loss_sum / max(1, state.batch - state.health.n_skipped),
                val_loss=result.loss,
                val_auroc=result.auroc,
                learning_rate=self.updater.learning_rate,
                seconds=state.epoch_seconds + elapsed,
            )
        )
        state.best_epoch = self._stopping.best_epoch
        state.best_auroc = self._stopping.best_auroc
        state.best_loss = self._stopping.best_loss
        state.epoch, state.batch, state.loss_sum, state.epoch_seconds = state.epoch + 1, 0, 0.0, 0.0
        self._watcher.epoch(state, result.probabilities)
        # Before it is saved: a saved epoch must be told as well.
        event = epoch_event(self.run, state, self.data, result)
        self._save()
        self.emit(event)
        self._saver.save_history(state.history)
        self._progress.left.epoch_end(self._clock() - started)
        self._short_memory.epoch_done()

    def _looked_at(self) -> tuple[Network, Validation]:
        """Return what is kept of the epoch, and what validation says of it.

        Raises:
            GoBackError: If it isn't made of finite numbers.
        """

        def look() -> tuple[Network, Validation]:
            if not is_sound(self.updater.averaged):
                raise GoBackError(is_numeric=True)
            kept = self.method.finish_epoch(self.updater.averaged, self.context)
            return kept, self._validate(kept)

        told = "Memory ran short after a pass; its validation was done again."
        kept, result = again_if_short(look, lambda: self._tell(told))
        if not np.isfinite(result.loss):
            raise GoBackError(is_numeric=True)
        return kept, result

    def _looked_at_others(self) -> tuple[Network, Validation]:
        """Do so while the weights aren't those of the state: a pause saves nothing then."""
        with self.control.pausing(lambda: self.emit(RunPaused(run=self.run)), self._on_proceed):
            return self._looked_at()

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
            on_batch=lambda *_: self.control.safe_point(),
        )

    def _save(self) -> None:
        self._state.seconds = self._seconds()
        self._saver.save(self._state, self.updater.tensors)

    def _save_before_end(self) -> None:
        self._state.seconds = self._seconds()
        self._saver.save_before_end(
            self._state,
            self.updater.tensors,
            lambda message: self.emit(Warned(run=self.run, message=message)),
        )

    def _seconds(self) -> float:
        return self._seconds_before + self._clock() - self._began

    def _on_pause(self) -> None:
        self._save()
        self.emit(RunPaused(run=self.run))

    def _on_proceed(self) -> None:
        self._progress.begin(self._state)
        self.emit(RunResumed(run=self.run))

    def _clock(self) -> float:
        """Return seconds that don't pass while the run is paused or waits for room on the disk."""
        return time.perf_counter() - self.control.waited_s
