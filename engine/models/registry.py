"""The one place where networks come from."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from engine.contract.backbones import size_error
from engine.contract.errors import WeightsError
from engine.contract.targets import SOFTMAX
from engine.models.adapt import body_of, find_card, library_network, tensor_plan
from engine.models.depthwise import quicken_depthwise
from engine.models.network import Network
from engine.models.weights import (
    FILE,
    PRETRAINED,
    SCRATCH,
    body_name,
    load_state,
    present_weights,
)
from engine.seeding import step_seed


def build_network(
    key: str,
    n_classes: int,
    *,
    weights: str = "pretrained",
    seed: int = 0,
    features: str = "stages",
    drop_path: float = 0.0,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    activation: str = SOFTMAX,
) -> Network:
    """Return a backbone with a new head of random weights, in evaluation mode on the CPU.

    The global random state is left as it was.

    Args:
        key: Backbone key of the catalog.
        n_classes: Number of logits, at least 1.
        weights: ``pretrained``, ``file:ID`` for weights that were added, or ``scratch`` (all
            layers random).
        seed: Seed of the random weights.
        features: What the head sees: ``stages`` or ``last`` (see :class:`Network`).
        drop_path: Stochastic depth in training where the backbone has it; over 0, a training step
            is no longer a function of its batch alone.
        mean: Mean that the network subtracts from values in [0, 1]; None takes what its weights
            expect. A network that gets trained weights afterwards needs theirs.
        std: Standard deviation, likewise.
        activation: ``softmax`` or ``sigmoid`` (see :class:`Network`).

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If pre-trained weights are wanted and there are none, or they are damaged.
        ValueError: If ``n_classes``, ``weights``, ``features`` or ``activation`` makes no sense.
    """
    if n_classes < 1 or not (weights in (PRETRAINED, SCRATCH) or weights.startswith(FILE)):
        raise ValueError(f"no network with {n_classes} classes and {weights} weights")
    card = find_card(key)
    info = None if weights == SCRATCH else present_weights(key, weights)
    if info is not None:
        card = replace(card, mean=info.mean, std=info.std)
    card = replace(card, mean=mean or card.mean, std=std or card.std)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(step_seed(seed, "network", key))
        body = body_of(card, library_network(card, drop_path=drop_path))
        quicken_depthwise(body)
        digest = f"scratch-{seed}" if info is None else info.digest
        network = Network(
            card,
            body,
            n_classes,
            features=features,
            weights_digest=digest,
            body_name=body_name(key, weights, seed),
            activation=activation,
        )
    if info is not None:
        plan = tensor_plan(key)
        kept = plan.body.keys() | plan.optional
        state = load_state(key, weights)
        body.load_state_dict({n: t for n, t in state.items() if n in kept}, strict=False)
    return network.to(memory_format=torch.channels_last).eval()


def check_size(key: str, size_px: int) -> None:
    """Check that a backbone takes square images of a side.

    Raises:
        ConfigError: If not, with the nearest sides that it takes.
    """
    if (error := size_error(find_card(key), size_px)) is not None:
        raise error


class _Normalised(nn.Module):
    """A library's network that takes values in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean.view(1, 3, 1, 1))
        self.register_buffer("std", std.view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def build_original(key: str) -> nn.Module:
    """Return a backbone as it was pre-trained, with its 1,000-class head, in evaluation mode.

    Takes ``(N, 3, H, W)`` values in [0, 1] and returns ``(N, 1000)`` logits. It shows that weights
    were read rightly: photographs get their right names.

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If there are no weights for it, or they came without that head.
    """
    card = find_card(key)
    state = load_state(key)
    head = tensor_plan(key).head
    if not head or not head.keys() <= state.keys():
        raise WeightsError(
            f"The weights of {card.title} hold no decision layer for 1,000 classes.",
            remedy="Add the file of the original network.",
        )
    network = library_network(card)
    network.load_state_dict(state, strict=False)
    info = present_weights(key, PRETRAINED)
    return _Normalised(network, torch.tensor(info.mean), torch.tensor(info.std)).eval()
