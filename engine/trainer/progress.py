"""How fast a run trains and how long it still takes, told with every batch."""

from __future__ import annotations

from collections.abc import Callable

from engine.contract.events import BatchFinished
from engine.hardware import memory_mb
from engine.methods.method import FineTuneMethod, MethodContext
from engine.models.network import Network
from engine.trainer.checkpoint import TrainingState
from engine.trainer.epoch_costs import epoch_costs
from engine.trainer.look_time import time_of_looks
from engine.trainer.pace import Pace
from engine.trainer.time_left import TimeLeft


class Progress:
    """Follows a run from batch to batch.

    Attributes:
        left: The estimate of the time to the end.
    """

    def __init__(
        self,
        method: FineTuneMethod,
        context: MethodContext,
        clock: Callable[[], float],
        *,
        n_batches: int,
        n_epochs: int,
    ) -> None:
        """Prepare.

        Args:
            method: How the run trains.
            context: Settings, data and runtime.
            clock: Seconds that don't pass while the run is paused or waits for room on the disk.
            n_batches: Of an epoch.
            n_epochs: After which it ends, unless patience runs out before.
        """
        self._method, self._context, self._clock = method, context, clock
        self._n_batches, self._n_epochs = n_batches, n_epochs
        self._batch_size = context.config.optimizer.batch_size
        n_train, n_val = len(context.data.train), len(context.data.val)
        fits_anew = type(method).finish_epoch is not FineTuneMethod.finish_epoch
        self.left = TimeLeft(
            n_images=min(n_train, n_batches * self._batch_size),
            n_looked_at=n_val + (n_train if fits_anew else 0),
        )
        self._pace = Pace(clock, self.left)

    def compare_epochs(self, network: Network, micro_batch: int) -> None:
        """Measure what epochs cost, where they differ; the network is left as in the last one.

        Args:
            network: What is trained.
            micro_batch: Most images that are computed at once.
        """
        config, runtime = self._context.config, self._context.runtime
        self.left.costs = epoch_costs(
            network, self._method, config, runtime, micro_batch=micro_batch
        )

    def begin(self, state: TrainingState) -> None:
        """Take the speed from here on, where an epoch or what follows a pause begins."""
        self._pace.begin(state.images)
        self.left.begin_epoch(state.epoch)

    def time_a_look(self, network: Network, state: TrainingState) -> None:
        """Measure what looking at an image costs; the network is left in evaluation mode."""
        data, runtime = self._context.data, self._context.runtime
        self.left.looked(*time_of_looks(network, data, runtime, self._clock))
        self._pace.skip(state.images)

    def batch_event(
        self, run: str, state: TrainingState, loss: float, learning_rate: float
    ) -> BatchFinished:
        """Take in a batch, and return its event.

        Args:
            run: The run's id.
            state: Where the run stands after it.
            loss: Of the batch, before its update.
            learning_rate: The head's present rate.
        """
        speed = self._pace.batch(state.images)
        return BatchFinished(
            run=run,
            epoch=state.epoch,
            batch=state.batch,
            n_batches=self._n_batches,
            step=state.step,
            loss=loss,
            learning_rate=learning_rate,
            images_per_s=speed,
            memory_mb=memory_mb(self._context.runtime),
            seconds_left=self.left.seconds_left(
                images_left=(self._n_batches - state.batch) * self._batch_size,
                epochs_after=self._n_epochs - state.epoch,
            ),
        )
