"""Which settings there are: read from the dataclasses, their limits and their docstrings."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final

from PySide6.QtCore import QCoreApplication

from engine.contract.config import ExperimentConfig
from engine.contract.limits import Limit, limits_of
from engine.contract.methods import method_card

__all__ = ["Setting", "group_name", "groups_used", "setting_groups", "value_of", "with_value"]

# Chosen on cards, or fixed for a project when its images were imported.
_CHOSEN_ELSEWHERE: Final = frozenset({"preset", "backbone", "method.key", "image"})
_UNITS: Final = {"px": "px", "deg": "°", "bits": "bit", "s": "s"}
_WORDS: Final = {"lr": "learning rate", "ema": "EMA"}


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
    words = name.split("_")
    unit = _UNITS.get(words[-1], "") if len(words) > 1 else ""
    if unit:
        words = words[:-1]
    text = " ".join(_WORDS.get(word, word) for word in words)
    return Setting(
        path=path,
        label=text[0].upper() + text[1:],
        help=_help_texts(owner).get(name, ""),
        unit=unit,
        kind=type(value_of(_EXAMPLE, path)),
        limit=limits_of(owner).get(name),
    )


def _help_texts(owner: type) -> dict[str, str]:
    """Return the texts of a docstring's ``Attributes`` section by name."""
    _, _, section = inspect.getdoc(owner).partition("Attributes:\n")  # type: ignore[union-attr]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text).replace("``", "") for name, text in entries}


def _tr(text: str) -> str:
    return QCoreApplication.translate("SettingFields", text)


_EXAMPLE: Final = ExperimentConfig()
