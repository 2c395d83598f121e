"""The one place where networks come from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.contract.errors import WeightsError
from engine.models.adapt import body_of, find_card, library_network, tensor_plan
from engine.models.depthwise import quicken_depthwise
from engine.models.network import Network
from engine.models.weights import load_state, weights_digest
from engine.seeding import step_seed


def build_network(
    key: str,
    n_classes: int,
    *,
    weights: str = "pretrained",
    seed: int = 0,
    features: str = "stages",
) -> Network:
    """Return a backbone with a new head of random weights, in evaluation mode on the CPU.

    The global random state is left as it was.

    Args:
        key: Backbone key of the catalog.
        n_classes: Number of logits, at least 1.
        weights: ``pretrained`` or ``scratch`` (all layers random).
        seed: Seed of the random weights.
        features: What the head sees: ``stages`` or ``last`` (see :class:`Network`).

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If pre-trained weights are wanted and there are none, or they are damaged.
        ValueError: If ``n_classes``, ``weights`` or ``features`` makes no sense.
    """
    if n_classes < 1 or weights not in ("pretrained", "scratch"):
        raise ValueError(f"no network with {n_classes} classes and {weights} weights")
    card = find_card(key)
    digest = weights_digest(key) if weights == "pretrained" else f"scratch-{seed}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(step_seed(seed, "network", key))
        body = body_of(card, library_network(card))
        quicken_depthwise(body)
        network = Network(card, body, n_classes, features=features, weights_digest=digest)
    if weights == "pretrained":
        state = load_state(key)
        plan = tensor_plan(key)
        kept = plan.body.keys() | plan.optional
        body.load_state_dict({n: t for n, t in state.items() if n in kept}, strict=False)
    return network.to(memory_format=torch.channels_last).eval()


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
    if not tensor_plan(key).head.keys() <= state.keys():
        raise WeightsError(
            f"The weights added for {card.title} hold no decision layer for 1,000 classes.",
            remedy="Add the file of the original network.",
        )
    network = library_network(card)
    network.load_state_dict(state, strict=False)
    return _Normalised(network, torch.tensor(card.mean), torch.tensor(card.std)).eval()
