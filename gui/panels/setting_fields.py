"""Which settings there are: read from the dataclasses, their limits and their docstrings."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final

from PySide6.QtCore import QCoreApplication

from engine.contract.config import ExperimentConfig
from engine.contract.limits import Limit, OneOf, limits_of
from engine.contract.methods import method_card

__all__ = [
    "ONLY_OF_GRADES",
    "Setting",
    "choice_name",
    "group_name",
    "groups_used",
    "setting_groups",
    "value_of",
    "with_value",
]

# Chosen on cards, or fixed for a project when its images were imported.
_CHOSEN_ELSEWHERE: Final = frozenset({"preset", "backbone", "method.key", "image"})
_UNITS: Final = {"px": "px", "deg": "°", "bits": "bit", "s": "s"}
_WORDS: Final = {"lr": "learning rate", "warmup": "warm-up"}

ONLY_OF_GRADES: Final = frozenset({"loss.ordinal_weight"})
"""Settings that change nothing where the classes have no order."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of :class:`ExperimentConfig`.

    Attributes:
        path: ``stage.field``, or the field alone at the top.
        unit: Unit to show after the value, or nothing.
        limit: What values it takes; None for switches.
    """

    path: str
    label: str
    help: str
    unit: str
    kind: type
    limit: Limit | None


def setting_groups() -> dict[str, list[Setting]]:
    """Return every setting that isn't chosen elsewhere, by stage; "" holds those of the run."""
    groups: dict[str, list[Setting]] = {}
    for part in fields(ExperimentConfig):
        if part.name in _CHOSEN_ELSEWHERE:
            continue
        example = getattr(_EXAMPLE, part.name)
        if not is_dataclass(example):
            groups.setdefault("", []).append(_setting(ExperimentConfig, part.name, part.name))
            continue
        paths = [(f"{part.name}.{field.name}", field.name) for field in fields(example)]
        groups[part.name] = [
            _setting(type(example), name, path)
            for path, name in paths
            if path not in _CHOSEN_ELSEWHERE
        ]
    groups[""] = groups.pop("", [])  # the few of the run as a whole come last
    return groups


def groups_used(config: ExperimentConfig) -> frozenset[str]:
    """Return the stages whose settings the chosen method looks at, by the names of groups."""
    card = method_card(config.method.key)
    return frozenset(setting_groups()) if card is None else frozenset(card.settings)


def group_name(group: str) -> str:
    """Return the heading of a stage."""
    names = {
        "method": _tr("Training length"),
        "augmentation": _tr("Random changes to training images"),
        "optimizer": _tr("Learning"),
        "loss": _tr("Loss and unequal classes"),
        "anchor": _tr("Pull towards the pre-trained weights"),
        "adversarial": _tr("Worst-case images"),
        "lora": _tr("Low-rank changes"),
        "gradual": _tr("Gradual unfreezing"),
        "evaluation": _tr("Measuring"),
        "runtime": _tr("Computing"),
        "": _tr("Repeatability"),
    }
    return names.get(group, group.replace("_", " ").capitalize())


def choice_name(path: str, choice: str) -> str:
    """Return what a choice among names is called for people."""
    names = {
        "loss.imbalance": {
            "none": _tr("left as they are"),
            "weights": _tr("weighted"),
            "sampling": _tr("sampled evenly"),
            "focal": _tr("focal loss"),
            "logit_adjustment": _tr("logits adjusted"),
        },
        "runtime.device": {
            "auto": _tr("automatic"),
            "cpu": _tr("processor"),
            "cuda": _tr("CUDA"),
            "mps": _tr("Apple Metal"),
        },
        "runtime.precision": {
            "auto": _tr("automatic"),
            "fp32": _tr("float32"),
            "bf16": _tr("bfloat16"),
            "fp16": _tr("float16"),
        },
    }
    return names.get(path, {}).get(choice, choice)


def value_of(config: ExperimentConfig, path: str) -> Any:
    """Return the value of a setting."""
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def with_value(config: ExperimentConfig, path: str, value: Any) -> ExperimentConfig:
    """Return the settings with one value changed.

    Raises:
        ConfigError: If the value is outside its limits.
    """
    stage, _, name = path.rpartition(".")
    if not stage:
        return replace(config, **{name: value})
    part = replace(getattr(config, stage), **{name: value})
    return replace(config, **{stage: part})


def _setting(owner: type, name: str, path: str) -> Setting:
    unit = "/ 255" if name.endswith("_255") else _UNITS.get(name.rpartition("_")[2], "")
    return Setting(
        path=path,
        label=_label(path),
        help=_help_texts(owner, path.rpartition(".")[0]).get(name, ""),
        unit=unit if "_" in name else "",
        kind=type(value_of(_EXAMPLE, path)),
        limit=limits_of(owner).get(name),
    )


def _label(path: str) -> str:
    """Return the name of a setting: its field's, where that is made of words."""
    labels = {
        "method.batch_norm": _tr("Batch norms"),
        "optimizer.ema_decay": _tr("Averaging of the weights (EMA)"),
        "optimizer.gradient_clip": _tr("Gradient clipping"),
        "loss.imbalance": _tr("Unequal classes"),
        "loss.focal_gamma": _tr("Gamma of the focal loss"),
        "loss.ordinal_weight": _tr("Weight of the order of grades"),
        "anchor.strength": _tr("Strength of the pull"),
        "adversarial.epsilon_255": _tr("Largest change"),
        "adversarial.steps": _tr("Gradient steps"),
        "adversarial.clean_share": _tr("Share of unchanged images"),
        "lora.scale": _tr("Scale of the change"),
        "evaluation.test_time_views": _tr("Copies of each image"),
    }
    if path in labels:
        return labels[path]
    words = path.rpartition(".")[2].split("_")
    if len(words) > 1 and words[-1] in _UNITS:
        words = words[:-1]
    text = " ".join(_WORDS.get(word, word) for word in words)
    return text[0].upper() + text[1:]


def _help_texts(owner: type, stage: str) -> dict[str, str]:
    """Return the texts of a docstring's ``Attributes`` section by name, in words for people."""
    _, _, section = inspect.getdoc(owner).partition("Attributes:\n")  # type: ignore[union-attr]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    words = {name: _label(f"{stage}.{name}") for name in limits_of(owner)}
    for name, limit in limits_of(owner).items():
        if isinstance(limit, OneOf):
            words |= {choice: choice_name(f"{stage}.{name}", choice) for choice in limit.choices}

    def in_words(text: str) -> str:
        return re.sub(r"``(.*?)``", lambda m: _quoted(m[1], words), re.sub(r"\s+", " ", text))

    return {name: in_words(text) for name, text in entries}


def _quoted(name: str, words: dict[str, str]) -> str:
    """Return a name of the docstring as the form shows it; formulas stay as they are."""
    return f"“{words[name]}”" if name in words else name


def _tr(text: str) -> str:
    return QCoreApplication.translate("SettingFields", text)


_EXAMPLE: Final = ExperimentConfig()
