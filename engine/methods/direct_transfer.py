"""Direct transfer: the pre-trained network is applied as it is.

A classifier of another task answers through a match of its classes to those of the project
(``engine.bundle.mapped``), and nothing is left to do here. A backbone without a decision layer gets
the simplest there is: an image belongs to the class whose mean it is nearest to.

References:
    Mensink et al., "Distance-Based Image Classification", IEEE TPAMI 2013 (nearest class means).
    Snell et al., "Prototypical Networks for Few-shot Learning", NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from engine.contract.errors import ConfigError
from engine.methods.linear_head import LinearHead, standardisation
from engine.methods.linear_probe import install_head
from engine.methods.method import FineTuneMethod, MethodContext
from engine.models.merged_head import MergedHead
from engine.models.network import Network
from engine.project.table import TrainingTable


class DirectTransfer(FineTuneMethod):
    """No training: matched classes, or else prototypes on frozen features."""

    key: ClassVar[str] = "direct_transfer"
    trains_epochs: ClassVar[bool] = False
    features: ClassVar[str] = "stages"

    def check(self, table: TrainingTable) -> None:
        """Refuse several findings at once.

        Raises:
            ConfigError: If the table is of such.
        """
        if table.is_multi:
            raise ConfigError(
                "Direct transfer assigns each image to one class, so it can't answer for several "
                "findings at once.",
                remedy="Choose one finding to learn, or a linear probe, which is as quick.",
            )

    def prepare(self, network: Network, context: MethodContext) -> None:
        """Put the prototypes into the head, unless the network has one for the task already."""
        if isinstance(network.head, MergedHead):
            return
        data, table = context.data, context.data.table
        features = data.features_of(table.rows[np.concatenate([data.train, data.val])])
        n_train = len(data.train)
        head = prototype_head(
            (features[:n_train], table.labels[data.train]),
            (features[n_train:], table.labels[data.val]),
            widths=network.feature_blocks,
        )
        install_head(network, head)


def prototype_head(
    train: tuple[NDArray[np.floating], NDArray[np.int64]],
    val: tuple[NDArray[np.floating], NDArray[np.int64]],
    *,
    widths: Sequence[int],
) -> LinearHead:
    """Return the head for which an image is as likely of a class as it is near to its mean.

    The logits are minus half the squared distance over a temperature, which is chosen on
    validation; what all classes share of it cancels, and the rest is linear.

    Args:
        train: Features ``(N, F)`` and labels ``(N,)``; every class must be there.
        val: The same of the validation images.
        widths: Widths of the feature blocks, summing to F.
    """
    mean, scale = standardisation(train[0], widths)
    x, x_val = (train[0] - mean) * scale, (val[0] - mean) * scale
    n_classes = int(train[1].max()) + 1
    prototypes = np.stack([x[train[1] == k].mean(axis=0) for k in range(n_classes)])
    offset = -0.5 * (prototypes**2).sum(axis=1)
    logits = x_val @ prototypes.T + offset

    def loss(log_scale: float) -> float:
        log_p = log_softmax(logits * np.exp(log_scale), axis=1)
        return -float(log_p[np.arange(len(val[1])), val[1]].mean())

    sharpness = float(np.exp(minimize_scalar(loss, bounds=(-8.0, 12.0), method="bounded").x))
    return LinearHead(
        mean=mean,
        scale=scale,
        weight=prototypes * sharpness,
        bias=offset * sharpness,
        strength=sharpness,
    )
