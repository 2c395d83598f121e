"""Batches in parts that fit into memory: found before training, halved whenever one doesn't."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

from engine.hardware.out_of_memory import SingleItemError, is_out_of_memory, release_memory
from engine.methods.method import FineTuneMethod
from engine.models.network import Network
from engine.trainer.batch_size import find_micro_batch, remember_micro_batch
from engine.trainer.checkpoint import TrainingState
from engine.trainer.going_back import GoBackError
from engine.trainer.update import Batch, BatchLoss, BatchUpdater, HalfUpdatedError, Setup


class FittingUpdater(Generic[Batch]):
    """Computes the gradients of batches, whatever the memory.

    The update stays that of the whole batch; how many images are computed at once is kept in the
    training state, so that a resumed run adds them up in the same order.
    """

    def __init__(
        self, updater: BatchUpdater[Batch], context: Setup, tell: Callable[[str], None]
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
            SingleItemError: If not even one image fits.
        """
        config = self._context.config
        method.begin_epoch(network, config.method.max_epochs, config)
        method.set_train_mode(network)
        wanted = state.micro_batch or self._updater.n_images
        found = find_micro_batch(self._updater, network, self._context)
        state.micro_batch = min(found, wanted)
        if state.micro_batch < wanted:
            self._tell(
                f"A whole batch doesn't fit into memory, so {_images(state.micro_batch)} computed "
                "at a time. Each update still learns from a whole batch."
            )

    def update(
        self, state: TrainingState, batch: Batch, *, seed: int, lr_share: float
    ) -> BatchLoss:
        """Make the update of a batch, or none if its numbers went wrong.

        Raises:
            Exception: What :meth:`gradients` raises.
            GoBackError: If memory ran out while the weights were being changed.
        """
        found = self.gradients(state, batch, seed=seed, lr_share=lr_share)
        if not found.is_finite:
            self._updater.skip()
        elif not self._applied():
            raise GoBackError(is_numeric=False)
        return found

    def _applied(self) -> bool:
        """Change the weights; return False if memory ran out meanwhile."""
        try:
            self._updater.apply()
        except HalfUpdatedError:
            return False
        return True

    def gradients(
        self, state: TrainingState, batch: Batch, *, seed: int, lr_share: float
    ) -> BatchLoss:
        """Compute a batch's gradients as ``Updater.gradients`` does.

        Raises:
            SingleItemError: If memory doesn't suffice for one image.
            Exception: What that raises for any other reason.
        """
        while (found := self._tried(state, batch, seed, lr_share)) is None:
            self.halve(state, min(len(batch), state.micro_batch))
            self._tell(
                f"Memory ran short, so {_images(state.micro_batch)} computed at a time from here "
                "on. Each update still learns from a whole batch."
            )
        return found

    def _tried(
        self, state: TrainingState, batch: Batch, seed: int, lr_share: float
    ) -> BatchLoss | None:
        try:
            return self._updater.gradients(
                batch, seed=seed, lr_share=lr_share, micro_batch=state.micro_batch
            )
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if min(len(batch), state.micro_batch) == 1:
                raise SingleItemError("not even one image fits") from error
            return None

    def take_smaller_parts(self, state: TrainingState) -> bool:
        """Compute half as many images at a time: the system ended the training for its memory.

        Returns:
            Whether that could be done, and the state is to be saved: if the training is ended
            again, the next try begins with a quarter.
        """
        n_images = state.micro_batch or self._updater.n_images
        if n_images == 1:
            return False
        self.halve(state, n_images)
        self._tell(
            "The system ended this training when the computer's memory was used up, so images are "
            f"computed {state.micro_batch} at a time from here on. Each update still learns from a "
            "whole batch."
        )
        return True

    def halve(self, state: TrainingState, n_images: int) -> None:
        """Compute half as many images at a time, and remember that for other runs.

        Raises:
            MemoryError: If it was one already.
        """
        release_memory()
        if n_images == 1:
            raise MemoryError("memory ran short although images are computed one at a time")
        state.micro_batch = n_images // 2
        remember_micro_batch(self._context, fits=state.micro_batch, tried=n_images)


def _images(n: int) -> str:
    return "one image is" if n == 1 else f"{n} images are"
