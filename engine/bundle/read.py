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

from engine.bundle.difference import restored
from engine.bundle.familiarity import Familiarity
from engine.bundle.format import (
    BUNDLE_VERSION,
    FAMILIARITY_NAME,
    WEIGHTS_NAME,
    BackboneFacts,
    BundleFacts,
)
from engine.contract.backbones import backbone_card
from engine.contract.bundle_facts import FACTS_NAME, facts_digest
from engine.contract.config_io import from_plain
from engine.contract.errors import BundleError, ConfigError, WeightsError
from engine.files import long_path, sha256_file
from engine.models.ensemble import EnsembleNetwork, member_tensors
from engine.models.merged_head import fit_head_to
from engine.models.network import Network
from engine.models.registry import build_network
from engine.models.weights import weights_of_digest


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A checked bundle."""

    folder: Path
    facts: BundleFacts
    tensors: dict[str, Tensor]

    def network(self) -> Network | EnsembleNetwork:
        """Build the network with the bundle's weights, in evaluation mode.

        Raises:
            BundleError: If the weights don't fit the backbone that the bundle names.
        """
        members = self.facts.members
        network: Network | EnsembleNetwork
        try:
            if members:
                network = EnsembleNetwork(
                    [
                        _built(backbone, self.facts, member_tensors(self.tensors, number))
                        for number, backbone in enumerate(members)
                    ]
                )
            else:
                network = _built(self.facts.backbone, self.facts, self.tensors)
        except (RuntimeError, ValueError, ConfigError) as error:
            raise BundleError(
                "The bundle's weights don't fit the network that it names.",
                remedy="Export it again, or update RadTune.",
            ) from error
        return network.eval()

    def familiarity(self, network: Network | EnsembleNetwork) -> Familiarity | None:
        """Return what its training images look like to its network, if that is known.

        Raises:
            BundleError: If it doesn't fit the network.
        """
        if FAMILIARITY_NAME not in self.facts.files:
            return None
        try:
            tensors = load_file(long_path(self.folder / FAMILIARITY_NAME))
            return Familiarity.from_tensors(tensors, network.n_features)
        except (OSError, SafetensorError, ValueError) as error:
            raise BundleError(
                f"The bundle's {FAMILIARITY_NAME} doesn't fit its network.",
                remedy="Export it again, or update RadTune.",
            ) from error


def _built(backbone: BackboneFacts, facts: BundleFacts, tensors: dict[str, Tensor]) -> Network:
    network = build_network(
        backbone.key,
        len(facts.classes),
        weights="scratch",
        features=backbone.features,
        mean=backbone.mean,
        std=backbone.std,
        activation=facts.activation,
    )
    fit_head_to(network, tensors)
    network.load_state_dict(tensors)
    return network


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
        if facts.is_difference:
            tensors = restored(tensors, pretrained_tensors(facts))
    except (OSError, SafetensorError, ValueError) as error:
        raise _not_a_bundle() from error
    return Bundle(folder=folder, facts=facts, tensors=tensors)


def pretrained_tensors(facts: BundleFacts) -> dict[str, Tensor]:
    """Return the tensors that a network like the bundle's had before it was trained.

    Raises:
        BundleError: If its pre-trained weights are not on this computer, or others are.
    """
    backbone = facts.backbone
    card = backbone_card(backbone.key)
    try:
        network = build_network(
            backbone.key,
            len(facts.classes),
            weights=weights_of_digest(backbone.key, backbone.weights_digest),
            features=backbone.features,
        )
    except (ConfigError, WeightsError) as error:
        raise BundleError(
            "This bundle holds only what differs from the pre-trained weights of "
            f"{card.title if card else backbone.key}, and those are not on this computer.",
            remedy="Add the same weights file here, or ask for the whole bundle.",
        ) from error
    return {
        name: tensor for name, tensor in network.state_dict().items() if name.startswith("body.")
    }


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
    if facts.is_multi and len(facts.thresholds) != len(facts.classes):
        raise BundleError(
            "The bundle's facts are damaged: a finding has no threshold.",
            remedy="Copy the bundle folder again, or export it again.",
        )
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
