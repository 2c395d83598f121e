"""A run's state on disk: tensors as safetensors, everything else as JSON, no pickle.

``checkpoints/last`` and ``checkpoints/previous`` hold resumable states, ``checkpoints/best`` the
weights of the best epoch. A state is written beside and moved into place, and carries checksums of
tensors and facts, so that a torn or changed one is noticed and the one before is used. One that
can't be read just now is no damaged one. Files are read whole, not mapped: a map would keep a state
from being replaced on Windows as long as the run lasts.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from engine.contract.errors import RunError, StorageError
from engine.contract.targets import SOFTMAX
from engine.files import (
    checked,
    drop_temporaries,
    long_path,
    make_folder,
    replace_folder,
    restore_folder,
    sha256_file,
    signed,
    write_atomic,
    write_json,
)
from engine.models.network import Network
from engine.trainer.health import Health
from engine.trainer.history import EpochRow

_TENSORS: Final = "state.safetensors"
_FACTS: Final = "state.json"
_WEIGHTS: Final = "weights.safetensors"
_FACTS_OF_WEIGHTS: Final = "facts.json"
_DAMAGE: Final = (SafetensorError, ValueError, KeyError, TypeError)
"""What reading a file raises that isn't what was written."""
_WHOLE_SCALER_FACTS: Final = ("growth_interval", "_growth_tracker")


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
    shutil.rmtree(writing, ignore_errors=True)
    try:
        _make_folders(writing)
        data = save({name: tensor.contiguous() for name, tensor in tensors.items()})
        write_atomic(writing / _TENSORS, data)
        facts = _json_ready(asdict(state) | {"sha256": sha256_file(writing / _TENSORS)})
        write_json(writing / _FACTS, signed(facts))
    except BaseException:
        shutil.rmtree(writing, ignore_errors=True)
        raise
    last, previous = checkpoints / "last", checkpoints / "previous"
    if last.exists():
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


def save_best(checkpoints: Path, network: Network, facts: dict[str, Any]) -> None:
    """Write the weights of the best epoch, replacing the former best.

    Args:
        checkpoints: Folder of the run's checkpoints; the run's own folder must be there.
        network: What is kept; its kind of features goes into the facts.
        facts: Written beside the weights, with what building the network again takes.

    Raises:
        StorageError: If the disk is full, gone, or can't be written; the former best is untouched.
    """
    tensors = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    data = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    writing = checkpoints / "best.writing"
    shutil.rmtree(writing, ignore_errors=True)
    try:
        _make_folders(writing)
        write_atomic(writing / _WEIGHTS, data)
        of_network = {
            "features": network.feature_kind,
            "mean": network.card.mean,
            "std": network.card.std,
            "activation": network.activation,
        }
        digest = {"sha256": sha256_file(writing / _WEIGHTS)}
        write_json(writing / _FACTS_OF_WEIGHTS, signed(facts | of_network | digest))
    except BaseException:
        shutil.rmtree(writing, ignore_errors=True)
        raise
    replace_folder(writing, checkpoints / "best")


