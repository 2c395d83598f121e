"""The network that a training begins with."""

from __future__ import annotations

from engine.contract.config import ExperimentConfig
from engine.hardware import Runtime
from engine.methods.method import FineTuneMethod
from engine.models.network import Network
from engine.models.registry import build_network
from engine.project.table import TrainingTable


def fresh_network(
    config: ExperimentConfig, method: FineTuneMethod, table: TrainingTable, runtime: Runtime
) -> Network:
    """Return a network as its training begins with, on the runtime's device."""
    network = build_network(
        config.backbone.key,
        len(table.class_names),
        weights=config.backbone.weights,
        seed=config.seed,
        features=method.features,
        drop_path=config.method.stochastic_depth if method.trains_epochs else 0.0,
        activation=table.activation,
    )
    network = network.to(runtime.device)
    method.install(network, config)
    return network
