"""Commands on a finished run or an exported classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from engine.contract.limits import Between, OneOf, check_limits


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRuns:
    """Return the run history. Result: ``runs``, each as ``RunSummary``, newest first."""

    project: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """Look at the test set with a finished run. Result: ``EvaluationResult``."""

    project: str
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """Attack and degrade images with a finished run. Result: ``RobustnessResult``.

    Attributes:
        split: Where the images are from; ``test`` counts as a look at the test set.
        n_images: Most images; a sample with the classes in their proportions is drawn from more.
        corruptions: Whether everyday degradations are measured too.
    """

    project: str
    run: str
    split: Annotated[str, OneOf("val", "test")] = "val"
    n_images: Annotated[int, Between(10, 2000)] = 200
    corruptions: bool = True

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If a field is outside.
        """
        check_limits(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Write and verify a bundle.

    Result: ``bundle``, ``max_difference``, ``n_verified``, ``weights_bytes``.

    Attributes:
        difference_only: Store only the weights that differ from the pre-trained ones; to be read
            where those are, too.
    """

    project: str
    run: str
    out: str
    difference_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Predict:
    """Apply a bundle to a file or folder. Result: ``PredictionResult``."""

    bundle: str
    source: str
    out: str
