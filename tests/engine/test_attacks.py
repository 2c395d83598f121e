"""Attacks, checked against the closed forms that a linear network has."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.attacks import FGSM_STEP, fgsm, losses, pgd

EPSILON = 4 / 255
SIDE = 6


class _Linear(nn.Module):
    """Two logits, 0 and ``w . x + b``."""

    def __init__(self, weight: Tensor, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = bias

    def forward(self, images: Tensor) -> Tensor:
        logit = images.flatten(1) @ self.weight + self.bias
        return torch.stack([torch.zeros_like(logit), logit], dim=1)


class _WithBatchNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten()
        )
        self.head = nn.Linear(4 * (SIDE - 2) ** 2, 2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images))
        return logits


@pytest.fixture
def linear():
    weight = torch.randn(SIDE * SIDE, generator=torch.Generator().manual_seed(1))
    return _Linear(weight)


@pytest.fixture
def images():
    # Far enough from black and white that no change within epsilon is cut off.
    return 0.2 + 0.6 * torch.rand(8, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(2))


LABELS = torch.tensor([0, 1] * 4)


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Loss that is linear in the logits of two classes: how far the wrong one is ahead."""
    return (logits[:, 1] - logits[:, 0]) * (1 - 2 * labels)


@pytest.mark.parametrize("n_steps", [1, 5])
def test_a_linear_loss_rises_by_epsilon_times_the_sum_of_absolute_weights(linear, images, n_steps):
    attacked = pgd(
        linear, images, LABELS, _margin, epsilon=EPSILON, n_steps=n_steps, random_start=False
    )
    rise = _margin(linear(attacked), LABELS) - _margin(linear(images), LABELS)
    expected = EPSILON * linear.weight.abs().sum()
    assert torch.allclose(rise, expected.expand(8), rtol=1e-4)


def test_fgsm_without_a_random_start_is_the_signed_gradient(linear, images):
    attacked = fgsm(linear, images, LABELS, F.cross_entropy, epsilon=EPSILON, random_start=False)
    side = (1 - 2 * LABELS).view(-1, 1).float()
    expected = images + (EPSILON * side * linear.weight.sign()).view_as(images)
    assert torch.allclose(attacked, expected.detach(), atol=1e-7)


def test_fgsm_from_a_random_start_reaches_what_its_step_allows(linear, images):
    """A start ``s`` and a step of 1.25 epsilon end at ``min(s + 1.25 epsilon, epsilon)``."""
    zero = torch.zeros(SIDE * SIDE)
    starts = fgsm(
        _Linear(zero), images, LABELS, _margin, epsilon=EPSILON, generator=_generator()
    )  # no gradient: the image stays where it started
    attacked = fgsm(linear, images, LABELS, _margin, epsilon=EPSILON, generator=_generator())
    direction = ((1 - 2 * LABELS).view(-1, 1) * linear.weight.sign()).view_as(images)
    moved = (starts - images) + FGSM_STEP * EPSILON * direction
    expected = images + moved.clamp(-EPSILON, EPSILON)
    assert torch.allclose(attacked, expected.detach(), atol=1e-6)
    assert not torch.equal(starts, images)


def test_changes_stay_within_epsilon_and_the_grey_range(linear):
    images = torch.rand(16, 1, SIDE, SIDE, generator=_generator()).round()  # black and white
    labels = torch.tensor([0, 1] * 8)
    for attacked in (
        fgsm(linear, images, labels, F.cross_entropy, epsilon=EPSILON, step_size=1.0),
        pgd(linear, images, labels, F.cross_entropy, epsilon=EPSILON, n_steps=3, n_restarts=2),
    ):
        assert (attacked - images).abs().max() <= EPSILON + 1e-7
        assert attacked.min() >= 0 and attacked.max() <= 1
        assert attacked.shape == images.shape and attacked.dtype == images.dtype
        assert not attacked.requires_grad


def test_strength_zero_changes_nothing(linear, images):
    assert torch.equal(fgsm(linear, images, LABELS, _margin, epsilon=0.0), images)
    assert torch.equal(pgd(linear, images, LABELS, _margin, epsilon=0.0, n_steps=2), images)


def test_a_generator_fixes_the_result_and_spares_the_global_random_state(linear, images):
    def attack() -> Tensor:
        return pgd(
            linear,
            images,
            LABELS,
            F.cross_entropy,
            epsilon=EPSILON,
            n_steps=2,
            step_size=EPSILON / 4,  # too short to forget the start
            n_restarts=2,
            generator=_generator(),
        )

    before = torch.get_rng_state()
    first = attack()
    assert torch.equal(first, attack())
    assert torch.equal(torch.get_rng_state(), before)


def test_restarts_keep_each_image_s_worst_end_for_a_loss_that_averages(images):
    """More starts of the same stream can only raise a loss; the first start is among them."""
    network = _WithBatchNorm().eval()
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]))
    once, often = (
        pgd(
            network,
            images,
            LABELS,
            criterion,
            epsilon=0.1,
            n_steps=1,
            step_size=0.02,
            n_restarts=n,
            generator=_generator(),
        )
        for n in (1, 6)
    )
    gain = F.cross_entropy(network(often), LABELS, reduction="none") - F.cross_entropy(
        network(once), LABELS, reduction="none"
    )
    assert (gain >= -1e-6).all() and gain.max() > 0


def test_an_attack_leaves_modes_statistics_and_gradients_alone(images):
    network = _WithBatchNorm().train()
    network.body[1].eval()  # as full fine-tuning has it
    before = {key: value.clone() for key, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    pgd(network, images, LABELS, nn.CrossEntropyLoss(), epsilon=EPSILON, n_steps=2, n_restarts=2)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_failing_criterion_puts_the_network_back_into_training(images):
    network = _WithBatchNorm().train()

    def fail(logits: Tensor, labels: Tensor) -> Tensor:
        raise RuntimeError("no loss")

    with pytest.raises(RuntimeError, match="no loss"):
        fgsm(network, images, LABELS, fail, epsilon=EPSILON)
    assert all(module.training for module in network.modules())


def test_training_after_an_attack_under_one_autocast_still_reaches_every_weight(images):
    network = _WithBatchNorm().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attacked = pgd(
            network,
            images,
            LABELS,
            nn.CrossEntropyLoss(),
            epsilon=EPSILON,
            n_steps=2,
            n_restarts=2,
        )
        loss = F.cross_entropy(network(attacked).float(), LABELS)
    loss.backward()
    assert attacked.dtype == torch.float32
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_an_attack_within_no_grad_finds_its_gradient(linear, images):
    with torch.no_grad():
        attacked = fgsm(linear, images, LABELS, _margin, epsilon=EPSILON, random_start=False)
    assert (
        losses(linear, attacked, LABELS, _margin) > losses(linear, images, LABELS, _margin)
    ).all()


def test_losses_are_of_single_images_also_for_a_weighted_mean(linear, images):
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]))
    each = F.cross_entropy(
        linear(images), LABELS, reduction="none"
    )  # weights cancel in a mean of one
    assert torch.allclose(losses(linear, images, LABELS, criterion), each.detach(), atol=1e-6)


@pytest.mark.parametrize(
    "wrong", [{"epsilon": 2.0}, {"epsilon": -0.1}, {"n_steps": 0}, {"n_restarts": 0}]
)
def test_senseless_settings_are_refused(linear, images, wrong):
    with pytest.raises(ValueError):
        pgd(linear, images, LABELS, _margin, **{"epsilon": 0.1, "n_steps": 1, **wrong})


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)
