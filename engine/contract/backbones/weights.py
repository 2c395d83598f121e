"""What is known of a file of weights by its name and its licence."""

from __future__ import annotations

from typing import Final

UNKNOWN_LICENCE: Final = "unknown"
"""Of weights whose licence nobody has told."""
WEIGHTS_ENDINGS: Final = (".safetensors", ".pth", ".pt", ".ckpt", ".npz", ".bin", ".tar")
"""How the names of weights files end."""


def is_noncommercial(licence: str) -> bool:
    """Return whether an SPDX licence id forbids commercial use."""
    parts = licence.upper().split("-")
    return "NC" in parts or "NONCOMMERCIAL" in parts
