"""Changing settings by name, as the command line does: ``stage.field=value``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any, Final

from engine.contract.backbones import BACKBONES, BackboneCard, backbone_card
from engine.contract.config import ExperimentConfig
from engine.contract.errors import ConfigError
from engine.contract.limits import limits_of
from engine.contract.methods import METHODS, MethodCard, method_card

STOCHASTIC_DEPTH: Final = "method.stochastic_depth"
"""Only some backbones were made for it."""
BATCH_NORM: Final = "method.batch_norm"
"""Only some backbones have any."""
ORDINAL_WEIGHT: Final = "loss.ordinal_weight"
"""Only classes with an order have a use for it."""
FOCAL_GAMMA: Final = "loss.focal_gamma"
_STRENGTH: Final = "anchor.strength"
_FOCAL: Final = "focal"
_SCRATCH: Final = "scratch"
_OF_PRETRAINED: Final = ("method.frozen_stages", BATCH_NORM)
_OF_THE_PROJECT: Final = "image"
_OF_EVERY_METHOD: Final = ("backbone", "evaluation", "runtime", "")
_SWITCH: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def setting_names() -> tuple[str, ...]:
    """Return every setting that can be changed, as ``stage.field`` or the field alone."""
    return tuple(name for name, _ in _settings(ExperimentConfig()))


def with_settings(config: ExperimentConfig, changes: Sequence[str]) -> ExperimentConfig:
    """Return settings with some of them changed; later changes win.

    Args:
        config: The settings before.
        changes: Each as ``stage.field=value``; the value is read as the field's type.

    Raises:
        ConfigError: If a setting is unknown, of the project, or its value can't be used.
    """
    for change in changes:
        name, equals, text = change.partition("=")
        name = name.strip()
        if not equals:
            raise ConfigError(
                f"{change!r} is not a setting with a value.",
                remedy="Write it like optimizer.learning_rate=0.001.",
            )
        if name == "preset":
            raise ConfigError(
                "A preset stands for many settings, so it is not set as one.",
                remedy=f"Write --preset {text.strip()}.",
            )
        known = dict(_settings(config))
        if name not in known:
            raise _unknown(name, tuple(known))
        stage, _, field = name.rpartition(".")
        value = _read(name, text.strip(), type(known[name]))
        _check(name, field, getattr(config, stage) if stage else config, value)
        if stage:
            part = replace(getattr(config, stage), **{field: value})
            config = replace(config, **{stage: part})
        else:
            config = replace(config, **{name: value})
    return config


def require_effect(
    config: ExperimentConfig,
    changes: Sequence[str],
    *,
    methods: Sequence[str] = (),
    backbones: Sequence[str] = (),
) -> None:
    """Refuse changes of settings that nothing looks at: no method, the backbone, other settings.

    Args:
        config: With the changes made; keys of no method and no backbone are refused elsewhere.
        changes: As :func:`with_settings` took them.
        methods: Keys of those that are tried, one of which has to look; empty takes the config's.
        backbones: Likewise.

    Raises:
        ConfigError: Naming the first, and what does look at it.
    """
    tried = methods or (config.method.key,)
    cards = [backbone_card(key) for key in backbones or (config.backbone.key,)]
    for change in changes:
        name = name_of(change)
        if not any(_has_effect(name, method) for method in tried):
            looking = [card.key for card in METHODS if _looks_at(card, name)]
            raise ConfigError(
                f"The setting {name} has no effect on {_listed('method', tried)}.",
                remedy=f"Leave it out, or choose a method that uses it: {', '.join(looking)}.",
            )
        lacking = [card.key for card in cards if card is not None and is_lacking(card, name)]
        if len(lacking) == len(cards):
            able = [card.key for card in BACKBONES if not is_lacking(card, name)]
            raise ConfigError(
                f"The setting {name} has no effect on {_listed('backbone', lacking)}.",
                remedy=f"Leave it out, or choose a backbone that uses it: {', '.join(able)}.",
            )
        if name == FOCAL_GAMMA and is_idle(config, name):
            raise ConfigError(
                f"The setting {name} has no effect while loss.imbalance is "
                f"{config.loss.imbalance}.",
                remedy=f"Leave it out, or set loss.imbalance={_FOCAL} as well.",
            )
        if is_idle(config, name):
            raise ConfigError(
                f"The setting {name} has no effect on a backbone that starts from scratch.",
                remedy="Leave it out, or start from pre-trained weights.",
            )


def require_effect_of_search(
    changes: Sequence[str],
    config: ExperimentConfig,
    *,
    methods: Sequence[str],
    backbones: Sequence[str],
) -> ExperimentConfig:
    """Refuse changes of settings that a search doesn't look at, and return its settings.

    Args:
        changes: As :func:`with_settings` took them.
        config: With the changes made.
        methods: Keys of those that are tried.
        backbones: What was chosen to be tried; empty for all.

    Raises:
        ConfigError: Naming the first, and what to do instead.
    """
    names = [name_of(change) for change in changes]
    for name in names:
        chosen = "methods" if name == "method.key" else "backbones"
        if name == "method.key" or name.startswith("backbone."):
            raise ConfigError(
                f"A search tries several {chosen}, so {name} can't be set for it.",
                remedy=f"Say which to try with --{chosen}.",
            )
    require_effect(config, changes, methods=methods, backbones=backbones)
    if _STRENGTH not in names:
        return config
    if len(methods) > 1:
        raise ConfigError(
            f"The setting {_STRENGTH} has no effect on a search of several methods, whose pulls "
            "can't be compared.",
            remedy="Leave it out, or say one method to try with --methods.",
        )
    # A strength counts for the method of the settings alone.
    return replace(config, method=replace(config.method, key=methods[0]))


def name_of(change: str) -> str:
    """Return the name of the setting that a change, as :func:`with_settings` takes it, is of."""
    return change.partition("=")[0].strip()


def is_lacking(card: BackboneCard, name: str) -> bool:
    """Return whether a backbone has nothing that a setting could change."""
    if name == STOCHASTIC_DEPTH:
        return not card.has_drop_path
    return name == BATCH_NORM and not card.has_batch_norm


def is_idle(config: ExperimentConfig, name: str) -> bool:
    """Return whether another setting keeps one from having an effect, whatever the method."""
    if name == FOCAL_GAMMA:
        return config.loss.imbalance != _FOCAL
    return name in _OF_PRETRAINED and config.backbone.weights == _SCRATCH


def changes_between(before: ExperimentConfig, after: ExperimentConfig) -> list[str]:
    """Return the changes with which :func:`with_settings` makes one of the other.

    Those that have no effect with the method, the backbone and the other settings of ``after`` are
    left out.
    """
    old, card = dict(_settings(before)), backbone_card(after.backbone.key)

    def has_effect(name: str) -> bool:
        if is_idle(after, name) or (card is not None and is_lacking(card, name)):
            return False
        return _has_effect(name, after.method.key)

    return [
        f"{name}={_written(value)}"
        for name, value in _settings(after)
        if value != old[name] and has_effect(name)
    ]


def _has_effect(name: str, method: str) -> bool:
    if name.rpartition(".")[0] in _OF_EVERY_METHOD or name == "method.key":
        return True
    card = method_card(method)
    return card is None or _looks_at(card, name)


def _listed(what: str, keys: Sequence[str]) -> str:
    return f"the {what if len(keys) == 1 else f'{what}s'} {', '.join(keys)}"


def _looks_at(card: MethodCard, name: str) -> bool:
    return name.rpartition(".")[0] in card.settings and name not in card.ignores


def _written(value: Any) -> str:
    return ("off", "on")[value] if isinstance(value, bool) else str(value)


def _settings(config: ExperimentConfig) -> Iterator[tuple[str, Any]]:
    for part in fields(config):
        value = getattr(config, part.name)
        if part.name == _OF_THE_PROJECT:
            continue
        if is_dataclass(value):
            yield from ((f"{part.name}.{f.name}", getattr(value, f.name)) for f in fields(value))
        else:
            yield part.name, value


def _read(name: str, text: str, kind: type) -> Any:
    try:
        if kind is bool:
            return _SWITCH[text.lower()]
        value = kind(text)
    except (ValueError, KeyError) as error:
        wanted = {bool: "on or off", int: "a whole number", float: "a number"}[kind]
        raise ConfigError(
            f"The setting {name} must be {wanted}, not {text!r}.", remedy="Write another value."
        ) from error
    if kind is float and not math.isfinite(value):
        raise ConfigError(f"The setting {name} must be a number.", remedy="Write another value.")
    return value


def _check(name: str, field: str, owner: Any, value: Any) -> None:
    limit = limits_of(type(owner)).get(field)  # type: ignore[arg-type]  # any class can be hashed
    if limit is not None and (problem := limit.problem(value)) is not None:
        raise ConfigError(
            f"The setting {name} {problem}.", remedy=f"Choose another value for {name}."
        )


def _unknown(name: str, known: tuple[str, ...]) -> ConfigError:
    if name.partition(".")[0] == _OF_THE_PROJECT:
        return ConfigError(
            f"{name} belongs to the project: it was fixed when its images were imported.",
            remedy="Leave it out, or import the images anew with other settings.",
        )
    field = name.rpartition(".")[2]
    near = [full for full in known if full.rpartition(".")[2] == field]
    by_field = {full.rpartition(".")[2]: full for full in known}
    close = get_close_matches(field, by_field, n=3, cutoff=0.7)
    near += [by_field[match] for match in close if by_field[match] not in near]
    near += [n for n in get_close_matches(name, known, n=3, cutoff=0.6) if n not in near]
    remedy = (
        f"Did you mean {' or '.join(near[:3])}?"
        if near
        else f"The stages are {', '.join(dict.fromkeys(k.partition('.')[0] for k in known))}."
    )
    return ConfigError(f"There is no setting called {name!r}.", remedy=remedy)
