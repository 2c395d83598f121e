"""What a pre-training saves besides what a run does: the best epoch so far, in the same file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from engine.contract.errors import RunError
from engine.contract.events import Event, Warned
from engine.trainer.checkpoint import TrainingState, has_state
from engine.trainer.saving import Saved, Saver

_BODY: Final = "best.body."
_AUROCS: Final = "best.val_aurocs"


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """The best epoch.

    Attributes:
        body: Tensors of the network's body, float32 on the CPU, under the library's names.
        val_aurocs: Validation AUROC of each task, in their order.
        epochs: Epochs trained.
        best_epoch: The epoch kept, from 1.
        seconds_before: Time that earlier parts of an interrupted training took, without pauses.
    """

    body: dict[str, Tensor]
    val_aurocs: tuple[float, ...]
    epochs: int
    best_epoch: int
    seconds_before: float


def pack_best(best: Pretrained | None) -> dict[str, Tensor]:
    """Return the best epoch as named tensors; nothing while there is none."""
    if best is None:
        return {}
    found = {f"{_BODY}{name}": tensor for name, tensor in best.body.items()}
    return found | {_AUROCS: torch.tensor(best.val_aurocs, dtype=torch.float64)}


def unpack_best(tensors: dict[str, Tensor], state: TrainingState) -> Pretrained | None:
    """Return what :func:`pack_best` gave, in memory of its own."""
    if _AUROCS not in tensors:
        return None
    body = {n.removeprefix(_BODY): t.clone() for n, t in tensors.items() if n.startswith(_BODY)}
    return Pretrained(
        body=body,
        val_aurocs=tuple(tensors[_AUROCS].tolist()),
        epochs=state.epoch - 1,
        best_epoch=state.best_epoch,
        seconds_before=state.seconds,
    )


def saved_state(saver: Saver, emit: Callable[[Event], None]) -> Saved | None:
    """Return the state to go on from, if there is a sound one; a damaged one is told.

    Raises:
        JobCanceled: If the job was asked to end while it waited for the disk.
    """
    if saver.is_trial or not saver.patiently(lambda: has_state(saver.checkpoints)):
        return None
    try:
        state, tensors, problem = saver.load()
    except RunError:
        emit(Warned(message="The saved state of this pre-training was damaged; it begins anew."))
        return None
    if problem is not None:
        emit(Warned(message=problem))
    return state, tensors
