"""A training without a project: images in memory, the smallest sizes, everything else real."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.contract.config import BackboneConfig, ExperimentConfig, ImageContract
from engine.contract.control import Control
from engine.contract.events import Event
from engine.hardware import Runtime
from engine.methods.method import FineTuneMethod, MethodContext, TrainingData
from engine.methods.registry import get_method
from engine.models.features import extract
from engine.models.network import Network
from engine.models.registry import build_network
from engine.project.table import TrainingTable
from engine.trainer.loop import Trainer
from tests.helpers.tiny_study import small_config

SIZE_PX = 32


class Pixels:
    """Images in memory, read as from a project."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.pixels[rows]


def make_table(
    n_train: int = 14, n_val: int = 8, *, n_classes: int = 2
) -> tuple[TrainingTable, Pixels]:
    """Return noisy images whose class is a bright part, unevenly many of each class."""
    n = n_train + n_val
    random = np.random.default_rng(3)
    labels = np.array([k * k % 5 % n_classes for k in range(n)], dtype=np.int64)
    pixels = random.integers(0, 150, (n, SIZE_PX, SIZE_PX), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[:16, 8 * label : 8 * label + 16] += 70
    table = TrainingTable(
        record_ids=np.arange(n, dtype=np.int64),
        rows=np.arange(n, dtype=np.int64),
        labels=labels,
        groups=np.arange(n, dtype=np.int64),
        patients=np.arange(n, dtype=np.int64),
        split=np.array([0] * n_train + [1] * n_val, dtype=np.int8),
        class_names=tuple("abcdef"[:n_classes]),
        positive=1 if n_classes == 2 else None,
        unit="patient",
    )
    return table, Pixels(pixels)


def tiny_config(
    method: str = "full_finetune",
    *,
    is_pretrained: bool = False,
    batch_size: int = 8,
    max_epochs: int = 2,
    **optimizer: Any,
) -> ExperimentConfig:
    """Return settings for a training of a few batches.

    Without pre-training the smallest network is trained, one without batch norms.
    """
    config = small_config(method, max_epochs=max_epochs)
    if not is_pretrained:
        config = replace(config, backbone=BackboneConfig(key="squeezenet1_0", weights="scratch"))
    return replace(
        config,
        image=ImageContract(size_px=SIZE_PX),
        optimizer=replace(config.optimizer, batch_size=batch_size, **optimizer),
        anchor=replace(config.anchor, strength=0.05),
    )


@cache
def _fresh(config: ExperimentConfig, n_classes: int) -> tuple[Network, FineTuneMethod]:
    method = get_method(config.method.key)
    network = build_network(
        config.backbone.key,
        n_classes,
        weights=config.backbone.weights,
        features=method.features,
        seed=config.seed,
    )
    method.install(network, config)
    return network, method


@dataclass
class TinyTraining:
    """Makes trainers of one training, each with a network of its own."""

    folder: Path
    config: ExperimentConfig = field(default_factory=tiny_config)
    precision: str = "fp32"
    table: TrainingTable = field(default_factory=lambda: make_table()[0])
    pixels: Pixels = field(default_factory=lambda: make_table()[1])
    events: list[Event] = field(default_factory=list)
    is_trial: bool = False

    def begin(self, control: Control | None = None) -> Trainer:
        """Return a trainer of a network that nothing was done to yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        network, method = copy.deepcopy(_fresh(self.config, len(self.table.class_names)))
        runtime = Runtime(precision=self.precision)

        def features_of(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            return extract(network, self.pixels, rows, runtime)

        context = MethodContext(
            config=self.config,
            data=TrainingData(
                table=self.table,
                pixels=self.pixels,
                features_of=features_of,
            ),
            runtime=runtime,
            report=lambda stage, done, total: None,
            control=control or Control(),
        )
        return Trainer(
            network=network,
            method=method,
            context=context,
            folder=self.folder,
            run="run",
            config_digest="config",
            split_digest="split",
            emit=self.events.append,
            require_there=lambda: None,
            is_trial=self.is_trial,
        )


def all_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Return everything that the next update of a trainer would depend on, copied."""
    return {name: tensor.clone() for name, tensor in trainer.updater.tensors().items()}
