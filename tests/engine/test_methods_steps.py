"""What single methods do in a step, an epoch and at the end, against their definitions."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from engine.contract.config import ExperimentConfig
from engine.methods.adversarial import Adversarial, clean_share, less_wrong
from engine.methods.anchored import AnchoredMethod
from engine.methods.full_finetune import FullFinetune
from engine.methods.gradual_unfreezing import GradualUnfreezing
from engine.methods.guessing import Yardstick
from engine.methods.l2_sp import L2SP
from engine.methods.lora import Lora, LowRankChange, merged
from engine.methods.method import MethodContext
from engine.methods.soft_threshold import SoftThreshold
from engine.methods.strength_choice import strongest_as_good
from engine.models.network import Network
from engine.models.registry import build_network
from engine.trainer.optimizer import build_optimizer, set_lr
from engine.trainer.stopping import EarlyStopping


def network_of(key: str = "efficientnet_lite0") -> Network:
    return build_network(key, 2, features="last")


def settings(**stages: dict[str, object]) -> ExperimentConfig:
    config = ExperimentConfig()
    for stage, values in stages.items():
        config = replace(config, **{stage: replace(getattr(config, stage), **values)})
    return config


def one_step(method: AnchoredMethod, strength: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Move every weight by a random amount, let the method act, and return one layer's values."""
    network = network_of()
    config = settings(anchor={"strength": strength}, method={"frozen_stages": 0})
    method.install(network, config)
    groups = method.parameter_groups(network, config)
    assert all(group.weight_decay == 0 for group in groups if "head" not in group.name)
    optimizer = build_optimizer(groups, config.optimizer)
    set_lr(optimizer, 0.5)  # half of 5e-4
    layer = network.body.get_submodule("conv_head")
    assert isinstance(layer, nn.Conv2d)
    start = layer.weight.detach().clone()
    head = network.head.weight.detach().clone()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1e-3 * torch.randn_like(parameter))
    moved, moved_head = layer.weight.detach().clone(), network.head.weight.detach().clone()
    method.after_step(network, optimizer)
    assert torch.equal(network.head.weight, moved_head)
    assert not torch.equal(head, moved_head)
    return start.double().numpy(), moved.double().numpy(), layer.weight.detach().double().numpy()


def test_soft_threshold_shrinks_every_change_and_stops_at_the_pre_trained_value() -> None:
    start, moved, after = one_step(SoftThreshold(), 2.0)
    change, threshold = moved - start, 2.5e-4 * 2.0
    expected = start + np.sign(change) * np.maximum(np.abs(change) - threshold, 0)
    np.testing.assert_allclose(after, expected, atol=1e-7)
    is_small = np.abs(change) < threshold * 0.999
    assert 0.2 < is_small.mean() < 0.8
    assert (after[is_small] == start[is_small]).all()


def test_of_an_average_only_what_training_holds_at_the_start_is_put_back(monkeypatch) -> None:
    """However near to the start the rest of it lies: what stays is due to the pull alone."""
    monkeypatch.setattr(
        "engine.methods.soft_threshold.with_refitted_head", lambda network, body, context: body
    )
    network, method = network_of(), SoftThreshold()
    method.install(network, settings(anchor={"strength": 0.5}))
    start = network.body.get_parameter("conv_head.weight").detach().clone()
    averaged = copy.deepcopy(network)
    has_moved = torch.rand(start.shape, generator=torch.Generator().manual_seed(0)) < 0.3
    with torch.no_grad():
        network.body.get_parameter("conv_head.weight").add_(1e-5 * has_moved)
        averaged.body.get_parameter("conv_head.weight").add_(1e-6)
    beside = averaged.body.get_parameter("conv_head.weight").detach().clone()
    kept = method.finish_epoch(averaged, cast(MethodContext, None)).get_parameter(
        "conv_head.weight"
    )
    assert torch.equal(kept, torch.where(has_moved, beside, start))
    assert not torch.equal(beside, start)


def test_l2_sp_keeps_a_share_of_every_change() -> None:
    start, moved, after = one_step(L2SP(), 40.0)
    np.testing.assert_allclose(after, start + (moved - start) * (1 - 2.5e-4 * 40), atol=1e-7)


