"""What a machine computes with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """A device that can compute, or could if something were mended.

    Attributes:
        key: Its kind: ``cpu``, ``cuda`` or ``mps``.
        index: Its number among those of its kind, from 0.
        problem: Why it can't be used.
        remedy: What to do about that.
        capability: Compute capability of an NVIDIA card, such as ``8.6``; empty if unknown.
        driver: Version of its driver; empty if unknown.
    """

    key: str
    name: str
    memory_mb: int
    is_usable: bool
    problem: str = ""
    remedy: str = ""
    index: int = 0
    capability: str = ""
    driver: str = ""

    @property
    def id(self) -> str:
        """What torch calls it: ``cpu``, ``cuda:0``, ``mps``."""
        return f"{self.key}:{self.index}" if self.key == "cuda" else self.key
