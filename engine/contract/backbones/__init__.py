"""Cards of the pre-trained networks, in plain language.

A card holds facts; tests compare them with the built networks and with the libraries' own notes on
their weights. The cards are written in a module for each kind of network and imported from here.
"""

from __future__ import annotations

from typing import Final

from engine.contract.backbones.card import (
    TIMM,
    TORCHVISION,
    BackboneCard,
    nearest_sizes,
    size_error,
)
from engine.contract.backbones.convolutional import CONVOLUTIONAL
from engine.contract.backbones.transformers import TRANSFORMERS
from engine.contract.backbones.weights import UNKNOWN_LICENCE, WEIGHTS_ENDINGS, is_noncommercial

__all__ = [
    "BACKBONES",
    "TIMM",
    "TORCHVISION",
    "UNKNOWN_LICENCE",
    "WEIGHTS_ENDINGS",
    "BackboneCard",
    "backbone_card",
    "is_noncommercial",
    "nearest_sizes",
    "size_error",
]

BACKBONES: Final[tuple[BackboneCard, ...]] = (*CONVOLUTIONAL, *TRANSFORMERS)


def backbone_card(key: str) -> BackboneCard | None:
    """Return the card of a backbone, or None if there is none of that key."""
    return next((card for card in BACKBONES if card.key == key), None)
