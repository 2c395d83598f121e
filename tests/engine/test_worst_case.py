"""The search for worst cases, on networks whose worst cases are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.contract.results import MaskingCheck
from engine.evaluate.decisions import Decision
from engine.evaluate.masking import check_masking
from engine.evaluate.worst_case import WorstCaseSearch

SIDE = 8
N = 40
STRENGTHS = (0.5 / 255, 2 / 255, 8 / 255)
DECISION = Decision(threshold=0.5, positive=1)


class _Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randn(SIDE * SIDE, generator=generator))

    @property
    def reach(self) -> float:
        """How far the logit can move for each unit that every grey value may."""
        return float(self.weight.detach().abs().sum())

    def forward(self, images: Tensor) -> Tensor:
        logit = (images.flatten(1) - 0.5) @ self.weight
        return torch.stack([torch.zeros_like(logit), logit], dim=1)


class _OfCoarseGreys(_Linear):
    """Rounds its input: the same answers, nearly, and no gradient anywhere."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward((images * 64.0).round() / 64.0)


class _Reversed(torch.autograd.Function):
    """Lets values through and turns gradients around."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        return images.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return -gradients[0]


class _OfWrongGradients(_Linear):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(_Reversed.apply(images))


class _DeadBeyond(_Linear):
    """Answers alike, without a gradient, from a little margin on."""

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        return torch.stack([logits[:, 0], logits[:, 1].clamp(-0.19, 0.19)], dim=1)


def _cases(margins: Tensor, network: _Linear) -> tuple[Tensor, Tensor]:
    """Return images in the middle of the grey range whose right answer leads by given margins."""
    generator = torch.Generator().manual_seed(5)
    images = 0.3 + 0.4 * torch.rand(len(margins), 1, SIDE, SIDE, generator=generator)
    labels = torch.arange(len(margins)) % 2
    weight = network.weight.detach()
    wanted = margins * (2 * labels - 1)
    logits = (images.flatten(1) - 0.5) @ weight
    images += ((wanted - logits)[:, None] * weight / weight.square().sum()).view_as(images)
    assert images.min() > 0.05 and images.max() < 0.95  # so that nothing is cut off below
    return images, labels


def _search(network: _Linear, margins: Tensor, **settings: Any) -> WorstCaseSearch:
    images, labels = _cases(margins, network)
    return WorstCaseSearch(network, images, labels, DECISION, **settings)


def _failed(checks: tuple[MaskingCheck, ...]) -> set[str]:
    return {check.key for check in checks if not check.is_passed}


def test_a_linear_network_keeps_the_images_whose_margin_exceeds_epsilon_times_the_weights():
    network = _Linear()
    reach = network.reach
    margins = torch.linspace(0.01, 10 / 255 * reach, N)
    search = _search(network, margins)
    assert search.clean.share_right == 1.0
    for epsilon in STRENGTHS:
        found = search.strengthen(epsilon)
        expected = margins > epsilon * reach
        assert torch.equal(found.worst.is_right, expected)
        assert torch.equal(found.one_step.is_right, expected)  # a line needs no second step
        drop = margins - found.worst.margins
        is_moving = margins - epsilon * reach > -4  # those that are wrong by far rest earlier
        assert torch.allclose(
            drop[is_moving], torch.full((N,), epsilon * reach)[is_moving], rtol=1e-3
        )
        # Random signs add up like their root: about 8 times 0.6 here, of 51 in one direction.
        assert found.noise.share_right > found.worst.share_right


def test_a_sound_network_isn_t_suspected_of_masking():
    network = _Linear()
    search = _search(network, torch.linspace(0.05, 12 / 255 * network.reach, N))
    assert not _failed(check_masking(search, [search.strengthen(e) for e in STRENGTHS]))


@pytest.mark.parametrize(
    ("network", "signs"),
    [
        (_OfCoarseGreys(), {"gradient"}),
        (_OfWrongGradients(), {"large_change", "without_gradient"}),
    ],
)
def test_a_network_that_hides_its_gradients_is_suspected(network, signs):
    search = _search(network, torch.linspace(0.05, 1.0, N))
    assert signs <= _failed(check_masking(search, [search.strengthen(e) for e in STRENGTHS]))


def test_a_gradient_that_dies_on_the_way_is_noticed():
    """Half of the images start beyond the slope, on a plateau that reaches further than epsilon."""
    network = _DeadBeyond()
    margins = torch.cat([torch.linspace(0.05, 0.15, N // 2), torch.full((N // 2,), 3.0)])
    search = _search(network, margins)
    strengths = [search.strengthen(e) for e in STRENGTHS]
    assert strengths[-1].worst.share_right >= 0.5
    assert "gradient" in _failed(check_masking(search, strengths))


def test_a_network_that_says_the_same_about_every_image_hides_nothing():
    class Constant(_Linear):
        def forward(self, images: Tensor) -> Tensor:
            return 0.0 * super().forward(images)

    search = _search(Constant(), torch.full((6,), 0.2))
    assert check_masking(search, [search.strengthen(e) for e in STRENGTHS]) == ()
    # Images of the positive class are called right at its threshold, the others wrong.
    assert search.clean.share_right == 1.0 and search.has_one_answer


def test_more_strength_never_looks_like_less():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, 3),
    ).eval()
    images = torch.rand(30, 1, SIDE, SIDE)
    labels = network(images).argmax(dim=1)
    search = WorstCaseSearch(network, images, labels, Decision(threshold=None), n_steps=5)
    before = search.clean
    for epsilon in STRENGTHS:
        found = search.strengthen(epsilon)
        assert (found.worst.margins <= before.margins).all()
        before = found.worst


def test_the_margin_of_several_classes_is_the_lead_over_the_next_best():
    logits = torch.tensor([[3.0, 1.0, 2.5], [0.0, 1.0, 5.0]])
    margin = Decision(threshold=None).margin(logits, torch.tensor([0, 1]))
    assert torch.allclose(margin, torch.tensor([0.5, -4.0]))


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_the_margin_of_two_classes_changes_sign_at_the_threshold(threshold):
    """Odds of p : 1 - p are what the difference of two logits means."""
    odds = torch.tensor(threshold / (1 - threshold)).log()
    logits = torch.tensor([[0.0, 0.01], [0.0, -0.01]]) + torch.stack(
        [torch.zeros(2), odds.expand(2)], 1
    )
    decision = Decision(threshold=threshold, positive=1)
    assert (decision.margin(logits, torch.tensor([1, 1])) > 0).tolist() == [True, False]
    assert (decision.margin(logits, torch.tensor([0, 0])) > 0).tolist() == [False, True]


def test_the_same_seed_gives_the_same_worst_cases():
    margins = torch.linspace(0.05, 1.0, N)
    one, other = (
        _search(_Linear(), margins, n_steps=3, seed=9).strengthen(2 / 255).worst for _ in range(2)
    )
    assert torch.equal(one.logits, other.logits)


def test_strengths_must_grow():
    search = _search(_Linear(), torch.ones(4))
    search.strengthen(2 / 255)
    with pytest.raises(ValueError):
        search.strengthen(2 / 255)


def test_the_blind_search_finds_what_it_may_and_stays_within_epsilon():
    network = _OfWrongGradients()
    search = _search(network, torch.full((6,), 0.2))
    rows = torch.arange(6)
    found = search.search_blindly(rows, epsilon=8 / 255, n_tries=60)
    assert (found.images - search.images).abs().max() <= 8 / 255 + 1e-6
    assert not found.answers.is_right.any()
