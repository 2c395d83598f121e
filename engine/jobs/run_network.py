"""The network that a run begins with, or goes on with."""

from __future__ import annotations

from engine.contract.config import ExperimentConfig
from engine.hardware import Runtime
from engine.jobs.begun import Begun
from engine.jobs.source_bundle import Source
from engine.methods.method import FineTuneMethod
from engine.models.network import Network
from engine.models.registry import build_network
from engine.models.weights import SCRATCH
from engine.project.table import TrainingTable


def run_network(
    config: ExperimentConfig,
    method: FineTuneMethod,
    table: TrainingTable,
    runtime: Runtime,
    *,
    source: Source | None,
    begun: Begun | None,
) -> Network:
    """Return a network on the runtime's device, before anything was fitted.

    Args:
        config: All settings.
        method: Changes the network to what it trains.
        table: Says what is told apart.
        runtime: Its device.
        source: The classifier that the run takes over; None for a backbone.
        begun: What is known of a run that goes on; None for a new one.

    Raises:
        WeightsError: If the backbone's weights are missing or damaged.
    """
    if source is not None:
        return source.network(table.class_names).to(runtime.device)
    lacks_weights = begun is not None and begun.lacks_weights
    network = build_network(
        config.backbone.key,
        len(table.class_names),
        weights=SCRATCH if lacks_weights else config.backbone.weights,
        mean=None if begun is None else begun.mean,
        std=None if begun is None else begun.std,
        seed=config.seed,
        features=method.features,
        drop_path=config.method.stochastic_depth if method.trains_epochs else 0.0,
        activation=table.activation,
    )
    if begun is not None and lacks_weights:  # the state brings what became of them
        network.weights_digest = begun.weights_digest
    network = network.to(runtime.device)
    method.install(network, config)
    return network
