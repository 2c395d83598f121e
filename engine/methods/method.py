"""What every method offers, and what it is given to work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.contract.config import BackboneConfig, ExperimentConfig
from engine.contract.control import Control
from engine.contract.errors import ConfigError
from engine.contract.methods import NEEDS_WEIGHTS, NEEDS_WEIGHTS_REMEDY, method_card
from engine.hardware import Runtime
from engine.methods.balance import image_weights, inverse_frequency, state_counts
from engine.methods.guessing import Yardstick
from engine.models.features import PixelRows
from engine.models.network import Network
from engine.models.weights import SCRATCH
from engine.project.table import TrainingTable

Progress = Callable[[str, int, int], None]
Trial = Callable[[ExperimentConfig, str, int], NDArray[np.float64]]
"""Trains with other settings, under a name for people to read, up to an epoch of their schedule.

Returns the best epoch's probabilities of the validation images, ``(N, K)``, in the order of
``TrainingData.val``.
"""


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
    pixels: PixelRows
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

    def class_counts(self) -> NDArray[np.int64]:
        """Return how many training images each class has, shape ``(K,)``.

        Of findings: how many are without each and how many show it, shape ``(K, 2)``.
        """
        if self.table.is_multi:
            return state_counts(self.table.labels[self.train])
        return np.bincount(self.table.labels[self.train], minlength=self.n_classes)

    def class_weights(self) -> NDArray[np.float64]:
        """Return inverse-frequency weights of the training classes with mean 1, shape ``(K,)``."""
        return inverse_frequency(self.class_counts())

    def sampling_weights(self) -> NDArray[np.float64]:
        """Return how often to show each training image, relative to others, in ``train``'s order.

        Images of a rare class come more often; with several findings the rarest of an image counts.
        """
        labels = self.table.labels[self.train]
        if self.table.is_multi:
            return image_weights(labels)
        return self.class_weights()[labels]


@dataclass(frozen=True, kw_only=True)
class MethodContext:
    """What a method may use besides the network.

    Attributes:
        report: Called with a stage in plain words, items done and items in total.
        control: Requests to honour between pieces of work.
        trial: For a method that chooses a setting by trying; None within a trial.
    """

    config: ExperimentConfig
    data: TrainingData
    runtime: Runtime
    report: Progress
    control: Control
    trial: Trial | None = None


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


class FineTuneMethod:
    """One way of adapting a backbone; a subclass changes what its method is about.

    A run builds the network, calls ``install``, then ``prepare`` once, and, when
    ``trains_epochs``, trains ``parameter_groups`` for up to ``MethodConfig.max_epochs``. A resumed
    run calls ``install`` and goes on with the saved state, so nothing that ``prepare`` finds out
    may be kept on the method itself.
    """

    key: ClassVar[str]
    trains_epochs: ClassVar[bool] = True
    needs_origin: ClassVar[bool] = False
    """Whether training asks for the weights that the body began with, which no state keeps."""
    features: ClassVar[str] = "last"
    """What the head sees in training: ``stages`` or ``last`` (``engine.models.network``)."""

    def check(self, backbone: BackboneConfig) -> None:
        """Refuse a backbone that can't be adapted this way, before a run is made of it.

        Raises:
            ConfigError: If it can't: it has random weights, and the method is about others.
        """
        card = method_card(self.key)
        if card is not None and card.needs_weights and backbone.weights == SCRATCH:
            raise ConfigError(NEEDS_WEIGHTS.format(card.title), remedy=NEEDS_WEIGHTS_REMEDY)

    def install(self, network: Network, config: ExperimentConfig) -> None:
        """Change the structure of a fresh network, or remember its weights, before any training."""

    def prepare(self, network: Network, context: MethodContext) -> None:
        """Change the fresh network before the first epoch, for example fit its head."""

    def parameter_groups(
        self, network: Network, config: ExperimentConfig
    ) -> tuple[ParameterGroup, ...]:
        """Return what is trained; parameters in no group are frozen."""
        return ()

    def begin_epoch(self, network: Network, epoch: int, config: ExperimentConfig) -> None:
        """Change what is trained in an epoch, counted from 1, as a function of its number alone."""

    def is_warming_up(self, epoch: int, config: ExperimentConfig) -> bool:
        """Return whether what is trained for still changes, so that an epoch can't be the best.

        Of such epochs the newest is kept, in case that the run is stopped.
        """
        return False

    def patience_from(self, config: ExperimentConfig) -> int:
        """Return the epoch after which epochs without a better result count towards stopping."""
        return 0

    def set_train_mode(self, network: Network) -> None:
        """Switch modules to training or evaluation mode for an epoch."""
        network.eval()

    def loss(
        self,
        network: Network,
        images: Tensor,
        labels: Tensor,
        criterion: nn.Module,
        yardstick: Yardstick,
    ) -> Tensor:
        """Return the loss of one batch, a scalar; autocast is on where the runtime has it.

        Args:
            network: In training mode.
            images: Values in [0, 1], ``(N, C, H, W)``.
            labels: Class indices, int64 ``(N,)``; of findings int64 ``(N, K)``, -1 where unknown.
            criterion: Takes float32 logits ``(N, K)`` and labels.
            yardstick: Tells how near the network is to saying the same of every image.
        """
        loss: Tensor = criterion(network(images).float(), labels)
        return loss

    def after_step(self, network: Network, optimizer: torch.optim.Optimizer) -> None:
        """Change weights after an update; each group of the optimizer has its present ``lr``."""

    def finish_epoch(self, network: Network, context: MethodContext) -> Network:
        """Return what is validated and kept after an epoch, given the averaged network."""
        return network

    def summary(self, network: Network) -> dict[str, Any]:
        """Return plain facts about a kept network that people should see; empty without any."""
        return {}
