"""Commands that train: a run, the whole main job, a backbone to start from, a head alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from engine.contract.config import BackboneConfig, ExperimentConfig, RuntimeConfig
from engine.contract.limits import Between, check_limits
from engine.contract.results import ClassMatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """Start a run; answers with the events of a run.

    Attributes:
        finding: In a project with several findings an image, the one to learn from now on, or
            ``all``; None keeps the choice there is, which is all until one is made.
        bundle: For ``direct_transfer``: folder of the classifier to apply as it is; None uses
            prototypes on the backbone's features.
        matches: Which of that classifier's classes stand for which of the project's; the others
            are not in the task.
        recipe: The ``recipe.json`` of a run to repeat; it takes the place of everything else but
            the project.
    """

    project: str
    config: ExperimentConfig = field(default_factory=ExperimentConfig)
    finding: str | None = None
    bundle: str | None = None
    matches: tuple[ClassMatch, ...] = ()
    recipe: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Go on with an interrupted run; answers with the events of a run.

    Attributes:
        anyway: Whether to go on although something has changed that leaves the run's own images
            as they were: other versions of the program, or images outside its split.
    """

    project: str
    run: str
    anyway: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAll:
    """The whole main job in one process. Result: that of ``Evaluate`` plus ``seconds``."""

    source: str
    out: str
    labels: str | None = None
    preset: str = "quick"
    backbone: str | None = None
    method: str | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrain:
    """Train one backbone on several projects. Result: ``engine.contract.pretraining``.

    The same command goes on with one that was interrupted, in whatever order the projects are given
    and whatever the new backbone is to be called.

    Attributes:
        projects: At least two, labelled and divided; their test images are not touched.
        name: What the new backbone is called in the picker.
        backbone: Key of the backbone to start from.
        epochs: Passes over the images of all projects; the best one is kept.
    """

    projects: tuple[str, ...]
    name: str
    backbone: str = BackboneConfig().key
    epochs: Annotated[int, Between(1, 1000)] = 6
    seed: Annotated[int, Between(0, 2**31 - 1)] = 0
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If a field is outside.
        """
        check_limits(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitHead:
    """Fit a decision layer to the present labels, without a run. Result: ``HeadRefit``.

    Its ``val_auroc`` comes earlier, too, in the facts of a ``JobProgressed``.

    Attributes:
        backbone: Whose features are used; each image is described once, then they are at hand.
        weights: What the backbone starts from, see ``BackboneConfig``.
        described_only: Whether to fail, instead of describing images that haven't been yet.
    """

    project: str
    backbone: str = BackboneConfig().key
    weights: str = BackboneConfig().weights
    described_only: bool = False
