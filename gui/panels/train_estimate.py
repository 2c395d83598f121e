"""How long a run will take, roughly: arithmetic on numbers of images and speeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.contract.config import ExperimentConfig
from engine.contract.records import RunSummary
from gui.device_words import unused_card

__all__ = ["estimate_seconds", "training_speed"]

_DESCRIBED_PER_S: Final = 150.0
_START_S: Final = 5.0
_VALIDATION_COST: Final = 0.4
"""An image that is only looked at costs this share of one that is learnt from."""
_SLOW_PER_S: Final = 20.0
_FAST_PER_S: Final = 400.0


def estimate_seconds(config: ExperimentConfig, n_train: int, n_val: int, per_s: float) -> float:
    """Return an upper estimate; stopping early makes a run shorter.

    Args:
        config: The settings of the run.
        n_train: Training images.
        n_val: Validation images.
        per_s: Training images per second, from :func:`training_speed`.
    """
    describing = (n_train + n_val) / _DESCRIBED_PER_S + _START_S
    if config.method.key == "linear_probe":
        return describing
    views = config.evaluation.test_time_views
    epoch = (n_train + n_val * _VALIDATION_COST) / per_s
    return describing + config.method.max_epochs * epoch + views * n_val / _DESCRIBED_PER_S


def training_speed(
    device: Mapping[str, Any], backbone: str, runs: Sequence[RunSummary], n_train: int
) -> float:
    """Return training images per second: as measured, as in the newest such run, or a guess.

    Args:
        device: What the engine says of this machine; ``speeds`` by backbone where it measured.
        backbone: Its key.
        runs: The run history, newest first.
        n_train: Training images now, taken as those of earlier runs too.
    """
    speeds = device.get("speeds") or {}
    if (measured := float(speeds.get(backbone) or 0.0)) > 0:
        return measured
    for run in runs if unused_card(device) is None else ():  # they may have used the card
        if run.backbone == backbone and run.epochs > 0 and run.seconds > 0 and n_train > 0:
            return run.epochs * n_train / run.seconds
    return _SLOW_PER_S if device.get("device", "cpu") == "cpu" else _FAST_PER_S