def candidates(*signals: float) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return probabilities that tell the classes the better, the larger the number."""
    random = np.random.default_rng(5)
    labels = np.arange(200) % 2
    shared = random.normal(size=200)
    found = []
    for signal in signals:
        logits = signal * (labels - 0.5) + shared + 0.3 * random.normal(size=200)
        p = 1 / (1 + np.exp(-logits))
        found.append(np.stack([1 - p, p], axis=1))
    return found, labels, np.arange(200) // 2


def test_the_strongest_pull_within_one_standard_error_of_the_best_is_chosen() -> None:
    found, labels, groups = candidates(2.0, 2.0, 2.0, 1.9, 1.5, 0.5)
    chosen, aurocs = strongest_as_good(found, labels, groups, positive=1, seed=0)
    expected = [roc_auc_score(labels, p[:, 1]) for p in found]
    assert aurocs == pytest.approx(expected)
    random, drawn = np.random.default_rng(8), []
    for _ in range(300):  # whole patients, with replacement
        rows = np.concatenate([np.flatnonzero(groups == g) for g in random.integers(0, 100, 100)])
        drawn.append([roc_auc_score(labels[rows], p[rows, 1]) for p in found])
    best = int(np.argmax(expected))
    errors = np.std(np.array(drawn)[:, [best]] - np.array(drawn), axis=0)
    as_good = [i for i in range(len(found)) if expected[best] - expected[i] <= errors[i]]
    assert chosen == as_good[-1]
    assert 0 < chosen < len(found) - 1


def test_equal_candidates_give_the_strongest_pull() -> None:
    found, labels, groups = candidates(1.0)
    assert strongest_as_good(found * 3, labels, groups, positive=1, seed=0)[0] == 2


def test_without_both_classes_the_weakest_pull_is_chosen() -> None:
    found, labels, groups = candidates(1.0, 1.0)
    assert strongest_as_good(found, np.zeros_like(labels), groups, positive=1, seed=0)[0] == 0


@pytest.mark.parametrize("n_classes", [2, 8, 40])
def test_with_a_single_patient_of_each_class_one_is_still_chosen(n_classes: int) -> None:
    random = np.random.default_rng(3)
    best = np.eye(n_classes)
    worse = [random.dirichlet(np.ones(n_classes), n_classes) for _ in range(2)]
    labels = groups = np.arange(n_classes)
    positive = 1 if n_classes == 2 else None
    found = [worse[0], best, worse[1]]
    chosen, aurocs = strongest_as_good(found, labels, groups, positive=positive, seed=0)
    assert aurocs[1] == 1.0
    assert chosen >= 1  # never weaker than the best
    equal, _ = strongest_as_good([best, best], labels, groups, positive=positive, seed=0)
    assert equal == 1


def open_stages(network: Network) -> list[bool]:
    return [any(p.requires_grad for m in stage for p in m.parameters()) for stage in network.stages]


def test_stages_are_opened_from_the_head_down_and_frozen_ones_never() -> None:
    network = network_of()
    method = GradualUnfreezing()
    config = settings(method={"frozen_stages": 1}, gradual={"epochs_per_stage": 2})
    method.install(network, config)
    for group in method.parameter_groups(network, config):
        for parameter in group.parameters:
            parameter.requires_grad_(True)
    for parameter in (p for m in network.stages[0] for p in m.parameters()):
        parameter.requires_grad_(False)
    expected = {1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 7: 4, 9: 4, 40: 4}
    for epoch, n_open in expected.items():
        method.begin_epoch(network, epoch, config)
        assert open_stages(network) == [False] * (5 - n_open) + [True] * n_open
        assert all(p.requires_grad for p in network.head.parameters())
    method.begin_epoch(network, 1, config)  # a function of the epoch alone
    assert open_stages(network) == [False] * 4 + [True]


def test_a_closed_layer_neither_moves_nor_decays() -> None:
    network = network_of()
    method, config = GradualUnfreezing(), settings(optimizer={"weight_decay": 0.5})
    method.install(network, config)
    optimizer = build_optimizer(method.parameter_groups(network, config), config.optimizer)
    method.begin_epoch(network, 1, config)
    method.set_train_mode(network)
    before = {name: p.detach().clone() for name, p in network.body.named_parameters()}
    images, labels = torch.rand(4, 1, 32, 32), torch.tensor([0, 1, 0, 1])
    loss = method.loss(network, images, labels, _ENTROPY, _YARDSTICK)
    loss.backward()
    optimizer.step()
    moved = {n for n, p in network.body.named_parameters() if not torch.equal(p, before[n])}
    assert moved
    last = ("blocks.5", "blocks.6", "conv_head", "bn2")
    assert all(name.startswith(last) for name in moved)


_ENTROPY = nn.CrossEntropyLoss()
_YARDSTICK = Yardstick(criterion=_ENTROPY, guessing=math.log(2))


@pytest.mark.parametrize("key", ["efficientnet_lite0", "resnet18"])
def test_lora_starts_from_the_pre_trained_network(key: str) -> None:
    network = build_network(key, 2, features="last", weights="scratch")
    network.weights_digest = "as if it were pre-trained"
    images = torch.rand(2, 1, 48, 48)
    with torch.inference_mode():
        before = network(images)
        Lora().install(network, settings())
        assert torch.equal(network(images), before)


def test_low_rank_convolutions_beside_a_layer_are_one_layer_with_the_sum() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 10, 3, stride=2, padding=1)
    change = LowRankChange(layer.weight, rank=4, scale=1.5)
    nn.init.normal_(change.up)
    images = torch.rand(3, 6, 9, 9)
    narrow = F.conv2d(images, change.down, stride=2, padding=1)
    assert narrow.shape[1] == 4
    beside = layer(images) + 1.5 * F.conv2d(narrow, change.up[:, :, None, None])
    layer.weight = nn.Parameter(change(layer.weight))
    torch.testing.assert_close(layer(images), beside)


def test_a_low_rank_change_of_a_linear_layer_has_its_rank() -> None:
    change = LowRankChange(torch.zeros(20, 30), rank=3, scale=2.0)
    nn.init.normal_(change.up)
    assert torch.linalg.matrix_rank(change(torch.zeros(20, 30))) == 3


def test_merged_weights_give_what_weights_with_changes_beside_them_gave() -> None:
    network, plain = network_of(), network_of().body
    method = Lora()
    method.install(network, settings())
    for module in network.modules():
        if isinstance(module, LowRankChange):
            nn.init.normal_(module.up, std=0.05)
    images = torch.rand(2, 1, 48, 48)
    with torch.inference_mode():
        beside = network.feature_maps(images)
        alone = network_of()
        alone.body = merged(network.body, plain)
        torch.testing.assert_close(alone.feature_maps(images), beside)
        assert not torch.allclose(network_of().feature_maps(images), beside)
        torch.testing.assert_close(network.feature_maps(images), beside)  # still in training


def test_lora_trains_the_changes_and_the_head_alone() -> None:
    network = network_of()
    method, config = Lora(), settings()
    method.install(network, config)
    groups = method.parameter_groups(network, config)
    trained = {id(p) for group in groups for p in group.parameters}
    names = {n for n, p in network.named_parameters() if id(p) in trained}
    assert all(".down" in n or ".up" in n or n.startswith("head.") for n in names)
    n_trained = sum(p.numel() for n, p in network.body.named_parameters() if f"body.{n}" in names)
    assert method.summary(network)["added"]["weights"] == n_trained
    assert not any(
        isinstance(m, LowRankChange)
        for stage in network.stages[:2]
        for s in stage
        for m in s.modules()
    )
    depthwise = [n for n in names if "conv_dw" in n]
    assert not depthwise


class _Recorder(nn.Module):
    """Stands in for a network: remembers what it is given; class 1 is brighter than middle grey."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.seen.append(images.detach())
        mean = (images.mean(dim=(1, 2, 3)) - 0.5) * self.scale
        return torch.stack([-mean, mean], dim=1)


