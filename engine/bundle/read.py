"""Reading a bundle: nothing is trusted before its checksums agree."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from engine.bundle.format import (
    BUNDLE_VERSION,
    FACTS_NAME,
    WEIGHTS_NAME,
    BundleFacts,
    facts_digest,
)
from engine.contract.config_io import from_plain
from engine.contract.errors import BundleError, ConfigError
from engine.files import long_path, sha256_file
from engine.models.network import Network
from engine.models.registry import build_network


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A checked bundle."""

    folder: Path
    facts: BundleFacts
    tensors: dict[str, Tensor]

    def network(self) -> Network:
        """Build the network with the bundle's weights, in evaluation mode.

        Raises:
            BundleError: If the weights don't fit the backbone that the bundle names.
        """
        try:
            network = build_network(
                self.facts.backbone.key,
                len(self.facts.classes),
                weights="scratch",
                features=self.facts.backbone.features,
            )
            network.load_state_dict(self.tensors)
        except (RuntimeError, ValueError, ConfigError) as error:
            raise BundleError(
                "The bundle's weights don't fit the network that it names.",
                remedy="Export it again, or update RadTune.",
            ) from error
        return network.eval()


def read_bundle(folder: Path) -> Bundle:
    """Read and check a bundle.

    Raises:
        BundleError: If a file is missing or changed, or a newer version wrote the bundle.
    """
    facts = read_facts(folder)
    for name, digest in facts.files.items():
        path = long_path(folder / name)
        if not path.is_file():
            raise BundleError(
                f"The bundle is incomplete: {name} is missing.",
                remedy="Copy the whole bundle folder again, or export it again.",
            )
        if sha256_file(path) != digest:
            raise BundleError(
                f"The bundle is damaged: {name} has changed since it was exported.",
                remedy="Copy the bundle folder again, or export it again.",
            )
    try:
        tensors = load_file(long_path(folder / WEIGHTS_NAME))
    except (OSError, SafetensorError) as error:
        raise _not_a_bundle() from error
    return Bundle(folder=folder, facts=facts, tensors=tensors)


def read_facts(folder: Path) -> BundleFacts:
    """Read a bundle's facts alone.

    Raises:
        BundleError: If they are missing, unreadable, or from a newer version.
    """
    try:
        plain: Any = json.loads(long_path(folder / FACTS_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _not_a_bundle() from error
    if not isinstance(plain, dict) or not isinstance(plain.get("bundle_version"), int):
        raise _not_a_bundle()
    if plain["bundle_version"] > BUNDLE_VERSION:
        raise BundleError(
            "The bundle was made by a newer version of RadTune.",
            remedy="Update RadTune on this computer.",
        )
    if plain.get("facts_digest") != facts_digest(plain):
        raise BundleError(
            f"The bundle is damaged: {FACTS_NAME} has changed since it was exported.",
            remedy="Copy the bundle folder again, or export it again.",
        )
    try:
        facts: BundleFacts = from_plain(BundleFacts, plain)
    except ConfigError as error:
        raise BundleError(
            f"The bundle's facts are damaged: {error.message}",
            remedy="Copy the bundle folder again, or export it again.",
        ) from error
    if WEIGHTS_NAME not in facts.files or any(not _is_plain_name(n) for n in facts.files):
        raise _not_a_bundle()
    return facts


def _is_plain_name(name: str) -> bool:
    """Whether a file name stays inside the bundle's folder."""
    return name == Path(name).name and "\\" not in name and name not in ("", ".", "..")


def _not_a_bundle() -> BundleError:
    return BundleError(
        "This folder is not a RadTune bundle, or its bundle.json is damaged.",
        remedy="Choose the folder that holds bundle.json and weights.safetensors.",
    )


def largest_difference(one: Any, other: Any) -> float:
    """Return the largest absolute difference of two arrays of probabilities."""
    difference = torch.as_tensor(one) - torch.as_tensor(other)
    return float(difference.abs().max()) if difference.numel() else 0.0
