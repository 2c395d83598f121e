"""Where a training saves itself: on disk, patiently, or for a short trial in memory."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from torch import Tensor

from engine.contract.control import Control, JobCanceled
from engine.contract.errors import StorageError
from engine.contract.events import Event
from engine.hardware.out_of_memory import SingleItemError, is_out_of_memory, release_memory
from engine.models.network import Network
from engine.trainer.best_weights import best_facts, save_best
from engine.trainer.checkpoint import TrainingState, load_state, save_state, sound_states
from engine.trainer.checkpoint_folder import content_of
from engine.trainer.full_disk import when_there_is_room
from engine.trainer.history import EpochRow, write_history

_EVERY_S: Final = 180.0
_SHARE: Final = 20.0  # saving takes a twentieth of the time at most
Done = TypeVar("Done")
Saved = tuple[TrainingState, dict[str, Tensor]]


@dataclass(kw_only=True)
class Saver:
    """Writes and reads what a run keeps; waits while its folder is away or the disk refuses.

    Attributes:
        folder: The run's folder.
        run: The run's id.
        emit: Receives the events of waiting.
        control: Ends the waiting.
        clock: Seconds that don't pass while the run waits.
        require_there: Raises a ``StorageError`` while the run's folder is not where the run began;
            asked before anything is written.
        is_trial: Whether states stay in memory and nothing is written.
    """

    folder: Path
    run: str
    emit: Callable[[Event], None]
    control: Control
    clock: Callable[[], float]
    require_there: Callable[[], None]
    is_trial: bool

    def __post_init__(self) -> None:
        """Count the time until the next saving from now."""
        self._saved_at, self._save_s = self.clock(), 0.0
        self._note_saved(0)
        self._kept: Saved | None = None

    @property
    def checkpoints(self) -> Path:
        """Where the states and the best weights are."""
        return self.folder / "checkpoints"

    def is_due(self, in_s: float = 0.0) -> bool:
        """Return whether the state should be saved, now or, if nothing else does, in some seconds.

        Saving never takes more than a small share of the time.
        """
        since = self.clock() - self._saved_at
        return not self.is_trial and since + in_s >= max(_EVERY_S, _SHARE * self._save_s)

    def save(self, state: TrainingState, tensors: Callable[[], dict[str, Tensor]]) -> None:
        """Keep a state to go on from.

        Args:
            state: Apart from tensors.
            tensors: Gathers them; called again after memory ran short.
        """
        if self.is_trial:
            copies = {name: tensor.clone() for name, tensor in tensors().items()}
            self._kept = (copy.deepcopy(state), copies)
            return
        started = self.clock()
        self.patiently(lambda: save_state(self.checkpoints, state, tensors()))
        self._saved_at = self.clock()
        self._save_s = self._saved_at - started
        self._note_saved(state.step)

    def save_before_end(
        self,
        state: TrainingState,
        tensors: Callable[[], dict[str, Tensor]],
        tell: Callable[[str], None],
    ) -> None:
        """Keep a state as :meth:`save` does, of a training that must end now.

        Args:
            state: Apart from tensors.
            tensors: Gathers them.
            tell: Receives what is lost where the disk refuses.
        """
        try:
            self.save(state, tensors)
        except JobCanceled:
            if (n := state.step - self._n_saved) > 0:
                steps = "step of training, done" if n == 1 else f"{n:,} steps of training, done"
                tell(
                    f"The last {steps} since {self._saved_when}, couldn't be saved. They are done "
                    "again when the training is continued."
                )

    def _note_saved(self, step: int) -> None:
        self._n_saved, self._saved_when = step, time.strftime("%H:%M")

    def save_best(self, network: Network, facts: dict[str, Any]) -> None:
        """Keep the weights of the best epoch."""
        if not self.is_trial:
            self.patiently(lambda: save_best(self.checkpoints, network, facts))

    def save_history(self, rows: Sequence[EpochRow]) -> None:
        """Write the table of epochs."""
        if not self.is_trial:
            self.patiently(lambda: write_history(self.folder / "history.csv", rows))

    def n_in_history(self) -> int:
        """Return how many epochs that table has; a trial writes none, so it lacks none."""
        if self.is_trial:
            return sys.maxsize
        table = self.patiently(lambda: content_of(self.folder / "history.csv"))
        return 0 if table is None else table.count(b"\n") - 1

    def load(self) -> tuple[TrainingState, dict[str, Tensor], str | None]:
        """Read the newest sound state from disk, as ``load_state`` does."""
        state, tensors, problem = self.patiently(lambda: load_state(self.checkpoints))
        self._note_saved(state.step)
        return state, tensors, problem

    def states(self) -> Iterable[Saved]:
        """Return the saved states, newest first."""
        if not self.is_trial:
            return sound_states(self.checkpoints)
        return [] if self._kept is None else [copy.deepcopy(self._kept)]

    def best_facts(self) -> dict[str, Any]:
        """Return what was written beside the best weights; nothing unless both are sound."""
        return {} if self.is_trial else self.patiently(lambda: best_facts(self.checkpoints))

    def patiently(self, act: Callable[[], Done]) -> Done:
        """Write or read in the run's folder; wait while that is away, the disk or memory full.

        Raises:
            JobCanceled: If the run was asked to end while it waited.
        """

        def in_place() -> Done:
            self.require_there()
            try:
                return act()
            except Exception as error:
                if isinstance(error, SingleItemError) or not is_out_of_memory(error):
                    raise
            # Out here the error is gone, and what it held.
            release_memory()
            raise StorageError(
                "Memory ran short while the training was being saved or read.",
                remedy="Close other programs; it goes on by itself.",
            )

        return when_there_is_room(in_place, run=self.run, emit=self.emit, control=self.control)
