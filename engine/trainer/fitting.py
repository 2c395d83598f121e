"""Batches in parts that fit into memory: found before training, halved whenever one doesn't."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.hardware.out_of_memory import is_out_of_memory, release_memory
from engine.methods.method import FineTuneMethod, MethodContext
from engine.models.network import Network
from engine.trainer.batch_size import find_micro_batch, remember_micro_batch
from engine.trainer.checkpoint import TrainingState
from engine.trainer.update import BatchLoss, Updater


class FittingUpdater:
    """Computes the gradients of batches, whatever the memory.

    The update stays that of the whole batch; how many images are computed at once is kept in the
    training state, so that a resumed run adds them up in the same order.
    """

    def __init__(
        self, updater: Updater, context: MethodContext, tell: Callable[[str], None]
    ) -> None:
        """Prepare.

        Args:
            updater: Computes parts.
            context: Settings and runtime.
            tell: Receives one sentence whenever the parts become smaller.
        """
        self._updater, self._context, self._tell = updater, context, tell

    def find(self, state: TrainingState, network: Network, method: FineTuneMethod) -> None:
        """Find how many images fit, with all layers open that will be in the last epoch.

        A run that goes on keeps its number while that fits, so that it adds up in the same order.

        Raises:
            MemoryError: If not even one image fits.
        """
        config = self._context.config
        method.begin_epoch(network, config.method.max_epochs, config)
        method.set_train_mode(network)
        wanted = min(config.optimizer.batch_size, len(self._context.data.train))
        wanted = state.micro_batch or wanted
        found = find_micro_batch(self._updater, network, self._context)
        state.micro_batch = min(found, wanted)
        if state.micro_batch < wanted:
            self._tell(
                f"A whole batch doesn't fit into memory, so {_images(state.micro_batch)} computed "
                "at a time. The result stays the same."
            )

    def gradients(
        self, state: TrainingState, chosen: NDArray[np.int64], *, seed: int, lr_share: float
    ) -> BatchLoss:
        """Compute a batch's gradients as ``Updater.gradients`` does.

        Raises:
            Exception: What that raises, also when memory doesn't suffice for one image.
        """
        while (found := self._tried(state, chosen, seed, lr_share)) is None:
            self.halve(state, min(len(chosen), state.micro_batch))
            self._tell(
                f"Memory ran short, so {_images(state.micro_batch)} computed at a time from here "
                "on. Each update still learns from a whole batch, and the result stays the same."
            )
        return found

    def _tried(
        self, state: TrainingState, chosen: NDArray[np.int64], seed: int, lr_share: float
    ) -> BatchLoss | None:
        try:
            return self._updater.gradients(
                chosen, seed=seed, lr_share=lr_share, micro_batch=state.micro_batch
            )
        except Exception as error:
            if not is_out_of_memory(error) or min(len(chosen), state.micro_batch) == 1:
                raise
            return None

    def halve(self, state: TrainingState, n_images: int) -> None:
        """Compute half as many images at a time, and remember that for other runs.

        Raises:
            MemoryError: If it was one already.
        """
        release_memory()
        if n_images == 1:
            raise MemoryError("not even one image fits")
        state.micro_batch = n_images // 2
        remember_micro_batch(self._context, fits=state.micro_batch, tried=n_images)


def _images(n: int) -> str:
    return "one image is" if n == 1 else f"{n} images are"
