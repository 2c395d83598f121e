"""Small changes of images that raise a network's loss: worst cases to train on and to measure with.

An attack looks, within ``epsilon`` of each grey value (L-infinity), for the image that the network
finds hardest. Everything happens in the images' own grey range: values in [0, 1] after windowing,
before the network's normalisation, and never beyond it, so that what is found is an image that a
scanner could have written. ``epsilon`` is a share of that range: 2/255 is two grey levels of an
8-bit image. A grey image has one channel here, which the network repeats: its change is grey too.

The network is attacked as it will be used, in evaluation mode: no random layers, and statistics of
batch norms that stay as they are. Its mode is put back, and its parameters get no gradients.

References:
    Goodfellow et al., "Explaining and Harnessing Adversarial Examples", ICLR 2015.
    Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018.
    Wong et al., "Fast is better than free: Revisiting adversarial training", ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn

Criterion = Callable[[Tensor, Tensor], Tensor]
"""From float32 logits ``(N, K)`` and labels to a loss: one number, or one per image ``(N,)``."""

FGSM_STEP: Final = 1.25
"""Step of FGSM from a random start, in units of epsilon (Wong et al. 2020, section 4.1)."""
PGD_REACH: Final = 2.5
"""Length of all steps of PGD together, in units of epsilon: the whole ball can be crossed."""
_FP16_SCALE: Final = 2.0**10  # keeps small gradients from vanishing; a sign doesn't see it


def fgsm(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    criterion: Criterion,
    *,
    epsilon: float,
    step_size: float | None = None,
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return images after one signed gradient step, by default from a random point of the ball.

    Args:
        network: Returns logits.
        images: Values in [0, 1], ``(N, C, H, W)``.
        labels: What ``criterion`` takes, one row per image.
        criterion: The loss to raise.
        epsilon: Largest change of a grey value, in [0, 1].
        step_size: Length of the step; None takes ``FGSM_STEP * epsilon``, or ``epsilon`` without
            a random start (Goodfellow et al. 2015).
        random_start: Whether to start at a random point of the ball.
        generator: On the CPU; None draws from torch's own.

    Returns:
        Changed images, detached, same shape and type, values in [0, 1].

    Raises:
        ValueError: If ``epsilon`` is outside [0, 1] or the step isn't positive.
    """
    if step_size is None:
        step_size = (FGSM_STEP if random_start else 1.0) * epsilon
    return pgd(
        network,
        images,
        labels,
        criterion,
        epsilon=epsilon,
        n_steps=1,
        step_size=step_size,
        random_start=random_start,
        generator=generator,
    )


def pgd(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    criterion: Criterion,
    *,
    epsilon: float,
    n_steps: int,
    step_size: float | None = None,
    n_restarts: int = 1,
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return images after several signed gradient steps, each projected back into the ball.

    Args:
        network: Returns logits.
        images: Values in [0, 1], ``(N, C, H, W)``.
        labels: What ``criterion`` takes, one row per image.
        criterion: The loss to raise.
        epsilon: Largest change of a grey value, in [0, 1].
        n_steps: Steps from each start.
        step_size: Length of a step; None takes ``PGD_REACH * epsilon / n_steps``.
        n_restarts: Starts; of their ends, each image keeps the one with the highest loss.
        random_start: Whether starts are random points of the ball, else the images themselves.
        generator: On the CPU; None draws from torch's own.

    Returns:
        Changed images, detached, same shape and type, values in [0, 1].

    Raises:
        ValueError: If ``epsilon`` is outside [0, 1], or steps, step or starts aren't positive.
    """
    if not 0.0 <= epsilon <= 1.0:
        raise ValueError(f"epsilon is a share of the grey range, not {epsilon}")
    if step_size is None:
        step_size = PGD_REACH * epsilon / max(1, n_steps)
    if n_steps < 1 or n_restarts < 1 or (epsilon > 0.0 and not step_size > 0.0):
        raise ValueError("an attack needs steps of a positive size and a start")
    images = images.detach()
    if epsilon == 0.0 or not len(images):
        return images.clone()
    ball = Ball(images, epsilon)
    with attacked(network):
        worst, worst_loss = images, None
        for _ in range(n_restarts):
            changed = ball.random(generator) if random_start else images
            for _ in range(n_steps):
                direction, _ = gradient(network, changed, labels, criterion)
                changed = ball.project(changed + step_size * direction.sign())
            if n_restarts == 1:
                return changed
            loss = losses(network, changed, labels, criterion)
            if worst_loss is None:
                worst, worst_loss = changed, loss
            else:
                worst = torch.where((loss > worst_loss).view(-1, 1, 1, 1), changed, worst)
                worst_loss = torch.maximum(loss, worst_loss)
    return worst


class Ball:
    """All images within ``epsilon`` of some given ones, and within the grey range."""

    def __init__(self, images: Tensor, epsilon: float) -> None:
        self._low = (images - epsilon).clamp_(0.0, 1.0)
        self._high = (images + epsilon).clamp_(0.0, 1.0)

    def project(self, images: Tensor) -> Tensor:
        """Return the nearest members of the ball."""
        return torch.minimum(torch.maximum(images, self._low), self._high)

    def random(self, generator: torch.Generator | None) -> Tensor:
        """Return a uniformly random member, the same on every device: it is drawn on the CPU."""
        share = torch.rand(self._low.shape, generator=generator).to(self._low)
        return torch.lerp(self._low, self._high, share)


def gradient(
    network: nn.Module, images: Tensor, labels: Tensor, criterion: Criterion
) -> tuple[Tensor, Tensor]:
    """Return a positive multiple of the loss's gradient at the images, and the logits there.

    Nothing is left in the network. Where 16 bits gave no number, the gradient is 0.
    """
    with torch.enable_grad():
        images = images.detach().requires_grad_(True)
        logits = network(images).float()
        loss = criterion(logits, labels).sum()
        if _computes_in_fp16(images.device.type):
            loss = loss * _FP16_SCALE
        (found,) = torch.autograd.grad(loss, images)
    return found.nan_to_num_(nan=0.0), logits.detach()


def losses(network: nn.Module, images: Tensor, labels: Tensor, criterion: Criterion) -> Tensor:
    """Return each image's own loss, ``(N,)`` float32.

    A criterion that averages over the batch is asked for one image at a time.
    """
    with torch.no_grad():
        logits = network(images).float()
        loss = criterion(logits, labels)
        if loss.ndim == 0:
            one = (slice(i, i + 1) for i in range(len(logits)))
            loss = torch.stack([criterion(logits[i], labels[i]) for i in one])
    return loss.float()


@contextmanager
def attacked(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode for a while, then every module back into its own mode."""
    was_training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in was_training:
            module.training = True
        # Autocast keeps 16-bit copies of the weights. Those made without gradients would cut the
        # weights off from the training step that follows under the same autocast.
        torch.clear_autocast_cache()


def _computes_in_fp16(device: str) -> bool:
    if not torch.is_autocast_enabled(device):
        return False
    return torch.get_autocast_dtype(device) == torch.float16
