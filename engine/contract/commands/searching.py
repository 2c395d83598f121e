"""Commands that compare settings, and that combine runs into one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from engine.contract.config import ExperimentConfig
from engine.contract.limits import Between, check_limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossval:
    """Cross-validate settings on the training and validation images.

    The same command goes on with one that was interrupted. Result: ``CrossvalResult``. Each fold
    is told in ``JobProgressed.facts["fold"]`` as a ``FoldResult``.
    """

    project: str
    config: ExperimentConfig
    folds: Annotated[int, Between(2, 20)] = 5

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If a field is outside.
        """
        check_limits(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Look for the best settings within a time, by the validation images alone.

    The same command goes on with one that was interrupted. Result: ``SearchResult``. Each trial is
    told in ``JobProgressed.facts["row"]`` as a ``TriedSettings``, one that goes along into a later
    round without another training in ``facts["carried"]``.

    Attributes:
        config: Where the search starts from; what it doesn't vary stays.
        backbones: Keys, which stand for all of a backbone's weights that are here, or ``file:ID``
            for certain ones; empty takes all.
        methods: Keys; empty takes the usual ones.
    """

    project: str
    minutes: Annotated[float, Between(0.05, 10_000.0)]
    config: ExperimentConfig = field(default_factory=ExperimentConfig)
    backbones: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If a field is outside.
        """
        check_limits(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LrRange:
    """Find a learning rate by letting it rise until training breaks. Result: ``LrRangeResult``.

    Attributes:
        steps: Updates from the lowest rate to the highest.
    """

    project: str
    config: ExperimentConfig
    steps: Annotated[int, Between(20, 2000)] = 120

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If a field is outside.
        """
        check_limits(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Combine:
    """Make a run that averages the probabilities of others. Result: ``EnsembleResult``.

    Attributes:
        runs: Ids of finished runs, at least two; or none and
        crossval: the id of a finished cross-validation, whose folds are averaged.
        test_time_views: Moved copies of each image that are averaged, too.
    """

    project: str
    runs: tuple[str, ...] = ()
    crossval: str = ""
    test_time_views: Annotated[int, Between(1, 16)] = 1

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If a field is outside.
        """
        check_limits(self)
