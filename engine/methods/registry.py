"""The methods by key."""

from __future__ import annotations

from typing import Final

from engine.contract.errors import ConfigError
from engine.contract.methods import METHODS
from engine.methods.adversarial import Adversarial
from engine.methods.direct_transfer import DirectTransfer
from engine.methods.full_finetune import FullFinetune
from engine.methods.gradual_unfreezing import GradualUnfreezing
from engine.methods.l2_sp import L2SP
from engine.methods.linear_probe import LinearProbe
from engine.methods.lora import Lora
from engine.methods.method import FineTuneMethod
from engine.methods.soft_threshold import SoftThreshold

_METHODS: Final[dict[str, type[FineTuneMethod]]] = {
    method.key: method
    for method in (
        DirectTransfer,
        LinearProbe,
        FullFinetune,
        GradualUnfreezing,
        SoftThreshold,
        L2SP,
        Lora,
        Adversarial,
    )
}
METHOD_KEYS: Final = tuple(_METHODS)


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
