"""Limits that stand beside a field, read by validation and by the widgets that edit it."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Final, get_args, get_origin, get_type_hints

from engine.contract.errors import ConfigError

_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Between:
    """A number in the closed range ``[low, high]``."""

    low: float
    high: float

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with ``value``, or None."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"must be a number between {_plain(self.low)} and {_plain(self.high)}"
        if not self.low <= value <= self.high:  # also false for NaN
            ends = f"{_plain(self.low)} and {_plain(self.high)}"
            return f"must lie between {ends}, not {_plain(value)}"
        return None


def _plain(value: float) -> str:
    """Return a number for a sentence; whole ones with all their digits."""
    return str(value) if isinstance(value, int) else f"{value:g}"


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few named choices.

    Attributes:
        choices: The choices.
        named: Beginning of a further choice that the user's own data name, such as ``name:``,
            which must go on with 1 to 64 printable letters; empty if there is none.
    """

    choices: tuple[str, ...]
    named: str = ""

    def __init__(self, *choices: str, named: str = "") -> None:
        object.__setattr__(self, "choices", choices)
        object.__setattr__(self, "named", named)

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with ``value``, or None."""
        if value in self.choices:
            return None
        if self.named and isinstance(value, str) and value.startswith(self.named):
            name = value.removeprefix(self.named)
            if name.strip() and name.isprintable() and len(name) <= _LONGEST_NAME:
                return None
        choices = [*self.choices, *([f"{self.named}…"] if self.named else [])]
        return f"must be one of {', '.join(choices)}, not {value!r}"


Limit = Between | OneOf


@cache  # resolving type hints takes a millisecond, and every edit of a setting checks them all
def limits_of(config_type: type) -> dict[str, Limit]:
    """Return the limit of each limited field of a dataclass, by field name."""
    found: dict[str, Limit] = {}
    for name, hint in get_type_hints(config_type, include_extras=True).items():
        for extra in get_args(hint)[1:] if get_origin(hint) is not None else ():
            if isinstance(extra, Between | OneOf):
                found[name] = extra
    return found


def check_limits(config: Any, *, path: str = "") -> None:
    """Check every limited field of a dataclass instance and of the ones nested in it.

    Raises:
        ConfigError: Naming the first field outside its limits as ``stage.field``.
    """
    limits = limits_of(type(config))  # type: ignore[arg-type]  # any class can be hashed
    for field in fields(config):
        value, name = getattr(config, field.name), f"{path}{field.name}"
        if is_dataclass(value):
            check_limits(value, path=f"{name}.")
        elif field.name in limits and (problem := limits[field.name].problem(value)):
            raise ConfigError(
                f"The setting {name} {problem}.", remedy=f"Choose another value for {name}."
            )