@pytest.mark.parametrize(("steps", "reach"), [(1, 3.0), (3, 1.0)])
def test_adversarial_training_sees_images_and_their_worst_neighbours(
    steps: int, reach: float
) -> None:
    method = Adversarial()
    network = _Recorder().train()
    config = settings(adversarial={"epsilon_255": 8.0, "steps": steps, "clean_share": 0.25})
    method.install(network_of(), config)
    labels = torch.tensor([0, 1, 0, 1])
    images = (0.2 + 0.6 * labels).view(-1, 1, 1, 1).expand(-1, 1, 6, 6).clone()
    torch.manual_seed(0)
    loss = method.loss(network, images, labels, _ENTROPY, _YARDSTICK)  # type: ignore[arg-type]
    (seen,) = network.seen
    clean, worst = seen.chunk(2)
    assert torch.equal(clean, images)
    difference = worst - images
    assert difference.abs().max() <= reach * 8 / 255 + 1e-6
    # A larger mean speaks for class 1: the worst image of class 0 is brighter, of class 1 darker.
    assert (difference[labels == 0].mean(dim=(1, 2, 3)) > 3 / 255).all()
    assert (difference[labels == 1].mean(dim=(1, 2, 3)) < -3 / 255).all()
    expected = 0.25 * _ENTROPY(network(clean), labels) + 0.75 * _ENTROPY(network(worst), labels)
    assert loss.item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("most", "expected"), [(0.0, [0.50, 0.48, 0.50, 0.52]), (0.3, [0.55, 0.48, 0.55, 0.55])]
)
def test_a_neighbour_that_is_too_wrong_is_drawn_nearer(most: float, expected: list[float]) -> None:
    grey = torch.tensor([0.48, 0.40, 0.40, 0.52]).view(-1, 1, 1, 1)
    labels = torch.tensor([0, 0, 0, 0])  # of which the last is taken for class 1 already
    images = grey.expand(-1, 1, 6, 6).clone()
    worst = images + torch.tensor([0.08, 0.08, 0.20, 0.08]).view(-1, 1, 1, 1)
    drawn = less_wrong(_Recorder(), images, worst, labels, most=most)
    # The lead is 6 times the distance from middle grey, on either side.
    assert drawn.mean(dim=(1, 2, 3)).tolist() == pytest.approx(expected, abs=1e-6)


