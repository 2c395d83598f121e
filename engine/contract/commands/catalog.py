"""Commands on what there is to choose from: weights, backbones, methods, this machine."""

from __future__ import annotations

from dataclasses import dataclass

from engine.contract.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ListBackbones:
    """Describe the catalog. Result: ``backbones``, and ``sentences`` for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMethods:
    """Say in which ways a network can be adapted. Result: ``methods``, their cards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddWeights:
    """Recognise a weights file, check it and keep a copy for its backbone.

    Result of a file: ``backbone``, ``name``, ``fits``, ``share`` of the backbone's parameters that
    are in it, ``n_tensors``, ``n_wanted``, ``missing``, ``misfits``, ``strangers``, ``examples`` of
    them, ``warnings``, ``licence``, ``pretrained_on``, and ``id`` if it was kept. Of a folder:
    ``added`` with a list of these, ``partial`` with those of files that fit in part and were not
    kept, ``refused`` with ``message`` and ``remedy`` of each other one; all with their ``file``.
    Of a folder of which nothing was added the command line's exit code is that of an error.

    Attributes:
        file: The file, or a folder of files.
        backbone: The only backbone that it may fit; for a single file.
        check_only: Only say how well it fits.
        allow_partial: Keep it too if a part of the backbone is missing.
    """

    file: str
    backbone: str | None = None
    check_only: bool = False
    allow_partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListWeights:
    """List the weights that were added. Result: ``weights``, and ``sentences`` for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveWeights:
    """Delete added weights; runs and bundles keep their own. Result: ``removed``."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendSetup:
    """Say what to try first with a project. Result: ``engine.contract.recommendation``.

    Attributes:
        minutes: Most time that training may take; None if that doesn't matter.
        apply: Whether the project's images are prepared at the recommended size from now on;
            everything else is chosen for each run.
    """

    project: str
    minutes: float | None = None
    apply: bool = False

    def __post_init__(self) -> None:
        """Check the time.

        Raises:
            ConfigError: If it is not above 0.
        """
        if self.minutes is not None and not self.minutes > 0:  # also false for NaN
            raise ConfigError(
                "The time for training must be above 0 minutes.", remedy="Write it like 30."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """Say what this machine can do. Result: devices, precision, threads, versions.

    With checks also ``checks`` (``DeviceCheck``), ``verdict`` and ``sentences`` for people; each
    check is told as it ends in ``JobProgressed.facts["check"]``.

    Attributes:
        check: Whether every device is made to compute, which takes up to a minute or two.
    """

    check: bool = False
