"""Adversarial training: every step learns from images and from their worst neighbours.

The neighbours of an image are those that differ from it by at most epsilon in each grey value; the
worst is the one that the network, as it is at that step, takes most for something else. One signed
gradient step finds it nearly, if it starts at a random point further out than epsilon: from a
nearer start training learns to fool the single step, and falls to several of them. More steps find
it more surely.

A neighbour of which the network is quite sure, and wrong, teaches it nothing but to answer the same
to every image. So it is drawn nearer to its image, to where the wrong answer leads by little; the
more the network withstands, the less of that happens. And the nearer unchanged images come to
costing as much as the same answer to everything does, the more they count, up to alone: else that
answer would be the better one.

The head stays the one that descent leaves. A head that is fitted anew to the features of unchanged
images leans on whatever tells the classes, also on what the slightest change turns around.

References:
    Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018.
    Wong et al., "Fast is better than free: Revisiting adversarial training", ICLR 2020.
    De Jorge et al., "Make Some Noise: Reliable and Efficient Single-Step Adversarial Training",
    NeurIPS 2022 (the start of the single step).
    Zhang et al., "Attacks Which Do Not Kill Training Make Adversarial Learning Stronger", ICML 2020
    (neighbours that are not too wrong).
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from engine.contract.config import ExperimentConfig
from engine.contract.targets import UNKNOWN
from engine.methods.descent import DescentMethod
from engine.methods.guessing import Yardstick
from engine.methods.method import MethodContext, ParameterGroup
from engine.models.attacks import attacked, fgsm, pgd
from engine.models.network import Network

_START: Final = 2.0  # reach of the single step's random start, in units of epsilon
_RISE: Final = 0.5  # share of the epochs in which epsilon grows to its full size
_MILD: Final = 0.75  # of the first epoch: as if so much of it went by without worst cases
_MOST_LEAD: Final = 1.5  # of a wrong answer over the right one, in log-odds: 0.82 against 0.18
_LEARNING: Final = 0.7  # of what the same answer to everything costs: above, unchanged images gain
_LOST: Final = 0.95  # as much: above, they alone count


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

    def patience_from(self, config: ExperimentConfig) -> int:
        """Return the last epoch: while the rate is high, unchanged images say little of the end."""
        return config.method.max_epochs

    def parameter_groups(
        self, network: Network, config: ExperimentConfig
    ) -> tuple[ParameterGroup, ...]:
        """Return groups of all layers: what a change turns around is in the first ones, too."""
        unfrozen = replace(config, method=replace(config.method, frozen_stages=0))
        return super().parameter_groups(network, unfrozen)

    def loss(
        self,
        network: Network,
        images: Tensor,
        labels: Tensor,
        criterion: nn.Module,
        yardstick: Yardstick,
    ) -> Tensor:
        """Return the mean of both losses, weighted by how much unchanged images are to count."""
        epsilon = self._share_of_epsilon * self._settings.epsilon_255 / 255
        worst = worst_neighbours(
            network, images, labels, criterion, epsilon=epsilon, n_steps=self._settings.steps
        )
        worst = less_wrong(network, images, worst, labels, most=_MOST_LEAD)
        logits = network(torch.cat([images, worst])).float()
        clean, wrong = logits.chunk(2)
        share = clean_share(yardstick.measure(clean, labels), least=self._settings.clean_share)
        on_clean, on_worst = criterion(clean, labels), criterion(wrong, labels)
        loss: Tensor = share * on_clean + (1.0 - share) * on_worst
        return loss

    def finish_epoch(self, network: Network, context: MethodContext) -> Network:
        """Return the averaged network as it is, under the head that was trained with it."""
        return network


def _share_of_epsilon(epoch: int, config: ExperimentConfig) -> float:
    """Return the share, which grows evenly from little in the first epoch.

    At 224 px even 1/255 turns every answer around, and a network that meets that before anything
    milder learns to answer the same to everything.
    """
    at_full = max(1.0, _RISE * config.method.max_epochs)
    return min(1.0, (epoch - _MILD) / (at_full - _MILD))


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


def less_wrong(
    network: nn.Module, images: Tensor, worst: Tensor, labels: Tensor, *, most: float
) -> Tensor:
    """Return worst neighbours, those that are too wrong drawn nearer to their images.

    How far the right answer leads is taken to change evenly on the way from an image to its
    neighbour. An image that is too wrong itself has no neighbour but itself.

    Args:
        network: Returns logits.
        images: Values in [0, 1], ``(N, C, H, W)``.
        worst: A neighbour of each.
        labels: Class indices, ``(N,)``; of findings ``(N, K)``, -1 where unknown.
        most: By how much a wrong answer may lead over the right one, in log-odds.
    """
    with torch.no_grad(), attacked(network):
        logits = network(torch.cat([images, worst])).float()
    before, after = (_lead(part, labels) for part in logits.chunk(2))
    steepness = (before - after).clamp(min=torch.finfo(before.dtype).tiny)
    way = (before + most).clamp(min=0.0) / steepness
    share = torch.where(after < -most, way.clamp(max=1.0), torch.ones_like(way))
    return images + share.to(images).view(-1, 1, 1, 1) * (worst - images)


def clean_share(measured: Tensor, *, least: float) -> Tensor:
    """Return how much unchanged images are to count, in [least, 1], a scalar.

    Args:
        measured: What unchanged images cost, as a share of the same answer to everything.
        least: How much they count while that is small.
    """
    way = (measured - _LEARNING) / (_LOST - _LEARNING)
    return least + (1.0 - least) * way.clamp(0.0, 1.0)


def _lead(logits: Tensor, labels: Tensor) -> Tensor:
    """Return by how much the right answer leads the best wrong one, ``(N,)``; below 0: wrong.

    Of several findings at once the one with the smallest lead counts.
    """
    if labels.ndim == 2:
        lead = torch.where(labels == 1, logits, -logits)
        return lead.masked_fill(labels == UNKNOWN, torch.inf).amin(dim=1)
    own = logits.gather(1, labels[:, None])
    return (own - logits.scatter(1, labels[:, None], -torch.inf)).amin(dim=1)
