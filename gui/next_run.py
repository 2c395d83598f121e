"""Choices for the next run, and what follows from each of them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Final

from engine.contract.config import BackboneConfig, ExperimentConfig, preset_config
from engine.contract.methods import method_card
from engine.contract.recommendation import HEAD_ONLY, Recommendation

__all__ = [
    "PRETRAINED",
    "SCRATCH",
    "AddedFile",
    "WeightsState",
    "added_files",
    "choice_of_file",
    "chosen_file",
    "chosen_name",
    "every_added",
    "is_recommended",
    "weights_state",
    "weights_to_advise",
    "with_backbone",
    "with_method",
    "with_preset",
    "with_recommended",
]

_KEPT_STAGES: Final = (
    "augmentation",
    "optimizer",
    "loss",
    "anchor",
    "adversarial",
    "lora",
    "gradual",
    "evaluation",
    "runtime",
)

PRETRAINED: Final = "pretrained"
SCRATCH: Final = "scratch"
_FILE: Final = "file:"
_MADE: Final = "made"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedFile:
    """Weights that were added for a backbone, as the engine lists them.

    Attributes:
        backbone: Key of the backbone that they are for.
        choice: What ``BackboneConfig.weights`` calls them.
        name: Of the file or the pre-training that they came from.
        is_made: Whether RadTune trained them: by a pre-training, or for a classifier.
        is_whole: Whether they leave no layer random, and are of no other network.
        digest: SHA-256 of the weights.
        is_noted: Whether projects keep what they learned from; not of those of earlier versions
            or of a classifier.
    """

    backbone: str
    choice: str
    name: str
    pretrained_on: str
    licence: str
    is_made: bool
    is_whole: bool
    digest: str
    is_noted: bool


class WeightsState(StrEnum):
    """Where the pre-trained weights of a backbone are, as the engine says it."""

    EMBEDDED = "embedded"
    ADDED = "added"
    MISSING = "missing"
    UNKNOWN = "unknown"


def weights_state(device: dict[str, object], key: str, *, is_embedded: bool) -> WeightsState:
    """Return where a backbone's weights are; unknown until the engine has looked."""
    known = device.get("weights")
    if isinstance(known, dict) and key in known:
        return WeightsState(known[key])
    return WeightsState.EMBEDDED if is_embedded else WeightsState.UNKNOWN


def added_files(device: dict[str, Any], key: str) -> list[AddedFile]:
    """Return the weights that were added for a backbone, the default one first."""
    return [file for file in every_added(device) if file.backbone == key]


def every_added(device: dict[str, Any]) -> list[AddedFile]:
    """Return the weights that were added, of all backbones."""
    return [
        AddedFile(
            backbone=str(item["backbone"]),
            choice=f"{_FILE}{item['id']}",
            name=str(item["name"]),
            pretrained_on=str(item["pretrained_on"]),
            licence=str(item["licence"]),
            is_made=item["kind"] == _MADE,
            is_whole=bool(item.get("is_whole", True)),
            digest=str(item.get("digest", "")),
            is_noted=bool(item.get("is_noted", True)),
        )
        for item in device.get("added_weights") or ()
    ]


def chosen_file(device: dict[str, Any], backbone: BackboneConfig) -> AddedFile | None:
    """Return the weights that were chosen for a run, if they are ones that were added."""
    files = added_files(device, backbone.key)
    if backbone.weights != PRETRAINED:
        return next((file for file in files if file.choice == backbone.weights), None)
    is_added = weights_state(device, backbone.key, is_embedded=False) is WeightsState.ADDED
    return next((file for file in files if is_added and not file.is_made), None)


def chosen_name(device: dict[str, Any], backbone: BackboneConfig) -> str:
    """Return what the weights that were chosen for a run are called; empty for built-in ones."""
    file = chosen_file(device, backbone)
    return file.name if file is not None else ""


def weights_to_advise(device: dict[str, Any]) -> dict[str, str]:
    """Return where the weights of each backbone are; those that leave layers random are missing."""
    states = dict(device.get("weights") or {})
    for key, state in states.items():
        default = next((file for file in added_files(device, key) if not file.is_made), None)
        if state == WeightsState.ADDED and default is not None and not default.is_whole:
            states[key] = WeightsState.MISSING.value
    return states


def choice_of_file(device: dict[str, Any], key: str, weights_id: str) -> str:
    """Return what settings call added weights: ``pretrained`` where they are the default ones."""
    files = [file for file in added_files(device, key) if not file.is_made]
    is_added = weights_state(device, key, is_embedded=False) is WeightsState.ADDED
    if not weights_id or (is_added and files and files[0].choice == f"{_FILE}{weights_id}"):
        return PRETRAINED
    return f"{_FILE}{weights_id}"


def with_backbone(
    config: ExperimentConfig, key: str, state: WeightsState, made: str = ""
) -> ExperimentConfig:
    """Return the settings with another backbone.

    Args:
        config: The settings before.
        key: Of the backbone.
        state: Where its weights are.
        made: Weights that RadTune trained for it, to use where there are no others.

    Where there are none at all, it starts from scratch.
    """
    weights = (made or SCRATCH) if state is WeightsState.MISSING else PRETRAINED
    return replace(config, backbone=BackboneConfig(key=key, weights=weights))


def with_recommended(config: ExperimentConfig, found: Recommendation) -> ExperimentConfig:
    """Return the settings with what is recommended, keeping what the user set in the details."""
    if config.preset != found.preset.value:
        config = with_preset(config, str(found.preset.value))
    backbone = BackboneConfig(key=str(found.backbone.value))
    return replace(
        config,
        backbone=config.backbone if config.backbone.key == backbone.key else backbone,
        method=replace(config.method, key=str(found.method.value)),
        loss=replace(config.loss, imbalance=str(found.imbalance.value)),
    )


def is_recommended(config: ExperimentConfig, found: Recommendation) -> bool:
    """Return whether settings are those that are recommended, whatever the details say."""
    return with_recommended(config, found) == config


def with_method(config: ExperimentConfig, key: str) -> ExperimentConfig:
    """Return the settings with another method; the preset follows, since it says how long.

    A method without passes is what Quick means; anything else needs at least Standard.
    """
    if key == config.method.key:
        return config
    card = method_card(key)
    if card is not None and not card.has_passes:
        config = with_preset(config, "quick")
    elif config.preset == "quick":
        config = with_preset(config, "standard")
    return replace(config, method=replace(config.method, key=key))


def with_preset(config: ExperimentConfig, preset: str) -> ExperimentConfig:
    """Return the settings of another preset, keeping what the user set to another value.

    Backbone, images and seed stay; how long to train, and whether only the decision layer is
    fitted, are what a preset decides.
    """
    old, new = (
        preset_config(key, seed=config.seed, image=config.image) for key in (config.preset, preset)
    )
    method = new.method
    if HEAD_ONLY not in (config.method.key, method.key):
        method = replace(method, key=config.method.key)
    kept = {
        part: _with_edits(getattr(new, part), getattr(old, part), getattr(config, part))
        for part in _KEPT_STAGES
    }
    return replace(new, backbone=config.backbone, method=method, **kept)


def _with_edits(new: Any, old: Any, edited: Any) -> Any:
    """Return ``new`` with the fields in which ``edited`` differs from ``old``."""
    values = {field.name: getattr(edited, field.name) for field in fields(edited)}
    return replace(new, **{n: value for n, value in values.items() if value != getattr(old, n)})