def _make_folders(writing: Path) -> None:
    for folder in (writing.parent, writing):
        make_folder(folder, parents=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The network of the best epoch, and what building it again takes.

    Attributes:
        tensors: By the network's names.
        features: What its head sees: ``stages`` or ``last``.
        mean: What it subtracts from values in [0, 1]; None where an older version didn't say: the
            backbone's own.
        std: Standard deviation, likewise.
        activation: What turns logits into probabilities: ``softmax`` or ``sigmoid``.
    """

    tensors: dict[str, Tensor]
    features: str
    mean: tuple[float, float, float] | None
    std: tuple[float, float, float] | None
    activation: str


def load_best(checkpoints: Path) -> Best:
    """Read the network of the best epoch.

    Raises:
        RunError: If there are none, or they are damaged.
        StorageError: If they can't be read just now.
    """
    folder = checkpoints / "best"
    data = _content(folder / _WEIGHTS)
    if data is None:
        raise RunError(
            "This run kept no weights; it ended before its first validation.",
            remedy="Start a new run.",
        )
    try:
        facts, tensors = _sound_best(data, _content(folder / _FACTS_OF_WEIGHTS))
        mean, std = (_three(facts.get(name)) for name in ("mean", "std"))
        return Best(
            tensors=tensors,
            features=str(facts["features"]),
            mean=mean,
            std=std,
            activation=str(facts.get("activation", SOFTMAX)),
        )
    except _DAMAGE as error:
        raise RunError(
            "The weights that this run kept are damaged.",
            remedy="Restore the project from a backup, or train a new run.",
        ) from error


def _sound_best(data: bytes, text: bytes | None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the facts and the weights of a best epoch.

    Raises:
        One of ``_DAMAGE``: If they aren't those that were written.
    """
    facts = dict(json.loads(text or b""))
    if any(name.endswith("sha256") for name in facts):  # older versions wrote none
        facts = checked(facts)
        if facts["sha256"] != hashlib.sha256(data).hexdigest():
            raise ValueError("other weights than were written")
    return facts, load(data)


def _three(values: Any) -> tuple[float, float, float] | None:
    if values is None:
        return None
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def best_facts(checkpoints: Path) -> dict[str, Any]:
    """Return what was written beside the weights of the best epoch.

    Nothing if one of the two is damaged or isn't there.

    Raises:
        StorageError: If they can't be read just now.
    """
    folder = checkpoints / "best"
    data, text = _content(folder / _WEIGHTS), _content(folder / _FACTS_OF_WEIGHTS)
    try:
        return {} if data is None else _sound_best(data, text)[0]
    except _DAMAGE:
        return {}


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as named tensors."""
    packed: dict[str, Tensor] = {}
    for index, slots in optimizer.state_dict()["state"].items():
        for name, value in slots.items():
            packed[f"optimizer.{index}.{name}"] = torch.as_tensor(value).cpu()
    return packed


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put a packed state back into an optimizer over the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    for parameter, slots in optimizer.state.items():
        for name, value in slots.items():
            if value.shape == parameter.shape:
                # The fused kernel goes through memory in order: a slot that lies there in another
                # order than its parameter (channels-last) would meet the wrong weights.
                slots[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def pack_scaler(scaler: torch.amp.GradScaler) -> dict[str, Tensor]:
    """Return the gradient scaler's state as named tensors; nothing while it is switched off."""
    return {
        f"scaler.{name}": torch.tensor(value, dtype=torch.float64)
        for name, value in scaler.state_dict().items()
    }


def unpack_scaler(scaler: torch.amp.GradScaler, tensors: dict[str, Tensor]) -> None:
    """Put a packed state back into a scaler that is switched on."""
    state = {
        name.removeprefix("scaler."): tensor.item()
        for name, tensor in tensors.items()
        if name.startswith("scaler.")
    }
    if state:
        scaler.load_state_dict(
            {**state, **{name: int(state[name]) for name in _WHOLE_SCALER_FACTS}}
        )


def _load_sound(folder: Path) -> tuple[TrainingState, dict[str, Tensor]] | None:
    """Read a state; None if it is damaged, or a part of it isn't there.

    Raises:
        StorageError: If it can't be read just now.
    """
    text, data = _content(folder / _FACTS), _content(folder / _TENSORS)
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
    except _DAMAGE:
        return None


def _content(path: Path) -> bytes | None:
    """Return a file's bytes; None if there is none.

    Raises:
        StorageError: If it can't be read just now.
    """
    try:
        return long_path(path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(
            "What this run has saved can't be read just now: another program holds the file, or "
            "its disk doesn't answer.",
            remedy="Nothing is lost. Wait a moment or connect the disk again, then try again.",
        ) from error


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
