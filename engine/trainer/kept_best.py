"""Which epoch is the best: the one whose weights are kept, and sound.

Damaged ones would otherwise be noticed when the run is over and nobody can go on with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from engine.contract.config import ExperimentConfig
from engine.methods.method import FineTuneMethod
from engine.models.network import Network
from engine.trainer.checkpoint import TrainingState
from engine.trainer.saving import Saved, Saver
from engine.trainer.steps import Validation
from engine.trainer.update import Updater


@dataclass(frozen=True, kw_only=True)
class KeptBest:
    """Knows the best epoch of a training from what is on the disk.

    Attributes:
        saver: Where the states and the best weights are.
        updater: Its averaged network is what is kept.
        method: Says what is kept of that, and which epochs can't be the best.
        config: The settings.
        look: Returns what is kept of the updater's weights, and what validation says of it.
        tell: Receives a sentence when weights were damaged.
    """

    saver: Saver
    updater: Updater
    method: FineTuneMethod
    config: ExperimentConfig
    look: Callable[[], tuple[Network, Validation]]
    tell: Callable[[str], None]

    def gives_way(self, best: int, epoch: int) -> bool:
        """Return whether the best epoch gives way to another, whatever that is like.

        One does in which the method was still warming up, and so does any while it is.
        """
        return self.method.is_warming_up(epoch, self.config) or (
            best > 0 and self.method.is_warming_up(best, self.config)
        )

    def save(self, network: Network, epoch: int, result: Validation) -> None:
        """Keep the weights of an epoch, which is the best now."""
        facts = {
            "epoch": epoch,
            "val_auroc": result.auroc,
            "val_loss": result.loss,
            "method_facts": self.method.summary(network),
        }
        self.saver.save_best(network, facts)

    def load(self, state: TrainingState, tensors: dict[str, Tensor]) -> Validation | None:
        """Take up a saved state, and let its best epoch be the one whose weights are kept.

        That may be one after the state's: weights are kept before the state that knows of them, and
        stay where training goes back.

        Returns:
            What validation says of weights that had to be made again, else None.
        """
        facts = self.saver.best_facts()
        if "sha256" in facts and facts.get("val_loss") is not None:  # older versions wrote neither
            state.best_epoch = facts["epoch"]
            state.best_auroc, state.best_loss = facts["val_auroc"], facts["val_loss"]
        found = None if facts else self._made_again(state, tensors)
        self.updater.load(tensors)
        return found

    def mend(self, state: TrainingState) -> Validation | None:
        """Make the kept weights again if they have been damaged since; as :meth:`load` returns."""
        if self.saver.is_trial or self.saver.best_facts():
            return None
        present = {name: tensor.clone() for name, tensor in self.updater.tensors().items()}
        try:
            return self._made_again(state, present)
        finally:  # whatever happens: a state may be saved next
            self.updater.load(present)

    def _made_again(self, state: TrainingState, tensors: dict[str, Tensor]) -> Validation | None:
        """Keep weights of the best epoch whose end is still saved, and let that be the best.

        Without one no epoch is the best any more, so that the next will be. The updater is left
        with other weights.
        """
        if self.saver.is_trial or state.best_epoch == 0:
            return None
        lost = f"The kept weights of the best pass, pass {state.best_epoch}, are damaged or gone"
        found = self._best_end(itertools.chain([(state, tensors)], self.saver.states()))
        if found is None:
            state.best_epoch = 0
            state.best_auroc, state.best_loss = float("-inf"), float("inf")
            self.tell(f"{lost}. The next pass takes its place.")
            return None
        self.updater.load(found[1])
        network, result = self.look()
        epoch = found[0].epoch - 1
        self.save(network, epoch, result)
        if epoch == state.best_epoch:
            self.tell(f"{lost}; they were made again from what was saved after it.")
        else:
            self.tell(f"{lost}. Pass {epoch} takes its place.")
        state.best_epoch, state.best_auroc, state.best_loss = epoch, result.auroc, result.loss
        return result

    def _best_end(self, states: Iterable[Saved]) -> Saved | None:
        """Return the state that was saved right after the best epoch of those that any was."""
        ends = (found for found in states if found[0].batch == 0 and found[0].history)
        return max(ends, key=lambda found: self._rank(found[0]), default=None)

    def _rank(self, state: TrainingState) -> tuple[bool, float, float]:
        row = state.history[-1]
        is_ready = not self.method.is_warming_up(row.epoch, self.config)
        return is_ready, row.val_auroc, -row.val_loss
