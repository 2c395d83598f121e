"""About how long a training takes: the one estimate that rules, cards and pages use.

It is an upper one, for every pass that the settings allow: most trainings stop earlier. Its costs
are those of EfficientNet-Lite0 on one core of a processor, measured; a training that was done here
corrects them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from engine.contract.config import ExperimentConfig, ImageContract
from engine.contract.methods import method_card

__all__ = [
    "LR_RANGE_WATCHED",
    "Pace",
    "expected_pace",
    "lr_range_seconds",
    "rough_seconds",
    "rough_time",
    "slowness_of",
    "training_seconds",
]

LR_RANGE_WATCHED: Final = 64
"""Images on which a learning-rate test measures the loss after each update."""
# Seconds of one processor core for one image of 224 px.
_LOOK_S: Final = 0.012
_LEARN_S: Final = 0.032
_GPU_SPEED: Final = 10.0  # of one core; cautious, not measured
_START_S: Final = 5.0
_LEAST_S, _MINUTE_S, _HOUR_S = 5.0, 60.0, 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long an image takes in a network here.

    Attributes:
        look_s: Seconds of an image that is only looked at: described, or predicted.
        learn_s: Seconds of an image that is learned from.
    """

    look_s: float
    learn_s: float

    def times(self, slowness: float) -> Pace:
        """Return a pace so many times as slow."""
        return Pace(look_s=slowness * self.look_s, learn_s=slowness * self.learn_s)


def expected_pace(device: str, threads: int, size_px: int) -> Pace:
    """Return the pace where nothing has been measured.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
        threads: Processor cores that a run may use.
        size_px: Side of the images that the network sees.
    """
    speed = _GPU_SPEED if device != "cpu" else float(max(1, threads))
    share = (size_px / ImageContract().size_px) ** 2
    return Pace(look_s=_LOOK_S, learn_s=_LEARN_S).times(share / speed)


def training_seconds(config: ExperimentConfig, n_train: int, n_val: int, pace: Pace) -> float:
    """Return at most about how long a training takes, features not yet kept.

    Args:
        config: Its settings.
        n_train: Training images.
        n_val: Validation images.
        pace: As :func:`expected_pace` gives it.
    """
    return _START_S + _computing_s(config, n_train, n_val, pace)


def lr_range_seconds(config: ExperimentConfig, n_train: int, n_steps: int, pace: Pace) -> float:
    """Return at most about how long a learning-rate test takes.

    Args:
        config: Its settings.
        n_train: Training images.
        n_steps: Updates, after each of which the loss is measured.
        pace: As :func:`expected_pace` gives it.
    """
    card = method_card(config.method.key)
    times = card.learning_times if card is not None else 1.0
    learned = min(config.optimizer.batch_size, n_train) * times * pace.learn_s
    watched = min(LR_RANGE_WATCHED, n_train) * pace.look_s
    return _START_S + n_steps * (learned + watched)


def slowness_of(
    config: ExperimentConfig, n_train: int, n_val: int, epochs: int, seconds: float, pace: Pace
) -> float:
    """Return how many times as long as expected a training took.

    Starting up counts on both sides: of a training of a few images it is nearly all, and says
    nothing of how long an image takes. So such a training never counts as faster than expected.

    Args:
        config: Its settings.
        n_train: Images that it learned from.
        n_val: Its validation images.
        epochs: Passes that it took; at least 1.
        seconds: That it computed.
        pace: As it was expected on that machine.
    """
    done = replace(config, method=replace(config.method, max_epochs=epochs))
    slowness = seconds / training_seconds(done, n_train, n_val, pace)
    is_mostly_start = _computing_s(done, n_train, n_val, pace) < _START_S
    return max(1.0, slowness) if is_mostly_start else slowness


def _computing_s(config: ExperimentConfig, n_train: int, n_val: int, pace: Pace) -> float:
    described = (n_train + n_val) * pace.look_s
    card = method_card(config.method.key)
    if card is not None and not card.has_passes:
        return described
    n_passes, times = config.method.max_epochs, 1.0
    if card is not None:
        n_passes += card.trial_passes if config.anchor.strength == 0 else 0
        times = card.learning_times
    # After each pass the decision layer is fitted anew, which describes every image once.
    passes = n_passes * (n_train * times * pace.learn_s + described)
    return described + passes + config.evaluation.test_time_views * n_val * pace.look_s


def rough_seconds(seconds: float) -> float:
    """Return an estimate without digits that nobody can know: steps of 5 s, 1 min, 5 min, up."""
    step = _LEAST_S if seconds <= _MINUTE_S else _MINUTE_S
    if seconds > _HOUR_S:
        step = 5 * _MINUTE_S
    return max(_LEAST_S, math.ceil(seconds / step) * step)


def rough_time(seconds: float) -> str:
    """Return an estimate for people: "40 s", "12 min", "1 h 35 min"."""
    whole = round(rough_seconds(seconds))
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    parts = ([f"{hours} h"] if hours else []) + ([f"{minutes} min"] if minutes else [])
    return " ".join(parts)
