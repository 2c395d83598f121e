"""The settings that a search may try, in an order that follows from the seed.

The starting settings as they are, with every backbone and method, come first, then others at
random: with little time and many settings a random order finds good ones sooner than a grid.

References:
    Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 2012.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final, NamedTuple

import numpy as np

from engine.contract.config import BackboneConfig, ExperimentConfig, OptimizerConfig
from engine.contract.limits import Between, limits_of
from engine.contract.methods import method_card
from engine.methods.anchored import AnchoredMethod
from engine.methods.registry import get_method
from engine.seeding import step_seed

PROBE: Final = "linear_probe"
DEFAULT_METHODS: Final = (PROBE, "full_finetune", "gradual_unfreezing", "l2_sp", "lora")
_AT_ONCE: Final = (PROBE, "direct_transfer")
_RATES: Final = (1 / 3, 3.0)
_FROZEN: Final = (2, 0)
_DECAY: Final = (1.0, 0.7)
_SMOOTHING: Final = (0.05, 0.0)
_MOST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Pre-trained weights that a search may start from.

    Attributes:
        name: What tells them from the default ones of their backbone; empty for those.
    """

    backbone: BackboneConfig
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Settings that may be tried.

    Attributes:
        changes: What differs from the starting settings besides backbone and method.
    """

    number: int
    config: ExperimentConfig
    changes: tuple[str, ...] = ()

    @property
    def has_epochs(self) -> bool:
        """Whether it trains for a number of passes."""
        return self.config.method.key not in _AT_ONCE


def make_candidates(
    base: ExperimentConfig, starts: Sequence[Start], methods: Sequence[str]
) -> list[Candidate]:
    """Return candidates in the order in which they are tried, at most 200; same seed, same order.

    Args:
        base: The starting settings.
        starts: Backbones with their weights, the first preferred.
        methods: Keys, of methods that can be trained.
    """
    plain: list[tuple[ExperimentConfig, tuple[str, ...]]] = []
    others: list[tuple[ExperimentConfig, tuple[str, ...]]] = []
    for method in methods:
        for start in starts:
            config = _of(base, start.backbone, method)
            named = (f"weights {start.name}",) if start.name else ()
            if method in _AT_ONCE:
                plain.append((config, named))
                continue
            varied = [_varied(config, named, choice) for choice in _choices(config)]
            plain.append(varied[0])
            others += varied[1:]
    # The usual order of usefulness: a probe and a full fine-tuning of each backbone first.
    order = np.random.default_rng(step_seed(base.seed, "search")).permutation(len(others))
    chosen = [*plain, *(others[i] for i in order)][:_MOST]
    return [
        Candidate(number=number, config=config, changes=changes)
        for number, (config, changes) in enumerate(chosen)
    ]


def _of(base: ExperimentConfig, backbone: BackboneConfig, method: str) -> ExperimentConfig:
    config = replace(base, backbone=backbone, method=replace(base.method, key=method))
    tried = get_method(method)
    is_set = base.method.key == method and base.anchor.strength > 0
    if not isinstance(tried, AnchoredMethod) or is_set:
        return config
    # Fixed, where a run would try them all. Pulls of different methods are not comparable.
    middle = tried.strengths[len(tried.strengths) // 2]
    return replace(config, anchor=replace(config.anchor, strength=middle))


class _Choice(NamedTuple):
    rate: float
    frozen: int
    decay: float
    smoothing: float


def _choices(config: ExperimentConfig) -> list[_Choice]:
    """Return what may be tried of a method, the settings as they are first, none of them twice."""
    own = _Choice(
        config.optimizer.learning_rate,
        config.method.frozen_stages,
        config.optimizer.layer_decay,
        config.loss.label_smoothing,
    )
    card = method_card(config.method.key)
    is_frozen_heeded = card is None or "method.frozen_stages" not in card.ignores
    choices = product(
        [own.rate, *(_rounded(own.rate * factor) for factor in _RATES)],
        [own.frozen, *(_FROZEN if is_frozen_heeded else ())],
        [own.decay, *_DECAY],
        [own.smoothing, *_SMOOTHING],
    )
    return list(dict.fromkeys(map(_Choice._make, choices)))


def _rounded(rate: float) -> float:
    """Return a rate with two digits, within the limits of the settings."""
    limits = limits_of(OptimizerConfig)["learning_rate"]
    assert isinstance(limits, Between)
    return max(limits.low, min(limits.high, float(f"{rate:.2g}")))


def _varied(
    config: ExperimentConfig, named: tuple[str, ...], choice: _Choice
) -> tuple[ExperimentConfig, tuple[str, ...]]:
    optimizer, method, loss = config.optimizer, config.method, config.loss
    changes = list(named)
    if choice.rate != optimizer.learning_rate:
        changes.append(f"learning rate {choice.rate:g}")
    if choice.frozen != method.frozen_stages:
        n = choice.frozen
        changes.append(f"{n} stages frozen" if n else "all layers trained")
    if choice.decay != optimizer.layer_decay:
        is_even = choice.decay == 1.0
        changes.append("all layers equally fast" if is_even else "earlier layers slower")
    if choice.smoothing != loss.label_smoothing:
        share = choice.smoothing
        changes.append(f"labels smoothed by {share:g}" if share else "labels taken as certain")
    varied = replace(
        config,
        optimizer=replace(optimizer, learning_rate=choice.rate, layer_decay=choice.decay),
        method=replace(method, frozen_stages=choice.frozen),
        loss=replace(loss, label_smoothing=choice.smoothing),
    )
    return varied, tuple(changes)
