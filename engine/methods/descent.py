"""What every method shares that trains the backbone by gradient descent.

The head is fitted first, layers nearer the image can learn more slowly, and after each epoch the
head is fitted anew to the body as it has become.

References:
    Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution", ICLR 2022 (fit the head first).
    Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018
    (discriminative learning rates).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from engine.contract.config import ExperimentConfig
from engine.methods.linear_probe import fit_head, install_head
from engine.methods.method import FineTuneMethod, MethodContext, ParameterGroup
from engine.models.body import Body
from engine.models.features import extract
from engine.models.layer_groups import LayerGroup, layer_groups
from engine.models.network import Network

ADAPT = "adapt"


class DescentMethod(FineTuneMethod):
    """Full fine-tuning from a fitted head; methods that differ from it say in what."""

    _batch_norm = "frozen"

    def install(self, network: Network, config: ExperimentConfig) -> None:
        """Remember what batch norms are to do."""
        self._batch_norm = config.method.batch_norm

    def prepare(self, network: Network, context: MethodContext) -> None:
        """Fit the head on the frozen features, so that training starts from a good classifier.

        A backbone without pre-training keeps its random head: its features say nothing yet.
        """
        if context.config.backbone.weights == "scratch":
            return
        install_head(network, fit_head(network, context, context.data.features_of))

    def parameter_groups(
        self, network: Network, config: ExperimentConfig
    ) -> tuple[ParameterGroup, ...]:
        """Return two groups per trained layer group: weights, which decay, and biases and norms."""
        return layerwise_groups(trained_layers(network, config), config)

    def set_train_mode(self, network: Network) -> None:
        """Train with the pre-trained statistics of the batch norms, unless they are to adapt.

        Batches of a few dozen radiographs give statistics too noisy to replace those of a million
        images, unless the backbone starts from random weights and has none. Norms of frozen
        layers keep theirs in any case: their neighbours don't move either.
        """
        network.train()
        if not network.is_pretrained:
            return
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                is_trained = any(p.requires_grad for p in module.parameters(recurse=False))
                module.train(is_trained and self._batch_norm == ADAPT)

    def finish_epoch(self, network: Network, context: MethodContext) -> Network:
        """Return the tuned body under a head that is fitted anew on all its stages."""
        return with_refitted_head(network, network.body, context)


def trained_layers(network: Network, config: ExperimentConfig) -> list[tuple[int, LayerGroup]]:
    """Return the layer groups that are trained, each with its distance from the head."""
    layers = layer_groups(network)
    n_frozen = config.method.frozen_stages if network.is_pretrained else 0
    return [(len(layers) - 1 - i, layer) for i, layer in enumerate(layers) if i >= n_frozen]


def layerwise_groups(
    layers: list[tuple[int, LayerGroup]], config: ExperimentConfig
) -> tuple[ParameterGroup, ...]:
    """Return the parameters of layers with learning rates that fall with the distance to the head.

    Args:
        layers: Distance from the head, and the layer group; the head's own distance is 0.
        config: Rates and decay. Biases and norms don't decay.
    """
    settings = config.optimizer
    groups: list[ParameterGroup] = []
    for distance, layer in layers:
        lr_ratio = 1.0
        if distance > 0:
            lr_ratio = settings.backbone_lr_ratio * settings.layer_decay ** (distance - 1)
        for is_weight in (False, True):
            chosen = tuple(p for p in layer.parameters if (p.ndim > 1) == is_weight)
            if chosen:
                groups.append(
                    ParameterGroup(
                        name=f"{layer.name} {'weights' if is_weight else 'biases'}",
                        parameters=chosen,
                        lr_ratio=lr_ratio,
                        weight_decay=settings.weight_decay if is_weight else 0.0,
                    )
                )
    return tuple(groups)


def with_refitted_head(network: Network, body: Body, context: MethodContext) -> Network:
    """Return a body, shared and not copied, under a head that is fitted on all its stages.

    Gradient descent with a head on all stages was found to spoil them, and the head that descent
    leaves on the last maps to change from epoch to epoch more than the body does. A head fitted to
    the finished body is better than either, costs a seventh of an epoch, and makes validation, and
    so early stopping, far less noisy.

    Args:
        network: Whose card, classes and origin the result has.
        body: Plain layers, as :func:`engine.models.registry.build_network` makes them.
        context: Data, settings and progress.
    """
    kept = Network(
        network.card,
        body,
        network.n_classes,
        features="stages",
        weights_digest=network.weights_digest,
        activation=network.activation,
    ).to(context.runtime.device)
    kept.eval()

    def features_of(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return extract(kept, context.data.pixels, rows, context.runtime, control=context.control)

    install_head(kept, fit_head(kept, context, features_of))
    return kept
