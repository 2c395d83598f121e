"""The methods by key."""

from __future__ import annotations

from typing import Final

from engine.contract.errors import ConfigError
from engine.contract.methods import METHODS
from engine.methods.full_finetune import FullFinetune
from engine.methods.linear_probe import LinearProbe
from engine.methods.method import FineTuneMethod

_METHODS: Final[dict[str, type[FineTuneMethod]]] = {
    method.key: method for method in (LinearProbe, FullFinetune)
}


def get_method(key: str) -> FineTuneMethod:
    """Return the method of a catalog key.

    Raises:
        ConfigError: If there is no such method.
    """
    if key not in _METHODS:
        raise ConfigError(
            f"There is no method called {key!r}.",
            remedy=f"Choose one of: {', '.join(card.key for card in METHODS)}.",
        )
    return _METHODS[key]()
