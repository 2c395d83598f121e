"""Frozen settings and facts to and from plain JSON values, checked field by field."""

from __future__ import annotations

import json
import math
import types
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from engine.contract.config import SCHEMA_VERSION, ExperimentConfig
from engine.contract.errors import ConfigError

T = TypeVar("T")

_LOSS_HAS_ITS_OWN_STAGE = 2


def to_plain(value: Any) -> Any:
    """Return a dataclass, or a container of them, as JSON-ready dicts, lists and scalars."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def finite(value: Any) -> Any:
    """Return plain values with NaN and infinities, which JSON doesn't have, replaced by None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return value


def from_plain(target: Any, value: Any, *, path: str = "") -> Any:
    """Build ``target`` (a type as written in a dataclass field) from plain JSON values.

    Raises:
        ConfigError: If a field is unknown, missing or of the wrong type.
    """
    origin = get_origin(target)
    if hasattr(target, "__metadata__"):  # Annotated
        return from_plain(get_args(target)[0], value, path=path)
    if origin in (Union, types.UnionType):
        return _from_union(target, value, path)
    if is_dataclass(target) and isinstance(target, type):
        return _from_mapping(target, value, path)
    if origin is tuple:
        return _from_sequence(target, value, path)
    if origin is dict:
        _expect(isinstance(value, dict), path, "a mapping", value)
        item = get_args(target)[1]
        return {k: from_plain(item, v, path=f"{path}.{k}") for k, v in value.items()}
    if target is float and value is None:
        return math.nan  # JSON has no NaN; it travels as null
    if target is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if target is Any:
        return value
    right_type = isinstance(value, target) and not (isinstance(value, bool) and target is not bool)
    _expect(right_type, path, target.__name__, value)
    return value


def _from_union(target: Any, value: Any, path: str) -> Any:
    options = get_args(target)
    if value is None and type(None) in options:
        return None
    problem: ConfigError | None = None
    for option in options:
        if option is type(None):
            continue
        try:
            return from_plain(option, value, path=path)
        except ConfigError as error:
            problem = error
    assert problem is not None
    raise problem


def _from_mapping(target: type, value: Any, path: str) -> Any:
    _expect(isinstance(value, dict), path, "a mapping", value)
    hints = _fields_of(target)
    if unknown := sorted(set(value) - set(hints)):
        raise ConfigError(
            f"The setting {_join(path, unknown[0])} is not known to this version.",
            remedy="Remove it, or open the file with the version of RadTune that wrote it.",
        )
    arguments = {n: from_plain(hints[n], v, path=_join(path, n)) for n, v in value.items()}
    try:
        return target(**arguments)
    except TypeError as error:
        raise ConfigError(
            f"{path or target.__name__} is incomplete: {error}.", remedy="Add the missing values."
        ) from error


@cache  # resolving type hints takes longer than everything else
def _fields_of(target: type) -> dict[str, Any]:
    hints = get_type_hints(target, include_extras=True)
    return {f.name: hints[f.name] for f in fields(target) if f.init}


def _from_sequence(target: Any, value: Any, path: str) -> tuple[Any, ...]:
    _expect(isinstance(value, list | tuple), path, "a list", value)
    items = get_args(target)
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(from_plain(items[0], v, path=f"{path}[{i}]") for i, v in enumerate(value))
    _expect(len(items) == len(value), path, f"a list of {len(items)}", value)
    pairs = zip(items, value, strict=True)
    return tuple(from_plain(t, v, path=f"{path}[{i}]") for i, (t, v) in enumerate(pairs))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _expect(condition: bool, path: str, wanted: str, value: Any) -> None:
    if not condition:
        raise ConfigError(
            f"{path or 'The value'} should be {wanted}, not {type(value).__name__}.",
            remedy="Correct the value and try again.",
        )


def config_to_json(config: ExperimentConfig) -> str:
    """Return the settings as indented JSON with a schema version."""
    return json.dumps({"schema_version": SCHEMA_VERSION, **to_plain(config)}, indent=2)


def config_from_json(text: str) -> ExperimentConfig:
    """Read settings written by :func:`config_to_json`.

    Raises:
        ConfigError: If the text isn't such settings, or a newer version wrote them.
    """
    try:
        plain = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            "The settings file is not valid JSON.", remedy="Choose another file."
        ) from error
    _expect(isinstance(plain, dict), "settings", "a mapping", plain)
    version = plain.pop("schema_version", None)
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise ConfigError(
            "The settings were written by a newer version of RadTune.",
            remedy="Update RadTune, or choose another file.",
        )
    if version < _LOSS_HAS_ITS_OWN_STAGE:
        _move_loss_settings(plain)
    config: ExperimentConfig = from_plain(ExperimentConfig, plain)
    return config


def _move_loss_settings(plain: dict[str, Any]) -> None:
    """Turn settings of version 1 into those of version 2."""
    optimizer = plain.get("optimizer")
    if not isinstance(optimizer, dict):
        return
    loss = plain.setdefault("loss", {})
    if "label_smoothing" in optimizer:
        loss["label_smoothing"] = optimizer.pop("label_smoothing")
    if "class_weights" in optimizer:
        loss["imbalance"] = "weights" if optimizer.pop("class_weights") else "none"