def test_of_several_findings_the_first_that_turns_decides_and_unknown_ones_do_not() -> None:
    images = torch.full((3, 1, 6, 6), 0.40)
    worst = images + 0.20
    labels = torch.tensor([[0, 0], [0, -1], [-1, 0]])

    class Two(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            mean = images.mean(dim=(1, 2, 3))
            return torch.stack([mean - 0.50, mean - 0.45], dim=1)

    drawn = less_wrong(Two(), images, worst, labels, most=0.0)
    assert drawn.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0.45, 0.50, 0.45], abs=1e-6)
    unknown = torch.full((3, 2), -1)
    assert torch.equal(less_wrong(Two(), images, worst, unknown, most=0.0), worst)


def test_gradual_unfreezing_does_not_end_before_a_second_stage_is_open() -> None:
    config = settings(method={"patience": 1}, gradual={"epochs_per_stage": 3})
    network, method = network_of(), GradualUnfreezing()
    method.install(network, config)
    open_by_epoch = []
    for epoch in range(1, method.patience_from(config) + config.method.patience + 1):
        method.begin_epoch(network, epoch, config)
        open_by_epoch.append(sum(p.requires_grad for p in network.body.parameters()))
    assert open_by_epoch[0] == open_by_epoch[2] < open_by_epoch[3]


def test_training_on_worst_cases_ends_with_its_last_epoch() -> None:
    config = settings(method={"max_epochs": 8, "patience": 1})
    stopping = EarlyStopping(patience=1, counts_from=Adversarial().patience_from(config))
    stopping.update(4, 0.9, 0.5)
    assert not any(stopping.is_over(epoch) for epoch in range(4, 9))


def test_worst_cases_grow_to_full_strength_over_half_of_the_epochs() -> None:
    method, config = Adversarial(), settings(method={"max_epochs": 8})
    network = network_of()
    shares = []
    for epoch in (1, 2, 4, 5, 8, 1):
        method.begin_epoch(network, epoch, config)
        shares.append(method._share_of_epsilon)
    assert shares == pytest.approx([1 / 13, 5 / 13, 1.0, 1.0, 1.0, 1 / 13])
    is_warming_up = [method.is_warming_up(epoch, config) for epoch in range(1, 6)]
    assert is_warming_up == [True, True, True, False, False]


def test_adversarial_training_trains_the_layers_next_to_the_image_too() -> None:
    network, config = network_of(), settings(method={"frozen_stages": 2})
    trained = {id(p) for g in Adversarial().parameter_groups(network, config) for p in g.parameters}
    assert trained == {id(p) for p in network.parameters()}


def test_batch_norms_adapt_where_they_are_trained_and_only_when_asked_to() -> None:
    network = network_of()
    method, config = FullFinetune(), settings(method={"batch_norm": "adapt", "frozen_stages": 2})
    method.install(network, config)
    trained = {id(p) for g in method.parameter_groups(network, config) for p in g.parameters}
    for parameter in network.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    method.set_train_mode(network)
    norms = [
        [m for s in stage for m in s.modules() if isinstance(m, nn.BatchNorm2d)]
        for stage in network.stages
    ]
    adapting = [all(n.training for n in stage) for stage in norms]
    assert adapting == [False, False, True, True, True]
    assert not any(n.training for stage in norms[:2] for n in stage)
    FullFinetune().set_train_mode(network)
    assert not any(n.training for stage in norms for n in stage)


@pytest.mark.parametrize(
    ("clean", "share"),
    [
        (0.0, 0.2),
        (0.7, 0.2),  # as it was set
        (0.825, 0.6),
        (0.95, 1.0),  # hardly better than the same answer to everything
        (2.0, 1.0),
    ],
)
def test_unchanged_images_count_more_the_nearer_they_cost_what_one_answer_for_all_does(
    clean: float, share: float
) -> None:
    found = clean_share(torch.tensor(clean), least=0.2)
    assert found.item() == pytest.approx(share, abs=1e-5)


def test_a_network_that_hardly_tells_images_apart_learns_from_unchanged_ones() -> None:
    method, network = Adversarial(), _Recorder().train()
    config = settings(adversarial={"epsilon_255": 32.0, "steps": 1, "clean_share": 0.2})
    method.install(network_of(), config)
    labels = torch.tensor([0, 1, 0, 1])
    images = (0.49 + 0.02 * labels).view(-1, 1, 1, 1).expand(-1, 1, 6, 6).clone()
    loss = method.loss(network, images, labels, _ENTROPY, _YARDSTICK)  # type: ignore[arg-type]
    (seen,) = network.seen
    assert not torch.equal(*seen.chunk(2))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-0.06)), abs=1e-5)
