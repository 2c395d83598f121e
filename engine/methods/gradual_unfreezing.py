"""Gradual unfreezing: layer groups are opened one after the other, from the head down.

The layers next to the head are the most particular to the old task, so they may move first; the
general ones below them join only when those above no longer send random gradients down.

References:
    Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018.
"""

from __future__ import annotations

from typing import ClassVar

from engine.contract.config import ExperimentConfig
from engine.methods.descent import DescentMethod, trained_layers
from engine.models.network import Network


class GradualUnfreezing(DescentMethod):
    """Full fine-tuning in which an earlier stage joins every few epochs."""

    key: ClassVar[str] = "gradual_unfreezing"

    def begin_epoch(self, network: Network, epoch: int, config: ExperimentConfig) -> None:
        """Open the head and as many stages above the frozen ones as it is their turn.

        The head is fitted before the first epoch, so the last stage is open from the start: a
        pass for the head alone would find it already at its best. A closed layer has no gradient,
        and the optimizer then neither moves nor decays it.
        """
        n_open = 1 + (epoch - 1) // config.gradual.epochs_per_stage
        for distance, layer in trained_layers(network, config):
            for parameter in layer.parameters:
                parameter.requires_grad_(distance <= n_open)

    def patience_from(self, config: ExperimentConfig) -> int:
        """Return the last epoch of the first stage alone: stopping in it would try no other."""
        return config.gradual.epochs_per_stage
