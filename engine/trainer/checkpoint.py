"""A run's resumable states on disk, ``checkpoints/last`` and ``checkpoints/previous``.

A state is written beside and moved into place, and carries checksums, so that a torn or changed one
is noticed and the one before is used. One that can't be read just now is no damaged one. Weights of
the best epoch lie beside them, see ``engine.trainer.best_weights``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from safetensors.torch import load
from torch import Tensor

from engine.contract.errors import RunError
from engine.files import checked, drop_temporaries, long_path, replace_folder, restore_folder
from engine.trainer.checkpoint_folder import DAMAGE, FileNames, content_of, write_folder
from engine.trainer.health import Health
from engine.trainer.history import EpochRow

_NAMES: Final = FileNames(tensors="state.safetensors", facts="state.json")


class NoSoundStateError(RunError):
    """A run can't be gone on with: every state that it saved is damaged."""


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """Where a run stands, apart from tensors.

    Attributes:
        epoch: Epoch in progress or about to begin, from 1.
        batch: Batches of it already done.
        step: Updates done in all.
        loss_sum: Sum of the epoch's batch losses so far.
        train_seconds: Time spent on training batches, over all parts of the run.
        seconds: Time that the run took, over all its parts, without pauses.
        images: Training images seen so far.
        micro_batch: Images of a batch that are computed at once; 0 until that is found.
        health: How training fares.
        config_digest: Hash of the settings the state belongs to.
        split_digest: Hash of the split it belongs to.
        recipe: Copy of the run's ``recipe.json``, in case that is damaged; empty in older states.
    """

    epoch: int = 1
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    epoch_seconds: float = 0.0
    train_seconds: float = 0.0
    seconds: float = 0.0
    images: int = 0
    best_epoch: int = 0
    best_auroc: float = float("-inf")
    best_loss: float = float("inf")
    history: list[EpochRow] = field(default_factory=list)
    micro_batch: int = 0
    health: Health = field(default_factory=Health)
    config_digest: str = ""
    split_digest: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)


def save_state(checkpoints: Path, state: TrainingState, tensors: dict[str, Tensor]) -> None:
    """Write a resumable state as ``last``; the former ``last`` becomes ``previous``.

    Args:
        checkpoints: Folder of the run's checkpoints; the run's own folder must be there.
        state: What is saved, apart from tensors.
        tensors: By name.

    Raises:
        StorageError: If the disk is full, gone, or can't be written; the former states are
            untouched.
    """
    writing = checkpoints / "writing"
    write_folder(writing, _NAMES, tensors, _json_ready(asdict(state)))
    last, previous = checkpoints / "last", checkpoints / "previous"
    if long_path(last).exists():
        replace_folder(last, previous)
    replace_folder(writing, last)


def load_state(checkpoints: Path) -> tuple[TrainingState, dict[str, Tensor], str | None]:
    """Read the newest sound state.

    Returns:
        The state, its tensors, and a sentence when the newest state was damaged and an earlier
        one is used, else None.

    Raises:
        NoSoundStateError: If there is no sound state.
        StorageError: If a state can't be read just now; it is not given up for that.
    """
    _mend(checkpoints)
    problem: str | None = None
    for loaded in _states(checkpoints):
        if loaded is not None:
            return (*loaded, problem)
        problem = "The newest saved state was damaged; training goes on from the one before."
    raise NoSoundStateError(
        "This run has no saved state to go on from.", remedy="Start a new run with its settings."
    )


def _mend(checkpoints: Path) -> None:
    """Clear away what a killed process left half done."""
    for name in ("last", "previous", "best"):
        restore_folder(checkpoints / name)
    for folder in (checkpoints, checkpoints.parent):
        drop_temporaries(folder)
    for name in ("writing", "best.writing"):
        shutil.rmtree(checkpoints / name, ignore_errors=True)


def sound_states(checkpoints: Path) -> Iterator[tuple[TrainingState, dict[str, Tensor]]]:
    """Read the sound states, newest first, each only when it is asked for.

    Raises:
        StorageError: As :func:`load_state`.
    """
    return (loaded for loaded in _states(checkpoints) if loaded is not None)


def _states(checkpoints: Path) -> Iterator[tuple[TrainingState, dict[str, Tensor]] | None]:
    """Read the states, newest first; None in the place of a damaged one."""
    for name in ("last", "previous"):
        if long_path(checkpoints / name).is_dir():
            yield _load_sound(checkpoints / name)


def has_state(checkpoints: Path) -> bool:
    """Return whether a state was saved, without reading it."""
    return any(long_path(checkpoints / name).is_dir() for name in ("last", "previous"))


def _load_sound(folder: Path) -> tuple[TrainingState, dict[str, Tensor]] | None:
    """Read a state; None if it is damaged, or a part of it isn't there.

    Raises:
        StorageError: If it can't be read just now.
    """
    text, data = content_of(folder / _NAMES.facts), content_of(folder / _NAMES.tensors)
    if text is None or data is None:
        return None
    try:
        facts = checked(json.loads(text))
        if facts.pop("sha256") != hashlib.sha256(data).hexdigest():
            return None
        history = [EpochRow(**_from_json(row)) for row in facts.pop("history")]
        health = Health(**_from_json(facts.pop("health", {})))
        state = TrainingState(**_from_json(facts), history=history, health=health)
        return state, load(data)
    except DAMAGE:
        return None


def _json_ready(value: Any) -> Any:
    """Write infinities and NaN as text, which JSON can hold and ``float`` reads back."""
    if isinstance(value, dict):
        return {key: _json_ready(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json_ready(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f"float:{value}"
    return value


def _from_json(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        key: float(value[6:]) if isinstance(value, str) and value.startswith("float:") else value
        for key, value in facts.items()
    }
