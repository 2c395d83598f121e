"""The weights of a run's best epoch on disk, ``checkpoints/best``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors.torch import load
from torch import Tensor

from engine.contract.errors import RunError
from engine.contract.targets import SOFTMAX
from engine.files import checked, replace_folder
from engine.models.network import Network
from engine.trainer.checkpoint_folder import DAMAGE, FileNames, content_of, write_folder

_NAMES: Final = FileNames(tensors="weights.safetensors", facts="facts.json")


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
    of_network = {
        "features": network.feature_kind,
        "mean": network.card.mean,
        "std": network.card.std,
        "activation": network.activation,
    }
    writing = checkpoints / "best.writing"
    write_folder(writing, _NAMES, tensors, facts | of_network)
    replace_folder(writing, checkpoints / "best")


def load_best(checkpoints: Path) -> Best:
    """Read the network of the best epoch.

    Raises:
        RunError: If they are missing or damaged: a run that ended in order kept some.
        StorageError: If they can't be read just now.
    """
    folder = checkpoints / "best"
    data = content_of(folder / _NAMES.tensors)
    if data is None:
        raise _lost("missing")
    try:
        facts, tensors = _sound_best(data, content_of(folder / _NAMES.facts))
        mean, std = (_three(facts.get(name)) for name in ("mean", "std"))
        return Best(
            tensors=tensors,
            features=str(facts["features"]),
            mean=mean,
            std=std,
            activation=str(facts.get("activation", SOFTMAX)),
        )
    except DAMAGE as error:
        raise _lost("damaged") from error


def _lost(how: str) -> RunError:
    return RunError(
        f"The weights that this run kept are {how}.",
        remedy="Restore the project from a backup, or train a new run.",
    )


def _sound_best(data: bytes, text: bytes | None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the facts and the weights of a best epoch.

    Raises:
        One of ``DAMAGE``: If they aren't those that were written.
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
    data, text = content_of(folder / _NAMES.tensors), content_of(folder / _NAMES.facts)
    try:
        return {} if data is None else _sound_best(data, text)[0]
    except DAMAGE:
        return {}
