"""What every method offers, and what it is given to work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from engine.contract.config import ExperimentConfig
from engine.contract.control import Control
from engine.hardware import Runtime
from engine.models.network import Network
from engine.project.segments import SegmentReader
from engine.project.table import TrainingTable

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The usable images of a project with their labels and split.

    Attributes:
        table: One row per usable image; ``split`` holds 0 train, 1 validation, 2 test, -1 none.
        pixels: Cached pixels, indexed by ``table.rows``.
        features_of: Returns frozen-backbone features ``(len(rows), F)``, float32, for pixel rows,
            from the project's cache where they are there.
    """

    table: TrainingTable
    pixels: SegmentReader
    features_of: Callable[[NDArray[np.int64]], NDArray[np.float32]]

    @cached_property
    def train(self) -> NDArray[np.int64]:
        """Indices into the table of the training images."""
        return np.flatnonzero(self.table.split == 0)

    @cached_property
    def val(self) -> NDArray[np.int64]:
        """Indices into the table of the validation images."""
        return np.flatnonzero(self.table.split == 1)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.table.class_names)

    def class_weights(self) -> NDArray[np.float64]:
        """Return inverse-frequency weights of the training classes with mean 1, shape ``(K,)``."""
        counts = np.bincount(self.table.labels[self.train], minlength=self.n_classes)
        weights = 1.0 / np.maximum(counts, 1)
        return np.asarray(weights * self.n_classes / weights.sum(), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class MethodContext:
    """What a method may use besides the network.

    Attributes:
        report: Called with a stage in plain words, items done and items in total.
        control: Requests to honour between pieces of work.
    """

    config: ExperimentConfig
    data: TrainingData
    runtime: Runtime
    report: Progress
    control: Control


@dataclass(frozen=True, kw_only=True)
class ParameterGroup:
    """Parameters that share a learning rate.

    Attributes:
        lr_ratio: Rate as a share of ``OptimizerConfig.learning_rate``.
        weight_decay: Decay of these parameters.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    lr_ratio: float
    weight_decay: float


class FineTuneMethod(Protocol):
    """One way of adapting a backbone.

    The run calls ``prepare`` once, then, when ``trains_epochs``, trains ``parameter_groups`` for
    up to ``MethodConfig.max_epochs`` with the modules switched by ``set_train_mode``.
    """

    key: ClassVar[str]
    trains_epochs: ClassVar[bool]
    features: ClassVar[str]
    """What the head sees in training: ``stages`` or ``last`` (``engine.models.network``)."""

    def prepare(self, network: Network, context: MethodContext) -> None:
        """Change the fresh network before any epoch, for example fit its head."""
        ...

    def parameter_groups(
        self, network: Network, config: ExperimentConfig
    ) -> tuple[ParameterGroup, ...]:
        """Return what is trained; parameters in no group are frozen."""
        ...

    def set_train_mode(self, network: Network) -> None:
        """Switch modules to training or evaluation mode for an epoch."""
        ...

    def finish_epoch(self, network: Network, context: MethodContext) -> Network:
        """Return what is validated and kept after an epoch, given the averaged network."""
        ...
