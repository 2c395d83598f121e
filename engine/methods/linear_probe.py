"""Linear probe: the backbone stays frozen, only a decision layer is fitted on its features.

References:
    Alain and Bengio, "Understanding intermediate layers using linear classifier probes", ICLR
    Workshop 2017. Features are pooled from several depths, after Hariharan et al., "Hypercolumns
    for Object Segmentation and Fine-grained Localization", CVPR 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from engine.contract.config import LossConfig
from engine.methods.findings_head import FindingsHeadLoss, fit_findings_head
from engine.methods.head_loss import HeadLoss
from engine.methods.linear_head import LinearHead, fit_linear_head
from engine.methods.method import FineTuneMethod, MethodContext, TrainingData
from engine.metrics.validation import validation_auroc
from engine.models.network import Network


class LinearProbe(FineTuneMethod):
    """Features once, then a regularised linear head chosen on validation."""

    key: ClassVar[str] = "linear_probe"
    trains_epochs: ClassVar[bool] = False
    features: ClassVar[str] = "stages"

    def prepare(self, network: Network, context: MethodContext) -> None:
        """Fit the head and put it into the network."""
        data = context.data
        install_head(network, fit_head(network, context, data.features_of))


def install_head(network: Network, head: LinearHead) -> None:
    """Put a fitted head and the standardisation that it was fitted with into a network."""
    network.set_standardisation(torch.from_numpy(head.mean), torch.from_numpy(head.scale))
    network.set_head(torch.from_numpy(head.weight), torch.from_numpy(head.bias))


def fit_head(
    network: Network,
    context: MethodContext,
    features_of: Callable[[NDArray[np.int64]], NDArray[np.float32]],
) -> LinearHead:
    """Fit a head on a network's features of the training images, its strength on validation.

    Args:
        network: Whose features they are.
        context: Data, settings and progress.
        features_of: Returns features ``(len(rows), F)`` of pixel rows.
    """
    data, table = context.data, context.data.table
    n_train = len(data.train)
    both = np.concatenate([data.train, data.val])
    features = features_of(table.rows[both])
    train = (features[:n_train], table.labels[data.train])
    val = (features[n_train:], table.labels[data.val])

    def show(done: int, total: int) -> None:
        context.report("Fitting the decision layer", done, total)

    if table.is_multi:
        return fit_findings_head(
            train,
            val,
            widths=network.feature_blocks,
            loss=FindingsHeadLoss.of(context.config.loss, data.class_counts()),
            on_strength=show,
        )

    return fit_linear_head(
        train,
        val,
        widths=network.feature_blocks,
        class_weights=None,
        loss=head_loss(context.config.loss, data),
        score=partial(validation_auroc, positive=table.positive),
        on_strength=show,
    )


def head_loss(config: LossConfig, data: TrainingData) -> HeadLoss:
    """Return what the fit of a head minimises, as the settings say for training.

    Showing rare classes more often comes, on average, to counting their images more, so that is
    what a fit does, which sees all images at once.
    """
    weights = data.class_weights() if config.imbalance in ("weights", "sampling") else None
    counts = np.maximum(data.class_counts(), 1)
    return HeadLoss(
        class_weights=weights,
        focal_gamma=config.focal_gamma if config.imbalance == "focal" else 0.0,
        log_prior=np.log(counts / counts.sum()) if config.imbalance == "logit_adjustment" else None,
        ordinal_weight=config.ordinal_weight if data.table.is_ordinal else 0.0,
    )
