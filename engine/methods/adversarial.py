"""Adversarial training: every step learns from images and from their worst neighbours.

The neighbours of an image are those that differ from it by at most epsilon in each grey value; the
worst is the one that the network, as it is at that step, takes most for something else. One signed
gradient step finds it nearly, if it starts at a random point further out than epsilon: from a
nearer start training learns to fool the single step, and falls to several of them. More steps find
it more surely.

The head stays the one that descent leaves. A head that is fitted anew to the features of unchanged
images leans on whatever tells the classes, also on what the slightest change turns around.

References:
    Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018.
    Wong et al., "Fast is better than free: Revisiting adversarial training", ICLR 2020.
    De Jorge et al., "Make Some Noise: Reliable and Efficient Single-Step Adversarial Training",
    NeurIPS 2022 (the start of the single step).
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from engine.contract.config import ExperimentConfig
from engine.methods.descent import DescentMethod
from engine.methods.method import MethodContext, ParameterGroup
from engine.models.attacks import fgsm, pgd
from engine.models.network import Network

_START: Final = 2.0  # reach of the single step's random start, in units of epsilon
_RISE: Final = 0.5  # share of the epochs in which epsilon grows to its full size


class Adversarial(DescentMethod):
    """Fine-tuning on unchanged and on worst-case images."""

    key: ClassVar[str] = "adversarial"
    _share_of_epsilon = 1.0

    def install(self, network: Network, config: ExperimentConfig) -> None:
        """Remember how strong the worst cases are."""
        super().install(network, config)
        self._settings = config.adversarial

    def begin_epoch(self, network: Network, epoch: int, config: ExperimentConfig) -> None:
        """Let the worst cases grow: at full strength from the start nothing would be learned."""
        self._share_of_epsilon = _share_of_epsilon(epoch, config)

    def is_warming_up(self, epoch: int, config: ExperimentConfig) -> bool:
        """Return whether worst cases aren't at full strength: the network is yet to be fooled."""
        return _share_of_epsilon(epoch, config) < 1.0

    def parameter_groups(
        self, network: Network, config: ExperimentConfig
    ) -> tuple[ParameterGroup, ...]:
        """Return groups of all layers: what a change turns around is in the first ones, too."""
        unfrozen = replace(config, method=replace(config.method, frozen_stages=0))
        return super().parameter_groups(network, unfrozen)

    def loss(
        self, network: Network, images: Tensor, labels: Tensor, criterion: nn.Module
    ) -> Tensor:
        """Return the mean of both losses, weighted by how much unchanged images are to count."""
        epsilon = self._share_of_epsilon * self._settings.epsilon_255 / 255
        worst = worst_neighbours(
            network, images, labels, criterion, epsilon=epsilon, n_steps=self._settings.steps
        )
        logits = network(torch.cat([images, worst])).float()
        on_clean, on_worst = (criterion(part, labels) for part in logits.chunk(2))
        share = self._settings.clean_share
        loss: Tensor = share * on_clean + (1.0 - share) * on_worst
        return loss

    def finish_epoch(self, network: Network, context: MethodContext) -> Network:
        """Return the averaged network as it is, under the head that was trained with it."""
        return network


def _share_of_epsilon(epoch: int, config: ExperimentConfig) -> float:
    return min(1.0, epoch / max(1.0, _RISE * config.method.max_epochs))


def worst_neighbours(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    criterion: nn.Module,
    *,
    epsilon: float,
    n_steps: int,
) -> Tensor:
    """Return images that the network finds hard, near the given ones, from torch's own generator.

    Args:
        network: Returns logits.
        images: Values in [0, 1], ``(N, C, H, W)``.
        labels: Class indices, ``(N,)``.
        criterion: The loss to raise.
        epsilon: Size of a change of a grey value, in [0, 1].
        n_steps: 1 makes one step of that size from a start up to twice as far away; more stay
            within it.
    """
    if n_steps > 1:
        return pgd(network, images, labels, criterion, epsilon=epsilon, n_steps=n_steps)
    noise = (torch.rand(images.shape) * 2.0 - 1.0) * (_START * epsilon)
    start = (images + noise.to(images)).clamp_(0.0, 1.0)
    return fgsm(network, start, labels, criterion, epsilon=epsilon, random_start=False)
